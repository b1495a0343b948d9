"""File formats of tensors: where in a file which numbers are."""
