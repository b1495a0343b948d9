"""The container: magic, header, records, checksums, index. Knows nothing of codecs.

FORMAT.md is the specification. `layout` has the wire structures, `writer` and `reader`
work on streams, `seeking` on files that can seek, `limits` has the caps.
"""
