"""Entropy coding: probabilities to frequencies, frequencies to bits."""
