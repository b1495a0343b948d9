"""The container: magic, header, records, checksums, index. Knows nothing of codecs."""
