"""nncomp: neural and tensor compression in one container format."""

__version__ = "0.1.0.dev0"
