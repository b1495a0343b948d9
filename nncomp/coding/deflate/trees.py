"""Huffman codes exactly as zlib makes them.

Many trees are optimal; which one zlib builds follows from the order of its heap (by
frequency, then by depth, then by place), and from how it shortens codes that are too long.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nncomp.coding.deflate.format import SYMBOLS
from nncomp.coding.jit import inline, kernel

__all__ = ["BITS_MAX", "Tree", "build_tree", "new_tree", "set_codes"]

Array = NDArray[Any]

BITS_MAX = 15
"""Bits of the longest code of a symbol or a distance."""

_NODES = 2 * SYMBOLS + 1


class Tree(NamedTuple):
    """A code.

    Attributes:
        counts: int64, how often each symbol is there.
        lengths: int64, bits of each symbol's code, 0 for none.
        codes: int64, the bits, the first of them lowest.
        heap: int64[_NODES], and so the next three: room for building.
        weights: Frequencies of nodes.
        depths: Of nodes.
        parents: Of nodes.
    """

    counts: Array
    lengths: Array
    codes: Array
    heap: Array
    weights: Array
    depths: Array
    parents: Array


def new_tree(symbols: int) -> Tree:
    """Room for a code of so many symbols."""
    own = [np.zeros(symbols, np.int64) for _ in range(3)]
    return Tree(*own, *(np.zeros(_NODES, np.int64) for _ in range(4)))


@kernel
def build_tree(tree: Tree, longest: int) -> int:
    """Make lengths and codes from counts.

    Args:
        tree: With counts.
        longest: Most bits of a code.

    Returns:
        The last symbol with a code.
    """
    symbols = tree.counts.shape[0]
    size, last = 0, -1
    for s in range(symbols):
        tree.lengths[s] = 0
        tree.weights[s] = tree.counts[s]
        tree.depths[s] = 0
        if tree.counts[s]:
            size += 1
            tree.heap[size] = last = s
    while size < 2:  # a code has two symbols at least
        unused = 0
        if last < 2:
            last += 1
            unused = last
        size += 1
        tree.heap[size] = unused
        tree.weights[unused] = 1
    _join(tree, size, symbols)
    _measure(tree, last, longest)
    set_codes(tree.lengths, tree.codes)
    return last


@inline
def _sift(tree: Tree, k: int, size: int) -> None:
    """Let an entry of the heap sink to its place."""
    heap, weights, depths = tree.heap, tree.weights, tree.depths
    v = heap[k]
    j = 2 * k
    while j <= size:
        if j < size:
            a, b = heap[j + 1], heap[j]
            if weights[a] < weights[b] or (weights[a] == weights[b] and depths[a] <= depths[b]):
                j += 1
        c = heap[j]
        if weights[v] < weights[c] or (weights[v] == weights[c] and depths[v] <= depths[c]):
            break
        heap[k] = c
        k = j
        j *= 2
    heap[k] = v


@inline
def _join(tree: Tree, size: int, node: int) -> None:
    """Join the two lightest until there is one; leaves the nodes by weight in the heap's end.

    Args:
        tree: With `size` symbols in the heap.
        size: Entries of the heap.
        node: The first free one.
    """
    heap, weights, depths = tree.heap, tree.weights, tree.depths
    for k in range(size // 2, 0, -1):
        _sift(tree, k, size)
    top = _NODES
    while size >= 2:
        a = heap[1]
        heap[1] = heap[size]
        size -= 1
        _sift(tree, 1, size)
        b = heap[1]
        heap[top - 1], heap[top - 2] = a, b
        top -= 2
        weights[node] = weights[a] + weights[b]
        depths[node] = max(depths[a], depths[b]) + 1
        tree.parents[a] = tree.parents[b] = node
        heap[1] = node
        node += 1
        _sift(tree, 1, size)
    heap[0] = top - 1  # where the root stands
    heap[top - 1] = heap[1]


@inline
def _measure(tree: Tree, last: int, longest: int) -> None:
    """Lengths from parents; too long ones are shortened, and shorter ones lengthened."""
    heap, depths = tree.heap, tree.depths
    counts = np.zeros(BITS_MAX + 2, np.int64)
    root, over = heap[0], 0
    depths[heap[root]] = 0  # from here on the distance from the root
    for k in range(root + 1, _NODES):
        s = heap[k]
        bits = depths[tree.parents[s]] + 1
        if bits > longest:
            bits = longest
            over += 1
        depths[s] = bits
        if s <= last:
            tree.lengths[s] = bits
            counts[bits] += 1
    if over == 0:
        return
    while over > 0:
        bits = longest - 1
        while counts[bits] == 0:
            bits -= 1
        counts[bits] -= 1
        counts[bits + 1] += 2
        counts[longest] -= 1
        over -= 2
    k = _NODES
    for bits in range(longest, 0, -1):
        left = counts[bits]
        while left:
            k -= 1
            if heap[k] <= last:
                tree.lengths[heap[k]] = bits
                left -= 1


@kernel
def set_codes(lengths: Array, codes: Array) -> None:
    """The codes of these lengths, RFC 1951 section 3.2.2, first bit lowest."""
    counts = np.zeros(BITS_MAX + 1, np.int64)
    for length in lengths:
        counts[length] += 1
    after = np.zeros(BITS_MAX + 1, np.int64)
    code = 0
    counts[0] = 0
    for bits in range(1, BITS_MAX + 1):
        code = code + counts[bits - 1] << 1
        after[bits] = code
    for s in range(lengths.shape[0]):
        code = after[lengths[s]]
        after[lengths[s]] += 1
        turned = 0
        for _ in range(lengths[s]):
            turned = turned << 1 | code & 1
            code >>= 1
        codes[s] = turned
