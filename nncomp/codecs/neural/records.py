"""A record of a neural codec: a network alone, or on top of a memory of contexts.

With a memory, a payload begins with a byte that says how it goes on:

    0   the layout of the bytes (`codecs/mix/layout.py`), then sections: network and memory
    1   the payload that `mix` would write: the memory alone

The encoder makes both and keeps the smaller. Of a record that was not coded with the
network, which includes records that are stored, the network learns nothing.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nncomp.codecs.account import HEADERS, Account, spread
from nncomp.codecs.mix.account import account_payload
from nncomp.codecs.mix.detect import find_layout
from nncomp.codecs.mix.layout import Layout, arranged, read_layout, restored
from nncomp.codecs.mix.payload import decode_payload, encode_payload
from nncomp.codecs.neural.lanes import Layout as Lanes
from nncomp.codecs.neural.memory import Memory, MixedDecoder, MixedEncoder, suits
from nncomp.codecs.neural.stage import CountingDecoder, StageDecoder, StageEncoder
from nncomp.errors import CorruptError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nncomp.codecs.base import Buffer
    from nncomp.codecs.mix.tally import Stream
    from nncomp.codecs.neural.loop import Loop

__all__ = ["MemorySizes", "Records"]

Bytes = NDArray[np.uint8]

_JOINT, _ALONE = b"\x00", b"\x01"


class MemorySizes(NamedTuple):
    """log2 of the lines of the slot table, the most contexts in use, the largest content."""

    table: int
    contexts: int
    block: int


class Records:
    """Codes record after record with one network.

    Args:
        loop: The network.
        sizes: Of the memory, or None for the network alone.
        beside: Whether the encoder may hold two memories at a time, to make the payload of
            the memory alone beside the other one.
    """

    def __init__(self, loop: Loop, sizes: MemorySizes | None, beside: bool = True) -> None:
        self._loop = loop
        self._sizes = sizes
        self._beside = beside

    def encode(self, raw: bytes) -> bytes | None:
        """The payload of a record, or None if it is not smaller."""
        data = np.frombuffer(raw, np.uint8)
        learned = self._loop.learned()
        if self._sizes is None:
            payload, others = self._loop.encode(data, StageEncoder()), raw
        else:
            with ThreadPoolExecutor(1) as pool:
                layout = find_layout(data)
                waiting = pool.submit(_alone, raw, self._sizes)
                if not self._beside:
                    wait([waiting])
                payload = self._joint(data, layout, self._sizes)
                others = min(raw, waiting.result() or raw, key=len)
        if len(payload) < len(others):
            return payload
        self._loop.forget(learned)
        return None if others is raw else others

    def decode(self, payload: memoryview, size: int) -> Buffer:
        """The bytes of a record.

        Raises:
            CorruptError: The payload is not what `encode` writes.
        """
        if self._sizes is None:
            return self._loop.decode(payload, size, StageDecoder()).data
        if _kind(payload) == _ALONE:
            with self._by_itself(size):
                return decode_payload(payload[1:], size, *self._sizes)
        layout, rest = read_layout(payload[1:])
        memory = Memory(layout, self._sizes.table, self._sizes.contexts)
        stage = MixedDecoder(memory, Lanes(size, self._loop.lanes))
        return restored(self._loop.decode(rest, size, stage), layout).data

    def account(self, payload: memoryview, size: int) -> Account:
        """The bytes of a record, and what its bits went to.

        Raises:
            CorruptError: As for `decode`.
        """
        lanes = Lanes(size, self._loop.lanes)
        if self._sizes is None:
            counting = CountingDecoder(lanes)
            raw = self._loop.decode(payload, size, counting).data
            return _account(raw, payload, counting.stream())
        if _kind(payload) == _ALONE:
            with self._by_itself(size):
                account = account_payload(payload[1:], size, *self._sizes)
            return replace(account, stretches=spread(account.stretches, HEADERS, 8.0))
        layout, rest = read_layout(payload[1:])
        memory = Memory(layout, self._sizes.table, self._sizes.contexts)
        tally = memory.tally(size)
        stage = MixedDecoder(memory, lanes, tally)
        raw = restored(self._loop.decode(rest, size, stage), layout).data
        return _account(raw, payload, memory.stream(tally, stage.taken, size))

    @contextmanager
    def _by_itself(self, size: int) -> Iterator[None]:
        """While a record of the memory alone is decoded."""
        with self._loop.timed("coding"):
            yield
        self._loop.progress(size)

    def _joint(self, data: Bytes, layout: Layout, sizes: MemorySizes) -> bytes:
        if not suits(layout, self._loop.lanes):
            layout = Layout()
        memory = Memory(layout, sizes.table, sizes.contexts)
        stage = MixedEncoder(memory, Lanes(len(data), self._loop.lanes))
        return _JOINT + layout.pack() + self._loop.encode(arranged(data, layout), stage)


def _kind(payload: memoryview) -> bytes:
    """What a payload with a memory begins with."""
    kind = bytes(payload[:1])
    if kind not in (_JOINT, _ALONE):
        raise CorruptError(
            f"a payload begins with {kind!r}, not with 0 or 1. The file is damaged: "
            "take another copy"
        )
    return kind


def _account(raw: Buffer, payload: memoryview, stream: Stream) -> Account:
    """The account of a record that is one stream."""
    return Account(raw, stream.stretches(len(raw), len(payload)), "byte", stream.inputs)


def _alone(raw: bytes, sizes: MemorySizes) -> bytes | None:
    payload = encode_payload(raw, *sizes)
    return None if payload is None else _ALONE + payload
