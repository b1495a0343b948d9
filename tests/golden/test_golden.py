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

READERS: list[Callable[[bytes], bytes]] = [
    nncomp.decompress,
    lambda data: nncomp.decompress(data, threads=3),
    lambda data: nncomp.open(io.BytesIO(data)).read(),
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
        content = read(data)
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
            read(data)
        assert type(caught.value) is expected
