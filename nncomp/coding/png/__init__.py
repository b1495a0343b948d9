"""PNG files taken apart into pixels and the rest, and put together again."""
