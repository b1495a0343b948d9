"""Exact arithmetic: numbers that are the same on every machine."""
