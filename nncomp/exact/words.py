"""Words as features: which words stand before a byte, as rows of a table of embeddings.

A word is a run of letters, digits and bytes beyond ASCII, upper and lower case alike. The
newest word, as far as it is known, is word 0; the one before it is word 1. Its row is a
hash, so that words share rows; row 0 of each table stands for no word. What stands `SPAN`
bytes and more before is not looked at, nor is a word that begins there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nncomp.coding.jit import kernel

__all__ = ["ROWS", "SPAN", "word_rows", "words_before"]

Array = NDArray[Any]

ROWS = 2048
"""Rows of the table of each word."""

SPAN = 48
"""Bytes that are looked at."""

_FACTOR = 0x2545F4914F6CDD1D
_MASK = 0x7FFFFFFFFFFFFFFF


@kernel
def words_before(history: Array, rows: Array) -> None:
    """Fill int64[words] with the rows, k * ROWS and more for word k, from int64[SPAN] bytes."""
    rows[:] = 0
    count = rows.shape[0]
    hashed = np.int64(0)
    begun = False
    for i in range(history.shape[0]):
        byte = history[i]
        if 65 <= byte <= 90:
            byte += 32
        if 97 <= byte <= 122 or 48 <= byte <= 57 or byte >= 128:
            if begun:
                hashed = ((hashed + byte + 1) * _FACTOR) & _MASK
                hashed ^= hashed >> 29
                rows[0] = 1 + (hashed >> 8) % (ROWS - 1)
        else:
            begun = True
            if rows[0]:
                for k in range(count - 1, 0, -1):
                    rows[k] = rows[k - 1]
                rows[0] = 0
            hashed = np.int64(0)
    for k in range(count):
        rows[k] += k * ROWS


@kernel
def _all_words(history: Array, rows: Array) -> None:
    for lane in range(rows.shape[0]):
        for step in range(rows.shape[1]):
            words_before(history[lane][step : step + SPAN], rows[lane, step])


def word_rows(history: Tensor, words: int) -> Tensor:
    """Rows of the words before each byte.

    Args:
        history: (L, SPAN + T - 1) int64, the bytes up to the one before the last step.
        words: How many, W.

    Returns:
        (L, T, W) int64, from 0 to W * ROWS - 1.
    """
    lanes, steps = history.shape[0], history.shape[1] - SPAN + 1
    rows = np.empty((lanes, steps, words), np.int64)
    _all_words(history.cpu().contiguous().numpy(), rows)
    return torch.from_numpy(rows).to(history.device)
