# Wrong usage is 2, with the valid choices in the message, and happens before any work.
echo x > file
nncomp compress -m zstd:level=99 file
echo $?
NNCOMP_LEVEL=12 nncomp compress file
echo $?
ls
