# Bytes after the archive are an error, and nothing is written.
echo content > file
nncomp compress --rm file
echo garbage >> file.nnc
nncomp decompress file.nnc
code=$?
ls
exit $code
