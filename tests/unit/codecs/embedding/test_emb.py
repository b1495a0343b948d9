"""The codec: file formats, records, streams, and what archives say of themselves."""

import io
import zipfile

import numpy as np
import pytest

import nncomp
from nncomp.codecs.base import Block, Context, resolve_params
from nncomp.codecs.embedding.emb import EMB
from nncomp.codecs.embedding.records import Shape, cut
from nncomp.codecs.embedding.summary import summarise
from nncomp.codecs.embedding.table import PART_MAX
from nncomp.codecs.tensor.dtypes import DTYPES
from nncomp.codecs.tensor.summary import Payload
from nncomp.errors import CorruptError, MethodError, NncompError, TruncatedError

RANDOM = np.random.default_rng(29)


def lookups(rows: int, columns: int, size: int = 60) -> np.ndarray:
    table = RANDOM.normal(0, 0.05, (size, columns)).astype(np.float32)
    return table[RANDOM.zipf(1.3, rows) % size]


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def decoded(content: bytes, method: str) -> bytes:
    """What comes out of an archive of a method, in every way to read it."""
    archive = nncomp.compress(content, method)
    assert nncomp.compress(content, method, threads=3) == archive
    out = nncomp.decompress(archive)
    assert nncomp.decompress(archive, threads=3) == out
    assert nncomp.open(io.BytesIO(archive)).read() == out
    (info,) = nncomp.inspect(io.BytesIO(archive))
    assert info.codec == "emb"
    assert len(out) == len(content)
    return out


def test_raw_tables() -> None:
    tables = [lookups(100, 16) * scale for scale in (1, 100)]
    content = b"".join(table.tobytes() for table in tables) + tables[0][:7].tobytes() + b"odd"
    out = decoded(content, "emb:bound=1e-2,mode=rel,shape=100x16")
    for number, table in enumerate(tables):
        back = np.frombuffer(out, np.float32, table.size, number * table.nbytes)
        bound = 1e-2 * float(np.ptp(table.astype(np.float64)))
        error = np.abs(back.astype(np.float64) - table.reshape(-1)).max()
        assert 0 < error <= bound
    assert out[-3:] == b"odd"
    assert len(nncomp.compress(content, "emb:bound=1e-2,mode=rel,shape=100x16")) < 0.3 * len(
        content
    )


@pytest.mark.parametrize("dtype", ["f16", "bf16", "f32", "f64"])
def test_raw_types(dtype: str) -> None:
    values = lookups(200, 8).astype(np.float64 if dtype == "f64" else np.float32)
    if dtype == "f16":
        content = values.astype(np.float16).tobytes()
    elif dtype == "bf16":
        content = (values.view(np.uint32) >> 16).astype(np.uint16).tobytes()
    else:
        content = values.tobytes()
    out = decoded(content, f"emb:bound=1e-2,shape=200x8,dtype={dtype}")
    assert out != content
    if dtype in ("f32", "f64"):
        assert np.abs(np.frombuffer(out, values.dtype) - values.reshape(-1)).max() <= 1e-2


def test_npy() -> None:
    table = lookups(300, 32)
    back = np.load(io.BytesIO(decoded(npy(table), "emb:bound=1e-3")))
    assert back.shape == table.shape
    assert 0 < np.abs(back - table).max() <= 1e-3


def test_only_floats_lose() -> None:
    arrays = {
        "table": lookups(200, 16),
        "half": lookups(50, 8).astype(np.float16),
        "bias": RANDOM.normal(size=300).astype(np.float32),
        "cube": RANDOM.normal(size=(4, 30, 8)).astype(np.float32),
        "complex": (RANDOM.normal(size=(40, 8)) + 1j).astype(np.complex64),
        "ids": RANDOM.integers(1 << 40, size=(300, 2)),
        "text": np.frombuffer(b"a table of text " * 30, np.uint8),
        "empty": np.zeros((0, 64), np.float32),
        "scalar": np.float32(3.25),
    }
    out = decoded(npz(**arrays), "emb:bound=1e-2")
    back = np.load(io.BytesIO(out))
    for name, array in arrays.items():
        assert back[name].shape == np.shape(array)
        error = np.abs(back[name].astype(complex) - np.asarray(array).astype(complex))
        lossy = name in ("table", "half", "bias", "cube", "complex", "scalar")
        assert (error.max(initial=0) > 0) == lossy
        assert error.real.max(initial=0) <= 1.5e-2


def test_torch_files() -> None:
    torch = pytest.importorskip("torch")
    table = torch.from_numpy(lookups(300, 16))
    file = io.BytesIO()
    torch.save({"weight": table, "half": table.bfloat16(), "steps": torch.arange(500)}, file)
    out = decoded(file.getvalue(), "emb:bound=1e-2")
    back = torch.load(io.BytesIO(out))
    assert torch.equal(back["steps"], torch.arange(500))
    assert 0 < (back["weight"] - table).abs().max() <= 1e-2
    assert (back["half"].float() - table.bfloat16().float()).abs().max() <= 1e-2


def test_without_bound_or_format_nothing_is_lost() -> None:
    table = lookups(300, 16)
    for content in (npy(table), table.tobytes(), b"text again and again " * 500, npz(a=table)):
        assert decoded(content, "emb") == content
    assert decoded(b"text again and again " * 500, "emb:bound=1") == b"text again and again " * 500


def zipped(directory: bool, **arrays: np.ndarray) -> bytes:
    """As numpy.savez writes it to a file, or to what cannot seek: with data descriptors."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *args: int) -> int:
            raise OSError

        def tell(self) -> int:
            raise OSError

    file = io.BytesIO() if directory else Pipe()
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            archive.writestr(f"{name}.npy", npy(array))
    return file.getvalue()


@pytest.mark.parametrize("directory", [True, False])
@pytest.mark.parametrize("block", ["64K", "16M"])
def test_checksums_of_zip_archives_fit(directory: bool, block: str) -> None:
    table = lookups(400, 16)
    twin = table.view(np.int32)  # the same CRC-32, but nothing is lost
    content = zipped(directory, a=table, twin=twin, b=lookups(900, 16), c=lookups(9000, 4))
    out = decoded(content, f"emb:bound=1e-2,block={block}")
    with zipfile.ZipFile(io.BytesIO(out)) as archive:
        assert archive.testzip() is None
        assert archive.read("twin.npy") == npy(twin)
        assert archive.read("a.npy") != npy(table)
        for entry in archive.infolist():
            header = out[entry.header_offset :]
            of_local = int.from_bytes(header[14:18], "little")
            assert of_local == (entry.CRC if directory else 0)


def test_what_looks_like_a_header_is_none() -> None:
    inner = zipped(True, a=lookups(50, 8))
    content = npz(inner=np.frombuffer(inner, np.uint8), a=lookups(300, 8))
    back = np.load(io.BytesIO(decoded(content, "emb:bound=1e-2")))
    assert back["inner"].tobytes() == inner


@pytest.mark.parametrize("cut", [1, 7, 1000, 1 << 20])
def test_chunks_do_not_matter(cut: int) -> None:
    content = npy(lookups(3000, 16))
    params = {**resolve_params(EMB, {"bound": "0.01", "block": "64K"}, None)}
    chunks = [content[at : at + cut] for at in range(0, len(content), cut)]
    whole = [bytes(b.payload) for b in EMB.encode([content], params, Context())]
    assert [bytes(b.payload) for b in EMB.encode(chunks, params, Context())] == whole
    assert len(whole) > 2


def test_tables_larger_than_records() -> None:
    table = lookups(5000, 8)
    table[0] = 100
    content = table.tobytes()
    out = decoded(content, "emb:bound=1e-3,mode=rel,shape=5000x8,block=64K")
    error = np.abs(np.frombuffer(out, np.float32) - table.reshape(-1)).max()
    assert error <= 1e-3 * float(np.ptp(table))


def test_archive_says_what_was_lost() -> None:
    archive = nncomp.compress(npy(lookups(300, 16)), "emb:bound=1e-2,mode=rel")
    (info,) = nncomp.inspect(io.BytesIO(archive))
    assert "bound=0.01,mode=rel" in info.params


@pytest.mark.parametrize(
    "settings",
    ["bound=-1", "bound=nan", "mode=relative", "shape=64", "shape=0x64", "shape=2x64x2",
     "shape=9x99999999", "dtype=f8", "entropy=xz", "bandwidth=-1"],
)  # fmt: skip
def test_settings(settings: str) -> None:
    with pytest.raises(MethodError):
        nncomp.compress(bytes(100), f"emb:{settings}")


def test_store_where_nothing_shrinks() -> None:
    content = RANDOM.bytes(500)
    archive = nncomp.compress(content, "emb:bound=1e-9,shape=5x25")
    (info,) = nncomp.inspect(io.BytesIO(archive))
    assert info.codec == "store"
    assert nncomp.decompress(archive) == content


def archives() -> list[bytes]:
    table = lookups(80, 12)
    table[5, 5] = np.nan
    return [
        nncomp.compress(npy(table), "emb:bound=1e-2"),
        nncomp.compress(npy(table), "emb:bound=1e-2,entropy=zstd"),
        nncomp.compress(table.tobytes() + b"?", "emb:bound=1e-3,shape=40x12,entropy=lz4"),
    ]


@pytest.mark.parametrize("number", range(3))
def test_damage(number: int) -> None:
    archive = archives()[number]
    content = nncomp.decompress(archive)
    for size in range(0, len(archive), 3):
        with pytest.raises(TruncatedError):
            nncomp.decompress(archive[:size])
    harmless = 0
    for bit in RANDOM.permutation(8 * len(archive))[:1500].tolist():
        flipped = bytearray(archive)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            out = nncomp.decompress(flipped)
        except NncompError:
            continue
        assert out == content
        harmless += 1
    # Of the bound the lower bits, which no float32 shows; and how large the error was.
    assert harmless <= 60


def block_of(payload: bytes, size: int) -> bytes:
    params = resolve_params(EMB, {}, None)
    return b"".join(map(bytes, EMB.decode([Block(size, payload)], params, Context())))


@pytest.mark.parametrize(
    ("payload", "size", "reason"),
    [
        (b"", 4, "ends too early"),
        (b"\x05\x00\x00aaaaa", 4, "no size that fits"),
        (b"\x00\x00", 4, "no size that fits"),
        (b"\x04\x02\x00aaaa", 4, "no size that fits"),
        (b"\x04\x00\x00aaaa!", 4, "goes on behind"),
        (b"\x04\x01\x04\x00\x02\x01\x00", 4, "not as large as its segment"),
        (b"\x04\x01\x04\x07\x01\x01\x00", 4, "a type or a shape"),
        (b"\x04\x01\x05\x00\x01\x01\x10a", 4, "flags that contradict"),
        (
            b"\x84\x80\x80\x08\x01\x06\x00\x01\x81\x80\x80\x02",
            4 * (PART_MAX + 1),
            "rows of 4194305 elements, where 4194304",
        ),
    ],
)
def test_bad_payloads(payload: bytes, size: int, reason: str) -> None:
    with pytest.raises(CorruptError, match=reason):
        block_of(payload, size)


def test_tables_of_other_sizes_are_not_listed() -> None:
    payload = b"\x04\x01\x04\x00\x02\x01\x00"
    with pytest.raises(CorruptError, match="not as large as its segment"):
        list(summarise(Payload(io.BytesIO(payload), 0, len(payload)), 4))


def test_rows_that_are_larger_than_a_part_are_none() -> None:
    """A part of one row would take more memory than the archive tells."""
    for columns, kept in ((PART_MAX, PART_MAX), (PART_MAX + 1, 1)):
        shape = Shape(1, columns, DTYPES["F16"])
        (record,) = cut([bytes(shape.size)], shape.size, shape)
        assert [piece.columns for piece in record.pieces] == [kept]


def test_account_adds_up() -> None:
    content = npz(table=lookups(300, 16), ids=np.arange(300))
    params = resolve_params(EMB, {"bound": "0.01"}, None)
    (block,) = EMB.encode([content], params, Context())
    (account,) = EMB.account([Block(block.raw_size, block.payload)], params, Context())
    assert bytes(account.raw) == bytes(block.raw)
    assert sum(stretch.size for stretch in account.stretches) == len(content)
    bits = [bits for stretch in account.stretches for bits in stretch.bits.values()]
    assert sum(bits) == 8 * len(block.payload)


def test_tables_are_listed() -> None:
    from nncomp.tensors.listing import list_tensors

    table = lookups(300, 16)
    archive = nncomp.compress(npz(table=table, ids=np.arange(300)), "emb:bound=0.5,mode=rel")
    (listing,) = list_tensors(io.BytesIO(archive))
    assert listing.lossy == "rel<=0.5"
    (listed,) = listing.tables
    assert (listed.name, listed.dtype, listed.shape) == ("table", "F32", (300, 16))
    assert listed.bound == 0.5 * (float(table.max()) - float(table.min()))
    assert 0 < listed.error <= listed.bound
    assert listed.unique <= 60
    (raw,) = list_tensors(io.BytesIO(nncomp.compress(table.tobytes(), "emb:shape=100x16")))
    assert raw.lossy is None
    assert [(one.name, one.bound, one.shape) for one in raw.tables] == [("", 0.0, (100, 16))] * 3


def test_tables_have_the_names_of_their_tensors() -> None:
    """Whatever else is in the file, and whoever else has their bytes."""
    torch = pytest.importorskip("torch")
    from nncomp.tensors.listing import list_tensors

    def names(content: bytes) -> list[str]:
        (listing,) = list_tensors(io.BytesIO(nncomp.compress(content, "emb:bound=1,block=64K")))
        return [one.name for one in listing.tables]

    words = np.array(["no", "numbers"])
    arrays = {"a": lookups(300, 16), "words": words, "b": np.float64(3.5), "c": lookups(30, 8)}
    assert names(npz(**arrays)) == ["a", "b", "c"]
    table = torch.tensor(lookups(3000, 16))  # of several records; a view of it begins with it
    file = io.BytesIO()
    torch.save({"view": table[:9], "whole": table, "turned": table.t()}, file)
    assert names(file.getvalue()) == ["whole"] * 3


def told(content: bytes, method: str) -> list[str]:
    """What compressing says."""
    said: list[str] = []
    context = Context(warn=said.append)
    nncomp.compress_stream(io.BytesIO(content), io.BytesIO(), method=method, context=context)
    return said


def test_a_bound_without_a_table_is_told() -> None:
    table = lookups(300, 16)
    packed = io.BytesIO()
    np.savez_compressed(packed, a=table)
    for content in (table.tobytes(), npy(table.astype(">f4")), packed.getvalue()):
        (text,) = told(content, "emb:bound=1e-2")
        assert "no table was found" in text
        assert told(content, "emb") == []
    assert told(b"", "emb:bound=1e-2") == told(npy(table), "emb:bound=1e-2") == []


def test_a_shape_that_does_not_fit_is_told() -> None:
    content = lookups(300, 16).tobytes()
    assert told(content, "emb:bound=1e-2,shape=100x16") == []
    (text,) = told(content, "emb:bound=1e-2,shape=7x999")
    assert text == "19200 bytes are no whole number of tables of 7x999 F32: the last has fewer " + (
        "rows, and the last 3216 bytes are kept exactly"
    )
    (text,) = told(content, "emb:bound=1e-2,shape=200x16")
    assert text.endswith("the last has fewer rows")

    (text,) = told(b"123", "emb:bound=1e-2,shape=7x9")
    assert text.endswith("and the last 3 bytes are kept exactly")


def test_a_shape_is_of_no_file_format() -> None:
    """Its headers would be quantised; without a bound nothing changes."""
    table = lookups(300, 16)
    for content in (npy(table), npz(a=table)):
        with pytest.raises(MethodError, match=r"this is an .np[yz] file, whose headers"):
            nncomp.compress(content, "emb:bound=1e-2,shape=300x16")
        assert decoded(content, "emb:shape=300x16") == content


@pytest.mark.parametrize("settings", ["mode=rel", "bound=1,bandwidth=1e9,entropy=lz4"])
def test_what_would_have_no_effect_is_refused(settings: str) -> None:
    with pytest.raises(MethodError, match=r"is of a bound|nothing to choose"):
        nncomp.compress(b"", f"emb:{settings}")


def test_a_type_needs_a_shape() -> None:
    with pytest.raises(MethodError, match="dtype=bf16 is of tables without a file format"):
        nncomp.compress(b"", "emb:bound=1e-2,dtype=bf16")
