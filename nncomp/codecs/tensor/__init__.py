"""The tensor codec: files of numbers, split into planes of like bytes."""
