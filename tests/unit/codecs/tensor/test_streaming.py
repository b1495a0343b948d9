"""Any size in bounded memory: 300 MB go through both ways in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

MIB = 1 << 20
# What is written goes through a pipe to a reader; neither side can seek. First a small stream
# brings the process to what imports, compiled code and libraries take.
SCRIPT = """
import io, json, os, pathlib, sys, threading
import numpy as np
import xxhash
import nncomp
from nncomp import api

MIB = 1 << 20
method, threads = sys.argv[1], int(sys.argv[2])
weights = np.random.default_rng(1).normal(0, 0.02, MIB).astype(np.float32)
piece = (weights.view(np.uint32) >> 16).astype("<u2").tobytes()

class Numbers(io.RawIOBase):
    def __init__(self, size):
        entry = {"dtype": "BF16", "shape": [size // 2], "data_offsets": [0, size]}
        text = json.dumps({"weights": entry}).encode()
        self.head, self.left = len(text).to_bytes(8, "little") + text, size
        self.digest = xxhash.xxh3_64()
    def readable(self):
        return True
    def readinto(self, target):
        part, self.head = self.head[: len(target)], self.head[len(target) :]
        if not part:
            start = self.left % len(piece)
            part = piece[start : start + min(len(target), self.left)]
            self.left -= len(part)
        target[: len(part)] = part
        self.digest.update(part)
        return len(part)

class Sink(io.RawIOBase):
    def __init__(self):
        self.digest, self.size = xxhash.xxh3_64(), 0
    def writable(self):
        return True
    def write(self, data):
        self.digest.update(data)
        self.size += len(data)
        return len(data)

def both_ways(size):
    context = api.Context(threads=threads)
    receiver, sender = os.pipe()
    source, sink = Numbers(size), Sink()
    def send():
        with open(sender, "wb") as pipe:
            nncomp.compress_stream(source, pipe, method=method, context=context)
    writer = threading.Thread(target=send)
    writer.start()
    with open(receiver, "rb") as pipe:
        nncomp.decompress_stream(pipe, sink, context=context)
    writer.join()
    assert sink.digest.digest() == source.digest.digest()
    assert sink.size > size

def peak():
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])

both_ways(MIB)
before = peak()
both_ways(300 * MIB)
print(json.dumps(peak() - before))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize(
    ("method", "threads", "compiled"),
    [("zipnn", 1, "1"), ("zipnn", 2, "0")],
    ids=["compiled", "numpy, two threads"],
)
def test_300_megabytes_both_ways(method: str, threads: int, compiled: str) -> None:
    command = [sys.executable, "-c", SCRIPT, method, str(threads)]
    environment = {**os.environ, "NNCOMP_COMPILED": compiled}
    done = subprocess.run(command, check=True, capture_output=True, env=environment)
    assert json.loads(done.stdout) < 64 * MIB
