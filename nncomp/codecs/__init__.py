"""The codecs: what the bytes of a record mean."""
