"""`python -m nncomp` is `nncomp`."""

from nncomp.cli.main import main

if __name__ == "__main__":
    main()
