# Names that look like options, and names with spaces.
echo x > ./-9
echo y > "a b"
nncomp compress -- -9 "a b"
ls
