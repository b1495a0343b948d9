"""Where the bits of an archive went: all of them, and nowhere else."""

from __future__ import annotations

import io
import json
import re
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import nncomp
from nncomp.api.explanation import Explanation, explain
from nncomp.codecs.account import HEADERS, STORED, Account, Stretch
from nncomp.codecs.base import Block, Context
from nncomp.codecs.mix.account import CORRECTIONS
from nncomp.codecs.mix.tally import ROUNDING
from nncomp.codecs.registry import CODECS, by_name
from nncomp.errors import CorruptError, NncompError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nncomp.codecs.base import Codec

GOLDEN = Path(__file__).parents[2] / "golden"
GOOD = sorted(path.name for path in GOLDEN.glob("good-*.nnc"))
BAD = sorted(path.name for path in GOLDEN.glob("bad-*.nnc") if path.stat().st_size > 7)
UNSUPPORTED = sorted(path.name for path in GOLDEN.glob("unsupported-*.nnc"))
BASES = {"good-zipnn-difference-v1.nnc": GOLDEN / "good-zipnn-float32-v1.nnc"}

TEXT = b"".join(b"line %d of a text that compresses\n" % i for i in range(200))
NOISE = np.random.default_rng(5).bytes(60_000)
METHODS = ["mix:contexts=5", "mix", *(name for name, _ in CODECS.values() if name != "sep")]


def explained(data: bytes, method: str = "auto", **options: Any) -> Explanation:
    found = explain(io.BytesIO(data), method=method, **options)
    check(found)
    return found


def check(found: Explanation) -> None:
    """What holds for every explanation."""
    size = found.archive_size
    assert found.total == pytest.approx(size, abs=1e-6)
    container = sum(part.cost for part in found.parts if part.name.startswith("container: "))
    assert container + sum(region.cost for region in found.regions) == pytest.approx(size, abs=1e-6)
    assert sum(region.size for region in found.regions) == found.raw_size
    assert len(found.regions) == min(found.raw_size, 512)
    assert all(part.cost > 0 for part in found.parts if part.name != ROUNDING)
    assert [part.cost for part in found.parts] == sorted(
        (part.cost for part in found.parts), reverse=True
    )
    if found.inputs:
        assert sum(one.share for one in found.inputs) == pytest.approx(1)


def cost(found: Explanation, name: str) -> float:
    return sum(part.cost for part in found.parts if part.name == name)


# ---------------------------------------------------------------- all archives


@pytest.mark.parametrize("name", GOOD)
def test_costs_add_up_to_the_archive(name: str) -> None:
    path = GOLDEN / name
    context = nncomp.api.make_context(2, "auto", None, BASES.get(name))
    found = explain(path, context=context)
    check(found)
    assert found.archive_size == path.stat().st_size
    assert not found.compressed
    infos = nncomp.inspect(path)
    assert found.raw_size == sum(info.raw_size for info in infos)
    assert (found.members, found.records) == (len(infos), sum(info.records for info in infos))
    # Coders take what probabilities promise, but for a last byte or two of each stream.
    assert abs(cost(found, ROUNDING)) <= 2 * max(found.records, 4)


@pytest.mark.parametrize("name", [*BAD, *UNSUPPORTED])
def test_errors_are_those_of_decompressing(name: str) -> None:
    data = (GOLDEN / name).read_bytes()
    if not data.startswith(b"\x89NNC\r\n\x1a\n"):
        assert explained(data).compressed
        return
    with pytest.raises(NncompError) as expected:
        nncomp.decompress(data)
    with pytest.raises(type(expected.value), match=re.escape(str(expected.value))):
        explain(io.BytesIO(data))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "data", [b"", b"a", TEXT, NOISE[:3000]], ids=["none", "one", "text", "noise"]
)
def test_any_content_by_any_method(data: bytes, method: str) -> None:
    found = explained(data, method)
    assert found.compressed
    assert found.raw_size == len(data)
    assert found.archive_size == len(nncomp.compress(data, method))


def test_parts_of_the_container_are_what_they_are() -> None:
    archive = nncomp.compress(NOISE, "store")
    found = explained(archive + nncomp.compress(TEXT, "lz4") + archive)
    assert found.members == 3
    assert (cost(found, "container: footer"), cost(found, STORED)) == (60, 2 * len(NOISE))
    assert [text.partition(":")[0] for text in found.methods] == ["store", "lz4"]
    skippable = explain(GOLDEN / "good-skippable-v1.nnc")
    assert cost(skippable, "container: skippable records") > 28


def test_a_stream_that_cannot_seek(pipe: Any) -> None:
    archive = nncomp.compress(TEXT, "zstd")
    found = explain(io.BufferedReader(pipe(archive)))
    assert found == explain(io.BytesIO(archive))


# ---------------------------------------------------------------- regions


@pytest.mark.parametrize("method", ["mix:contexts=5", "mix:contexts=8"])
def test_noise_costs_and_zeros_do_not(method: str) -> None:
    found = explained(NOISE + bytes(60_000), method)
    first, second = found.strip(2)
    assert (first.start, first.size, second.start) == (0, 60_000, 60_000)
    assert 7.9 < first.bits_per_byte < 8.2
    assert second.bits_per_byte < 0.1
    assert found.units == ("byte",)


def test_blocks_of_zstandard_are_told_apart() -> None:
    found = explained(NOISE + bytes(300_000), "zstd:block=1M")
    assert found.units == ("block",)
    assert found.strip(3)[0].bits_per_byte > 3
    assert found.strip(3)[2].bits_per_byte < 0.01


def test_records_of_other_codecs_are() -> None:
    found = explained(TEXT * 20 + bytes(200_000), "lz4:block=64K")
    costs = [region.bits_per_byte for region in found.strip(4)]
    assert found.units == ("record",)
    assert costs[0] > 5 * costs[3]
    stored = explained(NOISE[:50_000] + bytes(70_000), "lz4:block=64K")
    assert stored.regions[0].cost > 0


def test_a_codec_that_loses_bits_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def account(self: Any, blocks: Any, params: Any, context: Any) -> Iterator[Account]:
        for block in blocks:
            raw = self._decode_one(block)
            yield Account(raw, [Stretch(len(raw), {"half": 4.0 * len(block.payload)})], "record")

    codec = by_name("lz4")
    monkeypatch.setattr(type(codec), "account", account, raising=False)
    with pytest.raises(TypeError, match=r"'lz4' accounts for \d+ bytes"):
        explain(io.BytesIO(nncomp.compress(TEXT, "lz4")))


# ---------------------------------------------------------------- what is decoded


def blocks_of(codec: Codec, data: bytes, settings: dict[str, str]) -> tuple[list[Block], Any]:
    from nncomp.codecs.base import resolve_params

    params = codec.settle(resolve_params(codec, settings, None), data, True)
    return list(codec.encode([data], params, Context())), params


SMALL = {
    "ffn": "8", "context": "8", "patch": "8", "stride": "8", "embedding": "4",
    "words": "0", "direct": "2", "block": "64K", "lanes": "2",
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "settings"),
    [("mix", {"block": "64K"}), ("zipnn", {"block": "64K"}), ("zstd", {}),
     ("sep", {**SMALL, "memory": "off", "batch": "256"})],
)  # fmt: skip
def test_accounts_come_with_the_same_content(name: str, settings: dict[str, str]) -> None:
    data = TEXT[:1500] if name == "sep" else TEXT * 9 + NOISE[:9000] + TEXT[::-1]
    codec = by_name(name)
    blocks, params = blocks_of(codec, data, settings)
    done: list[int] = []
    coded = [Block(b.raw_size, b.payload, b.raw if b.payload is None else None) for b in blocks]
    accounts = list(codec.account(coded, params, Context(progress=done.append)))
    assert b"".join(bytes(account.raw) for account in accounts) == data
    assert sum(done) == len(data)
    assert list(map(bytes, codec.decode(coded, params, Context()))) == [
        bytes(account.raw) for account in accounts
    ]


def test_network_alone_is_its_only_input() -> None:
    settings = ",".join(f"{key}={value}" for key, value in (SMALL | {"lanes": "3"}).items())
    data = bytes(600) + NOISE[:600] + bytes(600)
    found = explained(data, f"sep:memory=off,{settings}")
    assert [one.name for one in found.inputs] == ["network"]
    assert found.units == ("byte",)
    first, noise, last = found.strip(3)  # each is a lane
    assert noise.cost > 1.1 * max(first.cost, last.cost)


def test_damage_is_found_on_the_way() -> None:
    archive = bytearray(nncomp.compress(TEXT, "mix"))
    archive[len(archive) // 2] ^= 1
    with pytest.raises(CorruptError, match="at archive byte"):
        explain(io.BytesIO(archive))


# ---------------------------------------------------------------- inputs


def test_inputs_have_the_names_of_the_layout() -> None:
    text = explained(TEXT * 3, "mix")
    assert {"order 2", "word", "match of 7 or more", "constant"} <= {o.name for o in text.inputs}
    lean = explained(TEXT, "mix:contexts=5")
    assert {one.name for one in lean.inputs} == {
        "order 1", "order 2", "order 3", "word", "order 5", "match", "constant",
    }  # fmt: skip


def test_the_network_is_an_input_beside_the_memory() -> None:
    found = explain(GOLDEN / "good-sep-v2.nnc")
    shares = {one.name: one.share for one in found.inputs}
    assert abs(shares["network"]) > 0.001
    assert len(shares) > 10


def test_who_foretells_most_is_first() -> None:
    """Here only the byte before tells anything of the next one."""
    steps = np.random.default_rng(1).integers(0, 2, 20_000, dtype=np.uint8)
    found = explained(np.cumsum(steps, dtype=np.uint8).tobytes(), "mix:contexts=5")
    first, second = found.inputs[:2]
    assert first.name == "order 1"
    assert first.share > 1.3 * second.share


# ---------------------------------------------------------------- pictures and tensors


def png(pixels: np.ndarray) -> bytes:
    """A PNG file of uint8[height, width, 3] without filters."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        crc = zlib.crc32(kind + content).to_bytes(4, "big")
        return len(content).to_bytes(4, "big") + kind + content + crc

    height, width, _ = pixels.shape
    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    lines = b"".join(b"\0" + row.tobytes() for row in pixels)
    parts = chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(lines, 6)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_pixels_are_a_picture_and_lie_on_the_bytes_of_the_file() -> None:
    pixels = np.full((300, 24, 3), 90, np.uint8)
    pixels[:, 12:] = np.random.default_rng(2).integers(0, 256, (300, 12, 3))
    file = png(pixels)
    found = explained(TEXT + file + TEXT, "mix")
    (picture,) = found.pictures
    assert (picture.width, picture.height, picture.scale) == (24, 300, 2)
    assert picture.bits.shape == (150, 12)
    assert picture.bits[10:, :5].mean() < 1
    assert picture.bits[10:, 7:].mean() > 22
    assert cost(found, CORRECTIONS) > 0
    assert picture.bits.mean() * 24 * 300 / 8 == pytest.approx(cost(found, "pixels of PNG files"))
    costs = [region.bits_per_byte for region in found.regions]
    starts = [region.start for region in found.regions]
    inside = [c for c, s in zip(costs, starts, strict=True) if 7000 < s < 6500 + len(file) - 500]
    assert min(inside) > 4
    assert costs[-1] < 1


def tensor_file(arrays: dict[str, np.ndarray]) -> bytes:
    entries, start = {}, 0
    for name, array in arrays.items():
        place = [start, start := start + array.nbytes]
        entries[name] = {"dtype": "BF16", "shape": array.shape, "data_offsets": place}
    header = json.dumps(entries).encode()
    content = b"".join(array.tobytes() for array in arrays.values())
    return len(header).to_bytes(8, "little") + header + content


@pytest.fixture
def model() -> bytes:
    random = np.random.default_rng(3)
    weights = random.normal(0, 0.02, (300, 100)).astype(np.float32).view(np.uint32) >> 16
    return tensor_file({"weights": weights.astype("<u2"), "zeros": np.zeros((50, 100), "<u2")})


def test_tensors_have_costs_of_their_own(model: bytes) -> None:
    found = explained(b"".join([nncomp.compress(TEXT, "zstd"), nncomp.compress(model, "zipnn")]))
    weights, zeros = found.tensors
    assert (weights.name, weights.dtype, weights.shape) == ("weights", "BF16", (300, 100))
    assert (weights.size, zeros.size) == (60_000, 10_000)
    assert weights.start > len(TEXT)
    assert weights.bits_per_weight is not None
    assert 10 < weights.bits_per_weight < 11.5
    assert zeros.cost < 100
    names = {part.name.rpartition(", ")[2] for part in weights.parts}
    assert names == {"sign and mantissa byte", "exponent byte", HEADERS}
    assert sum(part.cost for part in weights.parts) == pytest.approx(weights.cost)
    assert {tensor.name for tensor in explained(model, "mix").tensors} == {"weights", "zeros"}


def test_what_only_begins_like_a_file_of_tensors(model: bytes) -> None:
    assert explained(model[:-10_001], "zipnn").tensors == []
