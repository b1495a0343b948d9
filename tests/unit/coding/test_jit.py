"""The compiler settings: laziness, caching, announcements."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from nncomp.coding import jit

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = """
from nncomp.coding.jit import inline, kernel

@inline
def twice(x):
    return x + x

@kernel
def four_times(x):
    return twice(twice(x))

@kernel
def product_minus(a, b, c):
    return a * b - c

@kernel
def divide(a, b):
    return a / b
"""


@pytest.fixture
def announced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    monkeypatch.setattr(jit, "on_compile", names.append)
    return names


def load(path: Path) -> Any:
    spec = spec_from_file_location("kernels_for_a_test", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout


def test_importing_loads_no_numba() -> None:
    assert run("import sys, nncomp.coding.jit; print('numba' in sys.modules)") == "False\n"


def test_compilation_is_announced_once_and_not_when_cached(
    tmp_path: Path, announced: list[str]
) -> None:
    path = tmp_path / "kernels.py"
    path.write_text(SOURCE)
    first = load(path)
    assert announced == []  # lazily: decorating compiles nothing
    assert first.four_times(5) == 20
    assert first.four_times(6) == 24
    assert announced == ["four_times"]
    assert load(path).four_times(7) == 28  # new functions, as in another process
    assert announced == ["four_times"]


def test_kernels_of_others_are_not_announced(announced: list[str]) -> None:
    import numba

    assert numba.njit(lambda x: x + 1)(1) == 2
    assert announced == []


def test_nobody_has_to_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jit, "on_compile", None)
    namespace: dict[str, Any] = {}
    exec(compile(SOURCE, "<no file>", "exec"), namespace)  # noqa: S102  # the test's own text
    assert namespace["four_times"](3) == 12


def test_without_a_place_for_a_cache_kernels_still_run(announced: list[str]) -> None:
    # A function that comes from no file: numba finds no place to cache it.
    for count in (1, 2):
        namespace: dict[str, Any] = {}
        exec(compile(SOURCE, "<no file>", "exec"), namespace)  # noqa: S102  # the test's own text
        assert namespace["four_times"](3) == 12
        assert announced == ["four_times"] * count


def test_products_and_sums_are_not_contracted(tmp_path: Path) -> None:
    # With a fused multiply-add the product's rounding error would remain.
    path = tmp_path / "kernels.py"
    path.write_text(SOURCE)
    a = np.float64(1) + np.float64(2) ** -30
    assert load(path).product_minus(a, a, a * a) == 0.0


def test_division_by_zero_follows_numpy(tmp_path: Path) -> None:
    path = tmp_path / "kernels.py"
    path.write_text(SOURCE)
    assert load(path).divide(1.0, 0.0) == np.inf
