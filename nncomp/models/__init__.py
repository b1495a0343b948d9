"""Network architectures, one per file, built from `nncomp.exact` alone."""
