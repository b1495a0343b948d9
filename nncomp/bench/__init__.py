"""Measuring methods and peers side by side, and showing what was measured."""
