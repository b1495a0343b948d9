"""The `mix` codec: a context-mixing memory."""
