from __future__ import annotations

import hashlib
import json
import struct
from typing import TYPE_CHECKING

from nncomp.bench import synthetic

if TYPE_CHECKING:
    from pathlib import Path


def test_the_same_bytes_everywhere() -> None:
    """Whoever compares two machines compares the same files."""
    digest = hashlib.sha256(b"".join(synthetic.files().values())).hexdigest()
    assert digest == "1bc098d52f3c357306ad6d0f4a42117b312a2e625a94251bc56fea49d7905013"


def test_another_seed_other_bytes() -> None:
    first, second = synthetic.files(1), synthetic.files(2)
    assert first.keys() == second.keys()
    assert all(first[name] != second[name] for name in first)


def test_files_are_what_they_are_called(tmp_path: Path) -> None:
    paths = synthetic.write(tmp_path)
    contents = {path.name: path.read_bytes() for path in paths}
    assert contents == synthetic.files()
    assert contents["picture.ppm"].startswith(b"P6\n96 80\n255\n")
    assert len(contents["picture.ppm"]) == 13 + 96 * 80 * 3
    weights = contents["weights.safetensors"]
    (size,) = struct.unpack("<Q", weights[:8])
    header = json.loads(weights[8 : 8 + size])
    assert header["layer.bias"]["data_offsets"][1] == len(weights) - 8 - size
    assert sum(map(len, contents.values())) < 200_000
