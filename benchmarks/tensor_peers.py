"""Compressors of numbers in memory: who takes part, and what each is told about the data."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any, TypeAlias

import numpy as np
from tensor_data import WIDTHS, Numbers

Buffer: TypeAlias = "bytes | bytearray | np.ndarray"


@dataclass(frozen=True)
class Contestant:
    """One compressor, set up for one data set.

    Attributes:
        name: In tables.
        told: What it was told about the numbers.
        compress: From bytes to anything that `decompress` takes and `len` counts.
        decompress: To a buffer, in whatever form the library gives it.
        spoils: It writes to its input, and so gets a copy, made outside the timing.
    """

    name: str
    told: str
    compress: Callable[[Any], bytes]
    decompress: Callable[[bytes], Buffer]
    spoils: bool = False


Maker = Callable[[Numbers, int], Contestant]
"""From a data set and a number of threads."""


# --- nncomp --------------------------------------------------------------------------


def nncomp_maker(method: str) -> Maker:
    """nncomp by its method; `zipnn` is told the type where the data does not say it.

    The base of a delta goes to both directions. This is the only place that knows how.
    """

    def make(numbers: Numbers, threads: int) -> Contestant:
        import nncomp

        told = ""
        if method.split(":")[0] == "zipnn" and not numbers.file:
            told = f"dtype={numbers.dtype.lower()}"
        text = method + ("," if ":" in method else ":") + told if told else method
        options: dict[str, Any] = {"threads": threads, "device": "cpu"}
        if numbers.base is not None:
            options["base"] = numbers.base
        return Contestant(
            f"nncomp {method}",
            told,
            lambda data: nncomp.compress(data, text, **options),
            lambda archive: nncomp.decompress(archive, **options),
        )

    return make


# --- compressors of tensors ----------------------------------------------------------

# What zipnn is called with. It knows no float64, no complex and no whole numbers: these get
# the known type of like width that comes out smallest.
_ZIPNN = {
    "BF16": "bfloat16",
    "F16": "float16",
    "I16": "float16",
    "F8_E5M2": "float8_e5m2",
    "F8_E4M3": "float8_e4m3fn",
    "I8": "float8_e4m3fn",
    "BOOL": "float8_e4m3fn",
}


def _zipnn(numbers: Numbers, threads: int) -> Contestant:
    from zipnn import ZipNN

    dtype = _ZIPNN.get(numbers.dtype, "float32")
    options: dict[str, Any] = {"bytearray_dtype": dtype, "threads": threads}
    base = numbers.base
    if base is None:
        # One object for each direction, since reading a header changes the settings.
        coder, decoder = ZipNN(**options), ZipNN(**options)
        return Contestant("zipnn", dtype, coder.compress, decoder.decompress, spoils=True)
    options["delta_compressed_type"] = "byte"
    coder, decoder = ZipNN(**options), ZipNN(**options)
    return Contestant(
        "zipnn",
        f"{dtype}, delta",
        lambda data: coder.compress(data, delta_second_data=base),
        lambda blob: decoder.decompress(blob, delta_second_data=base),
    )


def _openzl(numbers: Numbers, _threads: int) -> Contestant:
    """Exponents apart where openzl can, else bytes apart; each part with its entropy coder."""
    import openzl.ext as zl

    width = WIDTHS[numbers.dtype]
    compressor = zl.Compressor()
    compressor.set_parameter(zl.CParam.FormatVersion, zl.MAX_FORMAT_VERSION)
    entropy = zl.graphs.Entropy()
    if width == 1:
        graph, told = entropy(compressor), "entropy"
    else:
        lanes = zl.nodes.TransposeSplit()(compressor, entropy(compressor))
        if numbers.dtype == "BF16":
            node, told = zl.nodes.BFloat16Deconstruct(), "bfloat16 deconstruct, entropy"
            graph = node(compressor, entropy(compressor), entropy(compressor))
        elif numbers.dtype in ("F32", "C64"):
            node, told = zl.nodes.Float32Deconstruct(), "float32 deconstruct, split, entropy"
            graph = node(compressor, lanes, entropy(compressor))
        else:
            graph, told = zl.nodes.ConvertNumToStructLE()(compressor, lanes), "split, entropy"
        if numbers.dtype[0] == "I":
            graph, told = zl.nodes.Zigzag()(compressor, graph), f"zigzag, {told}"
    compressor.select_starting_graph(graph)
    kind = zl.Type.Serial if width == 1 else zl.Type.Numeric

    def compress(data: bytes) -> bytes:
        context = zl.CCtx()
        context.ref_compressor(compressor)
        blob: bytes = context.compress([zl.Input(kind, np.frombuffer(data, f"<u{width}"))])
        return blob

    def decompress(blob: bytes) -> Buffer:
        return zl.DCtx().decompress(blob)[0].content.as_nparray()

    return Contestant("openzl", told, compress, decompress)


def _pcodec(numbers: Numbers, _threads: int) -> Contestant:
    from pcodec import ChunkConfig, standalone

    width = WIDTHS[numbers.dtype]
    if numbers.dtype in ("F64", "F32", "F16", "C64"):
        dtype = f"float{8 * width}"
    else:
        dtype = f"{'int' if numbers.dtype[0] == 'I' else 'uint'}{8 * width}"
    config = ChunkConfig(enable_8_bit=True)
    return Contestant(
        "pcodec",
        dtype,
        lambda data: standalone.simple_compress(np.frombuffer(data, dtype), config),
        standalone.simple_decompress,
    )


# --- general compressors -------------------------------------------------------------


def _blosc2(codec: str) -> Maker:
    def make(numbers: Numbers, threads: int) -> Contestant:
        import blosc2

        width = WIDTHS[numbers.dtype]
        options = {
            "codec": getattr(blosc2.Codec, codec.upper()),
            "clevel": 5,
            "typesize": width,
            "filters": [blosc2.Filter.BITSHUFFLE],
            "filters_meta": [0],
            "nthreads": threads,
        }
        return Contestant(
            f"blosc2-{codec}",
            f"typesize {width}, bitshuffle",
            lambda data: blosc2.compress2(data, **options),
            lambda blob: blosc2.decompress2(blob, nthreads=threads),
        )

    return make


def _zstd(level: int) -> Maker:
    """Of a delta, the exclusive or with the base, in both directions within the timing."""

    def make(numbers: Numbers, threads: int) -> Contestant:
        import zstandard

        coder = zstandard.ZstdCompressor(level, threads=0 if threads == 1 else threads)
        decoder, name = zstandard.ZstdDecompressor(), f"zstd-{level}"
        if numbers.base is None:
            return Contestant(name, "", coder.compress, decoder.decompress)
        base = np.frombuffer(numbers.base, np.uint8)
        return Contestant(
            name,
            "xor with the base",
            lambda data: coder.compress((np.frombuffer(data, np.uint8) ^ base).data),
            lambda blob: np.frombuffer(decoder.decompress(blob), np.uint8) ^ base,
        )

    return make


def _lz4(_numbers: Numbers, _threads: int) -> Contestant:
    import lz4.frame

    return Contestant("lz4", "", lz4.frame.compress, lz4.frame.decompress)


# --- who is here ---------------------------------------------------------------------

PEERS: dict[str, tuple[str, Maker]] = {
    "zipnn": ("zipnn", _zipnn),
    "zstd-1": ("zstandard", _zstd(1)),
    "zstd-3": ("zstandard", _zstd(3)),
    "lz4": ("lz4", _lz4),
    "blosc2-lz4": ("blosc2", _blosc2("lz4")),
    "blosc2-zstd": ("blosc2", _blosc2("zstd")),
    "openzl": ("openzl", _openzl),
    "pcodec": ("pcodec", _pcodec),
}
"""By name in tables: the package, and how it is set up. zipnn runs right after nncomp."""

DELTA_PEERS = {"zipnn": PEERS["zipnn"], "zstd-19": ("zstandard", _zstd(19))}
"""The same for what has a base."""


def maker(name: str) -> Maker:
    """By the name in tables; nncomp's has its method after a space."""
    if name.startswith("nncomp "):
        return nncomp_maker(name.removeprefix("nncomp "))
    return {**PEERS, **DELTA_PEERS}[name][1]


def here(
    peers: dict[str, tuple[str, Maker]], names: Sequence[str]
) -> tuple[list[str], dict[str, str]]:
    """Those of `names` that can run on this machine, and versions of all their packages.

    Raises:
        SystemExit: A name is not one of `peers`.
    """
    unknown = [name for name in names if name not in peers]
    if unknown:
        raise SystemExit(f"no peer is called {unknown[0]}; there are {', '.join(peers)}")
    wanted = {name: package for name, (package, _) in peers.items() if name in names}
    versions = {
        package: metadata.version(package) if importlib.util.find_spec(package) else "missing"
        for package in wanted.values()
    }
    return [name for name, package in wanted.items() if versions[package] != "missing"], versions
