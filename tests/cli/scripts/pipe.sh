# As a filter on both sides, with every general method.
seq 1 100000 > numbers
for method in store zstd zstd:level=19 lz4 snappy; do
    cat numbers | nncomp compress -m "$method" | nncomp decompress | cmp - numbers && echo "$method"
done
