"""Deflate made again: the bytes of zlib's encoder, in integer kernels of our own."""
