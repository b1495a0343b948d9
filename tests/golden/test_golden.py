"""Every golden archive gives what README.md says, however it is read."""

import hashlib
import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import nncomp
from nncomp import errors

FOLDER = Path(__file__).parent
ROW = re.compile(r"\| (\S+\.nnc) \| (.+?) \| .+ \|")
GOOD = re.compile(r"(\d+) bytes, SHA-256 `([0-9a-f]{64})`")
ERROR = re.compile(r"`(\w+)`: (.+)")

TABLE = dict(ROW.findall((FOLDER / "README.md").read_text()))
CONTENTS = {name: m for name, text in TABLE.items() if (m := GOOD.fullmatch(text))}
ERRORS = {name: m for name, text in TABLE.items() if (m := ERROR.fullmatch(text))}

# Archives of differences, and the archives of what they are differences to.
BASES = {"good-zipnn-difference-v1.nnc": FOLDER / "good-zipnn-float32-v1.nnc"}

READERS: list[Callable[[bytes, Path | None], bytes]] = [
    lambda data, base: nncomp.decompress(data, base=base),
    lambda data, base: nncomp.decompress(data, base=base, threads=3),
    lambda data, base: nncomp.open(io.BytesIO(data), base=base).read(),
]


def test_every_file_has_its_line() -> None:
    assert set(TABLE) == {path.name for path in FOLDER.glob("*.nnc")}
    assert set(TABLE) == {*CONTENTS, *ERRORS}
    assert all(name.startswith("good-") for name in CONTENTS)
    assert all(name.startswith(("bad-", "unsupported-")) for name in ERRORS)


@pytest.mark.parametrize("name", CONTENTS)
def test_good(name: str) -> None:
    data = (FOLDER / name).read_bytes()
    size, digest = CONTENTS[name].groups()
    assert sum(info.raw_size for info in nncomp.inspect(FOLDER / name)) == int(size)
    for read in READERS:
        content = read(data, BASES.get(name))
        assert len(content) == int(size)
        assert hashlib.sha256(content).hexdigest() == digest


@pytest.mark.parametrize("name", ERRORS)
def test_bad_and_unsupported(name: str) -> None:
    data = (FOLDER / name).read_bytes()
    kind, text = ERRORS[name].groups()
    expected: type[errors.NncompError] = getattr(errors, kind)
    assert issubclass(expected, errors.UnsupportedError) == name.startswith("unsupported-")
    for read in READERS:
        with pytest.raises(errors.NncompError, match=re.escape(text)) as caught:
            read(data, None)
        assert type(caught.value) is expected
