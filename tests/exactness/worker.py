"""Compresses and decompresses in a process of its own; run by `test_settings.py`.

Standard input, JSON: "cases", (method, content) by name, the content in hexadecimal;
"archives", what they should give, likewise, or nothing; and how to compute: "threads",
"flush" denormals, the "reference" alone, one "way" of integer products.

Standard output, JSON: the archives by name, and what torch says of its instruction set.
Exit code 1 if one of the given archives decodes to something else.
"""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack

import numpy as np
import torch

import nncomp
from nncomp.codecs.base import Context, parse_method, resolve_params
from nncomp.codecs.neural import sep
from nncomp.codecs.neural.loop import granted
from nncomp.codecs.neural.sep import SEP
from nncomp.codecs.neural.stage import StageDecoder, StageEncoder
from nncomp.exact import products
from nncomp.exact.ops import force_reference

_FEW = 100  # bytes; for so few an archive is larger than a stored one


def archive(method: str, data: bytes, given: bytes | None, threads: int) -> bytes:
    """The archive; checks that the given one, or this one, decodes."""
    made = nncomp.compress(data, method, threads=threads, device="cpu")
    if nncomp.decompress(given or made, threads=threads, device="cpu") != data:
        sys.exit(f"an archive of {method} decodes to something else")
    return made


def payload(method: str, data: bytes, given: bytes | None, threads: int) -> bytes:
    """The same for the network's payload alone, which a codec would not keep if it is larger."""
    context = Context(threads=threads, device="cpu")
    params = SEP.settle(resolve_params(SEP, parse_method(method)[1], None), data, True)
    with granted(context):
        made = sep._loop(params, context).encode(np.frombuffer(data, np.uint8), StageEncoder())
        payload = memoryview(given or made)
        decoded = sep._loop(params, context).decode(payload, len(data), StageDecoder())
    if decoded.tobytes() != data:
        sys.exit(f"a payload of {method} decodes to something else")
    return made


def main() -> None:
    task = json.load(sys.stdin)
    if task["flush"] and not torch.set_flush_denormal(True):
        sys.exit("this processor cannot flush denormals")
    if task["way"]:
        products.WAYS = {task["way"]: products.WAYS[task["way"]]}
    archives = {}
    with ExitStack() as stack:
        if task["reference"]:
            stack.enter_context(force_reference())
        for name, (method, content) in task["cases"].items():
            data, given = bytes.fromhex(content), bytes.fromhex(task["archives"].get(name, ""))
            code = archive if len(data) > _FEW else payload
            archives[name] = code(method, data, given, task["threads"]).hex()
    capability = torch.backends.cpu.get_cpu_capability()
    json.dump({"archives": archives, "capability": capability}, sys.stdout)


if __name__ == "__main__":
    main()
