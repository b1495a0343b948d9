"""Who takes part: methods of ours by their strings, and the peers that this machine has."""

from __future__ import annotations

import importlib.util
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nncomp.bench.libraries import LIBRARIES
from nncomp.bench.machine import first_line, package_version
from nncomp.bench.programs import PROGRAMS, found
from nncomp.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nncomp.bench.records import Kind

__all__ = ["MEMCPY", "PEERS", "Contestant", "methods", "peers", "versions_of"]

PEERS = (*LIBRARIES, *PROGRAMS)
"""Names of all peers that are known, whether they are here or not."""

_SLOW = ("zpaq", "sep")
"""Are known to take longer than all others."""


@dataclass(frozen=True)
class Contestant:
    """Something that compresses, as a worker is told about it.

    Attributes:
        name: In tables.
        kind: What it is.
        text: See `worker.Job`.
        level: Of a method, or None.
    """

    name: str
    kind: Kind
    text: str = ""
    level: int | None = None

    @property
    def urgency(self) -> int:
        """Who has a turn first, the least of all: time may be bounded, and run out."""
        if self.text.startswith(_SLOW):
            return 3
        return {"memcpy": 0, "own": 1}.get(self.kind, 2)


MEMCPY = Contestant("memcpy", "memcpy")


def methods(texts: Iterable[str]) -> list[Contestant]:
    """Method strings, each with a level after it if need be: "mix", "sep:lanes=2 -9".

    Raises:
        UsageError: There is no such method, parameter or level.
    """
    from nncomp import api

    chosen = []
    for text in texts:
        method, _, rest = text.strip().partition(" ")
        if rest and not re.fullmatch(r"\s*-[1-9]", rest):
            raise UsageError(f"{text!r} is not of the form METHOD or METHOD -LEVEL, as in 'mix -9'")
        level = int(rest.strip()[1:]) if rest else None
        api.check_method(method, level)
        # Some peers are called as methods of ours that are built on them.
        name = f"nncomp {method}" if level is None else f"nncomp {method} -{level}"
        chosen.append(Contestant(name, "own", method, level))
    return list(dict.fromkeys(chosen))


def peers(texts: Sequence[str]) -> tuple[list[Contestant], dict[str, str]]:
    """Those that are asked for and here, and what would install those that are not.

    Args:
        texts: Names out of `PEERS`, with settings after them if need be, such as
            "zstd -19 --long=27" or "blosc2 lz4". None at all: every peer.

    Raises:
        UsageError: No peer is called so, or it does not take these settings.
    """
    chosen, missing = [], {}
    for text in texts or PEERS:
        name, options = _words(text)
        if name in LIBRARIES:
            library = LIBRARIES[name]
            full = f"{name} {_setting(name, options)}".strip()
            if _importable(library.module):
                chosen.append(Contestant(full, "library", full))
            else:
                missing[name] = f"pip install {library.package}"
        elif name in PROGRAMS:
            if found(name):
                full = f"{name} {options or PROGRAMS[name].options}"
                chosen.append(Contestant(full, "program", full))
            else:
                missing[name] = f"apt install {PROGRAMS[name].package}"
        else:
            raise UsageError(f"no peer is called {name!r}. Peers: {', '.join(PEERS)}")
    return list(dict.fromkeys(chosen)), missing


def _words(text: str) -> tuple[str, str]:
    """The name of a peer, and its settings as a shell would take them."""
    try:
        name, *options = shlex.split(text) or [""]
    except ValueError as error:
        raise UsageError(f"the peer {text!r} cannot be read: {error}") from error
    return name, shlex.join(options)


def _setting(name: str, options: str) -> str:
    known = LIBRARIES[name].settings
    if options and options not in known:
        takes = f"one setting of {', '.join(known)}" if known else "no settings"
        raise UsageError(f"the peer {name!r} is a library and takes {takes}, but got {options!r}")
    return options or next(iter(known), "")


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:  # the package above it is missing
        return False


def versions_of(contestants: Iterable[Contestant]) -> dict[str, str]:
    """What the peers among them say that they are."""
    told = {}
    for contestant in contestants:
        name = contestant.text.partition(" ")[0]
        if contestant.kind == "library":
            told[name] = package_version(LIBRARIES[name].package) or "unknown"
        elif contestant.kind == "program":
            line = first_line([name, *PROGRAMS[name].asking])
            number = re.search(r"\d+(\.\w+)+", line)
            told[name] = number[0] if number else line or "unknown"
    return told
