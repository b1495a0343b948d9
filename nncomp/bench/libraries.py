"""Compressors that are called in memory: nncomp itself, libraries, and plain copying.

Each maker sets one up for one file. It runs in the worker, so that a library which is
missing, or which brings the process down, costs nothing but its own row.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from io import BytesIO
from typing import TYPE_CHECKING, Any

from nncomp.bench.subjects import BYTES, WIDTHS

if TYPE_CHECKING:
    from collections.abc import Callable

    from nncomp.bench.subjects import Subject

__all__ = ["LIBRARIES", "Functions", "Library", "copying", "own"]


@dataclass(frozen=True)
class Functions:
    """One compressor, set up.

    Attributes:
        compress: From bytes to anything that `decompress` takes and `len` counts.
        decompress: To a buffer, in whatever form the library gives it.
        spoils: It writes to its input, and so gets a copy, made outside the timing.
        weights: Bytes of files in the package that decoding of a result may need besides.
    """

    compress: Callable[[Any], Any]
    decompress: Callable[[Any], Any]
    spoils: bool = False
    weights: Callable[[Any], int] = lambda blob: 0


@dataclass(frozen=True)
class Library:
    """A peer in a Python package.

    Attributes:
        module: What to import.
        package: What installs it, and knows its version.
        make: Sets it up for a file, a number of threads, and a setting.
        settings: What it can be told, one of them, the first unless somebody says else; none:
            it takes none, and its setting is empty.
    """

    module: str
    package: str
    make: Callable[[Subject, int, str], Functions]
    settings: tuple[str, ...] = ()


def copying() -> Functions:
    """What no compressor is faster than: the bytes, copied to fresh memory."""
    return Functions(bytearray, bytearray)


def own(method: str, level: int | None, subject: Subject, threads: int, device: str) -> Functions:
    """nncomp by its method; `zipnn` is told the type of bytes that have no format around them.

    The base of differences goes to both directions.
    """
    import nncomp

    if subject.told and method.split(":")[0] == "zipnn" and "dtype=" not in method:
        method += f"{',' if ':' in method else ':'}dtype={subject.dtype.lower()}"
    options: dict[str, Any] = {"threads": threads, "device": device}
    if subject.base is not None:
        options["base"] = subject.base
    return Functions(
        lambda data: nncomp.compress(data, method, level=level, **options),
        lambda archive: nncomp.decompress(archive, **options),
        weights=_shipped,
    )


def _shipped(archive: bytes) -> int:
    """Bytes of what the package brings for the codecs of an archive."""
    import nncomp
    from nncomp.codecs.registry import by_name

    root = resources.files("nncomp")
    names = {info.codec for info in nncomp.inspect(BytesIO(archive))}
    files = {file for name in names for file in getattr(by_name(name), "shipped", ())}
    return sum(len((root / file).read_bytes()) for file in files)


# --- compressors of numbers ----------------------------------------------------------

# What zipnn is called with. It knows no float64, no complex and no whole numbers: these get
# the known type of like width that comes out smallest.
_ZIPNN = {
    "bfloat16": ("BF16",),
    "float16": ("F16", "I16", "U16"),
    "float8_e5m2": ("F8_E5M2",),
    "float8_e4m3fn": ("F8_E4M3", "I8", "U8", "BOOL"),
}
_ZIPNN_TYPES = {name: told for told, names in _ZIPNN.items() for name in names}


def _zipnn(subject: Subject, threads: int, _setting: str) -> Functions:
    from zipnn import ZipNN

    options: dict[str, Any] = {
        "bytearray_dtype": _ZIPNN_TYPES.get(subject.dtype, "float32"),
        "threads": threads,
    }
    if subject.base is None:
        # One object for each direction, since reading a header changes the settings.
        coder, decoder = ZipNN(**options), ZipNN(**options)
        return Functions(coder.compress, decoder.decompress, spoils=True)
    options["delta_compressed_type"] = "byte"
    coder, decoder = ZipNN(**options), ZipNN(**options)
    base = subject.base.read_bytes()
    return Functions(
        lambda data: coder.compress(data, delta_second_data=base),
        lambda blob: decoder.decompress(blob, delta_second_data=base),
    )


def _openzl(subject: Subject, _threads: int, _setting: str) -> Functions:
    """Exponents apart where openzl can, else bytes apart; each part with its entropy coder."""
    import numpy as np
    import openzl.ext as zl

    width = WIDTHS[subject.dtype]
    compressor = zl.Compressor()
    compressor.set_parameter(zl.CParam.FormatVersion, zl.MAX_FORMAT_VERSION)
    compressor.select_starting_graph(_graph(zl, compressor, subject.dtype))
    kind = zl.Type.Serial if width == 1 else zl.Type.Numeric

    def compress(data: bytes) -> Any:
        context = zl.CCtx()
        context.ref_compressor(compressor)
        return context.compress([zl.Input(kind, np.frombuffer(data, f"<u{width}"))])

    return Functions(compress, lambda blob: zl.DCtx().decompress(blob)[0].content.as_nparray())


def _graph(zl: Any, compressor: Any, dtype: str) -> Any:
    """What openzl is to do: its general compressor for bytes, fields and entropy for numbers."""
    if dtype == BYTES:
        return zl.graphs.Compress()(compressor)
    entropy = zl.graphs.Entropy()
    if WIDTHS[dtype] == 1:
        return entropy(compressor)
    lanes = zl.nodes.TransposeSplit()(compressor, entropy(compressor))
    if dtype == "BF16":
        node = zl.nodes.BFloat16Deconstruct()
        return node(compressor, entropy(compressor), entropy(compressor))
    if dtype in ("F32", "C64"):
        node = zl.nodes.Float32Deconstruct()
        return node(compressor, lanes, entropy(compressor))
    graph = zl.nodes.ConvertNumToStructLE()(compressor, lanes)
    return zl.nodes.Zigzag()(compressor, graph) if dtype[0] == "I" else graph


def _pcodec(subject: Subject, _threads: int, _setting: str) -> Functions:
    import numpy as np
    from pcodec import ChunkConfig, standalone

    bits = 8 * WIDTHS[subject.dtype]
    if subject.dtype in ("F64", "F32", "F16", "C64"):
        dtype = f"float{bits}"
    else:
        dtype = f"{'int' if subject.dtype[0] == 'I' else 'uint'}{bits}"
    config = ChunkConfig(enable_8_bit=True)
    return Functions(
        lambda data: standalone.simple_compress(np.frombuffer(data, dtype), config),
        standalone.simple_decompress,
    )


# --- general compressors -------------------------------------------------------------


def _blosc2(subject: Subject, threads: int, codec: str) -> Functions:
    """A codec behind bits, or bytes for what has no numbers, sorted by their places."""
    import blosc2

    width = WIDTHS[subject.dtype]
    shuffle = blosc2.Filter.SHUFFLE if subject.dtype == BYTES else blosc2.Filter.BITSHUFFLE
    options = {
        "codec": blosc2.Codec[codec.upper()],
        "clevel": 5,
        "typesize": width,
        "filters": [shuffle],
        "filters_meta": [0],
        "nthreads": threads,
    }
    return Functions(
        lambda data: blosc2.compress2(data, **options),
        lambda blob: blosc2.decompress2(blob, nthreads=threads),
    )


def _zstandard(subject: Subject, threads: int, level: str) -> Functions:
    """With a base, of the exclusive or with that, both ways within the timing."""
    import zstandard

    coder = zstandard.ZstdCompressor(int(level), threads=0 if threads == 1 else threads)
    decoder = zstandard.ZstdDecompressor()
    if subject.base is None:
        return Functions(coder.compress, decoder.decompress)
    import numpy as np

    base = np.fromfile(subject.base, np.uint8)
    return Functions(
        lambda data: coder.compress((np.frombuffer(data, np.uint8) ^ base).data),
        lambda blob: np.frombuffer(decoder.decompress(blob), np.uint8) ^ base,
    )


def _lz4(_subject: Subject, _threads: int, _setting: str) -> Functions:
    import lz4.frame

    return Functions(lz4.frame.compress, lz4.frame.decompress)


def _snappy(_subject: Subject, _threads: int, _setting: str) -> Functions:
    import snappy

    return Functions(snappy.compress, snappy.decompress)


LIBRARIES: dict[str, Library] = {
    "lz4": Library("lz4.frame", "lz4", _lz4),
    "snappy": Library("snappy", "python-snappy", _snappy),
    "zstandard": Library(
        "zstandard", "zstandard", _zstandard, ("3", *map(str, (1, 2, *range(4, 23))))
    ),
    "blosc2": Library("blosc2", "blosc2", _blosc2, ("zstd", "lz4", "lz4hc", "blosclz", "zlib")),
    "zipnn": Library("zipnn", "zipnn", _zipnn),
    "openzl": Library("openzl.ext", "openzl", _openzl),
    "pcodec": Library("pcodec", "pcodec", _pcodec),
}
"""By the name that stands in tables, the fastest first."""
