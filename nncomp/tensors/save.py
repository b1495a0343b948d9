"""Writing safetensors archives, tensor by tensor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from nncomp.api.encoding import compress_stream, make_context
from nncomp.errors import UsageError
from nncomp.files import atomic_output
from nncomp.tensors.arrays import arrays_of

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping

    from nncomp.api.base import BaseLike
    from nncomp.tensors.arrays import Outline

__all__ = ["METHOD", "Parts", "header_of", "save_file"]

METHOD = "zipnn"
"""The method for tensors, unless another one is asked for."""

# Tensors are written in this order of their types, then by name: all aligned without padding.
_ORDER = [
    *("U64", "I64", "F64", "C64", "F32", "U32", "I32", "BF16", "F16", "U16", "I16"),
    *("F8_E5M2FNUZ", "F8_E4M3FNUZ", "F8_E8M0", "F8_E4M3", "F8_E5M2", "I8", "U8", "F4", "BOOL"),
]
_METADATA = "__metadata__"


def save_file(
    tensors: Mapping[str, Any],
    filename: str | os.PathLike[str],
    metadata: Mapping[str, str] | None = None,
    *,
    method: str = METHOD,
    level: int | None = None,
    threads: int = 1,
    base: BaseLike = None,
) -> None:
    """Write tensors into an archive of a safetensors file, whatever the name ends in.

    The content is what safetensors' own `save_file` would write; with more than one entry of
    metadata that has them in an order of chance, this in the order given. Tensors that are not
    contiguous are written in C order, and those that share memory each on its own. The file
    appears when it is complete; no more than one tensor is copied at a time, and that only if
    it lies on another device or not in order.

    Args:
        tensors: NumPy arrays or PyTorch tensors, by name; not changed.
        filename: Replaced if it exists.
        metadata: Text to go beside them; transformers wants `{"format": "pt"}`.
        method: As for `nncomp.compress`.
        level: As for `nncomp.compress`.
        threads: How many threads may work.
        base: What to take differences to, as for `nncomp.compress`: another checkpoint.

    Raises:
        UsageError: An argument is not valid, or safetensors files have no such tensors.
        LimitError: Decompressing would take more than the default memory limit.
        OSError: The file cannot be written.
    """
    context = make_context(threads, "auto", None, base)
    outlines = {name: _outline(name, array) for name, array in tensors.items()}
    header, names = header_of(outlines, metadata or {})
    parts: list[Callable[[], memoryview]] = [lambda: memoryview(header)]
    parts += [_content_of(tensors[name]) for name in names]
    size = len(header) + sum(outline.size for outline in outlines.values())
    with atomic_output(Path(filename), overwrite=True) as sink:
        source = cast("BinaryIO", Parts(parts))
        compress_stream(
            source, sink, method=method, level=level, context=context, content_size=size
        )


def _outline(name: object, array: object) -> Outline:
    if not isinstance(name, str) or name == _METADATA:
        raise UsageError(f"{name!r} is not valid as the name of a tensor")
    what = f"tensor {name!r}"
    return arrays_of(array, what).outline(array, what)


def _content_of(array: object) -> Callable[[], memoryview]:
    return lambda: arrays_of(array, "the tensor").content(array)


def header_of(
    outlines: Mapping[str, Outline], metadata: Mapping[str, str]
) -> tuple[bytes, list[str]]:
    """The header of a safetensors file, and the order of the tensors behind it.

    Raises:
        UsageError: A name or the metadata are not text that JSON in UTF-8 can have.
    """
    if not all(isinstance(text, str) for pair in metadata.items() for text in pair):
        raise UsageError("metadata must be text by text: convert the values with str() or JSON")
    entries: dict[str, object] = {_METADATA: dict(metadata)} if metadata else {}
    names = sorted(outlines, key=lambda name: (_ORDER.index(outlines[name].dtype), name))
    start = 0
    for name in names:
        outline = outlines[name]
        stop = start + outline.size
        shape = list(outline.shape)
        entries[name] = {"dtype": outline.dtype, "shape": shape, "data_offsets": [start, stop]}
        start = stop
    try:
        text = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"a name or the metadata are no valid text: {error}") from error
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, names


class Parts:
    """A source for `compress_stream`: pieces of memory one after another, none of them copied.

    Args:
        parts: Called one by one, when the last one is used up.
    """

    def __init__(self, parts: list[Callable[[], memoryview]]) -> None:
        self._parts: Iterator[Callable[[], memoryview]] = iter(parts)
        self._part = memoryview(b"")

    def read(self, size: int) -> memoryview:
        """At most `size` bytes, none only at the end."""
        while not self._part:
            part = next(self._parts, None)
            if part is None:
                break
            self._part = memoryview(b"")  # so that the last one can go before the next one comes
            self._part = part()
        piece, self._part = self._part[:size], self._part[size:]
        return piece
