"""Neural codecs: one loop, many models."""
