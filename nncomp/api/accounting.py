"""Decoding with accounts: what every record is, and where its bits went."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from nncomp.api.decoding import Decoder
from nncomp.codecs.account import STORED, Account, Stretch
from nncomp.codecs.base import Explains

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nncomp.api.decoding import Room
    from nncomp.codecs.base import Block, Buffer
    from nncomp.container.reader import Record

__all__ = ["Accountant"]


@dataclass(frozen=True)
class Accountant(Decoder):
    """A decoder that keeps account; after each buffer that it gives, `next` is to be called."""

    _records: deque[Record] = field(default_factory=deque, init=False)
    _accounts: deque[Account] = field(default_factory=deque, init=False)

    def next(self) -> tuple[Record, Account]:
        """The record that was given last, without its payload, and its account.

        Raises:
            TypeError: The codec has lost content or bits; it would tell nonsense.
        """
        record, account = self._records.popleft(), self._accounts.popleft()
        size = sum(stretch.size for stretch in account.stretches)
        bits = sum(sum(stretch.bits.values()) for stretch in account.stretches)
        wanted = record.header.raw_size, 8 * record.header.coded_size
        if size != wanted[0] or not math.isclose(bits, wanted[1], rel_tol=1e-9, abs_tol=1e-3):
            raise TypeError(
                f"codec {self.codec.name!r} accounts for {size} bytes and {bits} bits of a record "
                f"of {wanted[0]} and {wanted[1]}"
            )
        return record, account

    def decode(self, records: Iterable[Record], room: Room | None = None) -> Iterator[Buffer]:
        """As ever, and keep account."""
        return super().decode(self._noted(records), room)

    def _noted(self, records: Iterable[Record]) -> Iterator[Record]:
        for record in records:
            self._records.append(replace(record, payload=None))
            yield record

    def decoded(self, blocks: Iterable[Block]) -> Iterator[Buffer]:
        """What the codec makes of blocks."""
        codec = self.codec
        if not isinstance(codec, Explains):
            yield from self._by_record(blocks)
            return
        for account in codec.account(blocks, self.params, self.context):
            self._accounts.append(account)
            yield account.raw

    def _by_record(self, blocks: Iterable[Block]) -> Iterator[Buffer]:
        """The same for a codec that knows only what each record takes."""
        stretches: deque[Stretch] = deque()

        def noted() -> Iterator[Block]:
            for block in blocks:
                if block.payload is None:
                    name, size = STORED, block.raw_size
                else:
                    name, size = "records", memoryview(block.payload).nbytes
                stretches.append(Stretch(block.raw_size, {name: 8.0 * size}))
                yield block

        for raw in self.codec.decode(noted(), self.params, self.context):
            self._accounts.append(Account(raw, [stretches.popleft()], "record"))
            yield raw
