"""Tables of embeddings: error-bounded, with their repeated rows kept once."""
