# A closed standard stream is an error with a name, not a traceback.
nncomp compress <&- > out
echo "input: $?"
echo x | nncomp compress >&-
echo "output: $?"
echo x | nncomp compress 2>&- | nncomp decompress 2>&-
nncomp compress absent 2>&-
echo "error: $?"
