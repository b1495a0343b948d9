"""benchmarks/emb_proof.py: would it find a violation?"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from types import ModuleType

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def proof(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    module = import_module("emb_proof")
    monkeypatch.setattr(module, "SHAPE", (64, 16))
    return module


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "no tables"),
        (["nowhere.npy"], "nowhere.npy"),
        (["odd.f32"], "odd.f32: cannot reshape"),
        (["odd.f32", "--bounds", "0"], "expected a number above 0"),
        (["--proof", "0"], "0 is too few"),
    ],
)
def test_what_cannot_be_compared_is_said(
    words: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    pytest.importorskip("pysz")
    pytest.importorskip("zfpy")
    monkeypatch.chdir(tmp_path)
    np.zeros(65, np.float32).tofile("odd.f32")
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setattr("sys.argv", ["embeddings.py", *words])
    with pytest.raises(SystemExit) as stop:
        import_module("embeddings").main()
    assert stop.value.code == 2
    assert said in capsys.readouterr().err


def test_errors_are_exact(proof: ModuleType) -> None:
    wanted = np.array([0.0, 1.0, 1.0, 0.0, np.nan, np.inf, 1e300])
    found = np.array([1.0, 2.0, 2.0 + 1e-15, 2.0**-80, np.nan, np.inf, -1e300])
    assert proof.excess(wanted, found, 1.0).tolist() == [
        *(False, False, True, False, True, True, True)
    ]
    # 1 + 2^-80 is off by more than 1 + 2^-80 rounded to float64; 1 - 2^-80 is not.
    tiny = 2.0**-80
    assert proof.excess(np.array([-tiny, tiny]), np.ones(2), 1.0).tolist() == [True, False]
    assert proof.excess(np.array([tiny, -tiny]), -np.ones(2), 1.0).tolist() == [True, False]


@pytest.mark.parametrize("name", ["F32", "F64", "F16", "BF16"])
def test_tables_are_of_all_sorts(proof: ModuleType, name: str) -> None:
    random = np.random.default_rng(1)
    kind = proof.TYPES[name]
    tables = [proof.adversarial(random, kind, number) for number in range(40)]
    assert all(table.dtype == kind.words and table.shape[1] == 16 for table in tables)
    with np.errstate(all="ignore"):
        values = np.concatenate([kind.wide(table) for table in tables])
    sizes = np.abs(values[np.isfinite(values) & (values != 0)])
    tiny = 2.0 ** (1 - (1 << kind.exponent - 1) + 1)
    assert sizes.min() < tiny < sizes.max()  # denormal numbers, and others
    assert np.isnan(values).any()
    assert np.isinf(values).any()


def test_no_violation(proof: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert proof.prove(64 * 16 * 70) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in proof.TYPES)
    assert "71,680 elements" in out


def test_violations_are_found(proof: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    real = proof.decode_table

    def slightly_off(payload: bytes, limit: int) -> Any:
        back = real(payload, limit).copy()
        back[0, 0] += back.dtype.type(1e30)
        return back

    monkeypatch.setattr(proof, "decode_table", slightly_off)
    assert proof.prove(64 * 16 * 10, ["F32"]) > 5
