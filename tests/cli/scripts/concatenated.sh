# Concatenated archives decode to concatenated contents, whatever their methods.
printf 'one ' > a
printf 'two\n' > b
nncomp compress -m lz4 -c a > both.nnc
nncomp compress -m zstd -c b >> both.nnc
nncomp decompress -c both.nnc
nncomp list both.nnc
