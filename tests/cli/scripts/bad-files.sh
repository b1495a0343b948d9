# Every bad file is named once, the good one is done all the same, and the exit code is 1.
echo good > good
nncomp compress good
echo "no archive" > bad.nnc
: > empty.nnc
head -c 20 good.nnc > short.nnc
rm good
nncomp decompress absent.nnc bad.nnc empty.nnc short.nnc unnamed good.nnc
code=$?
cat good
ls
exit $code
