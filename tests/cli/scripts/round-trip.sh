# The four commands as a user types them; `decompress` gives the same bytes.
seq 1 5000 > numbers
nncomp compress numbers
mv numbers original
nncomp test -v numbers.nnc
nncomp list numbers.nnc
nncomp decompress --rm numbers.nnc
cmp numbers original
ls
