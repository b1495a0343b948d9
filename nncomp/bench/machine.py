"""Where something was measured: the machine, the versions, and settings that change speed."""

from __future__ import annotations

import os
import platform
import subprocess
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nncomp import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["environment", "first_line", "machine", "package_version", "versions"]

# Settings that change speed, and must not change a bit.
_PREFIXES = (
    *("ATEN_", "BLOSC_", "CUDA_", "KMP_", "MALLOC_", "MKL_", "NNCOMP_", "NUMBA_", "NUMEXPR_"),
    *("OMP_", "ONEDNN_", "OPENBLAS_", "RAYON_"),
)
_PACKAGES = ("torch", "numba", "numpy", "zstandard", "lz4", "python-snappy")


def environment() -> dict[str, str]:
    """Variables that are set, and that change speed."""
    return {name: value for name, value in sorted(os.environ.items()) if name.startswith(_PREFIXES)}


def machine(device: str = "cpu") -> dict[str, Any]:
    """What the machine is and how busy it was.

    Args:
        device: "cuda" asks torch for the name of the accelerator.
    """
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_at_start": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "gpu": _gpu() if device == "cuda" else None,
    }


def versions() -> dict[str, str]:
    """Of Python, this package with its commit, and the libraries that it stands on."""
    found = {"python": platform.python_version(), "nncomp": __version__}
    commit = _commit()
    if commit:
        found["commit"] = commit
    known = {name: package_version(name) for name in _PACKAGES}
    return found | {name: version for name, version in known.items() if version}


def package_version(name: str) -> str:
    """Of an installed package; empty where something else provides its module."""
    with suppress(metadata.PackageNotFoundError):
        return metadata.version(name)
    return ""


def first_line(command: Sequence[str]) -> str:
    """The first line that a program prints, however it ends; empty if there is none."""
    try:
        done = subprocess.run(  # noqa: S603 - a command of ours, or found on the path
            command, capture_output=True, check=False, timeout=20, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    text = (done.stdout or done.stderr).decode(errors="replace")
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def _cpu() -> str:
    """By the system's own description; other systems than Linux know less."""
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.exists() else ():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()


def _gpu() -> str | None:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def _commit() -> str:
    """The last one that changed the package in the checkout that it runs from.

    Records and documents, which measuring writes, make no difference. Empty for an installed
    package.
    """
    root = Path(__file__).resolve().parents[2]
    package = ("--", "nncomp")
    commit = _git(root, "log", "-1", "--format=%h", *package) if (root / ".git").exists() else ""
    changed = commit and _git(root, "status", "--porcelain", *package)
    return f"{commit}-dirty" if changed else commit


def _git(root: Path, *words: str) -> str:
    """What it prints; nothing where it fails."""
    command = ["git", "-C", str(root), *words]
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(  # noqa: S603 - of the checkout itself
            command, capture_output=True, check=True, timeout=20, stdin=subprocess.DEVNULL
        )
        return done.stdout.decode(errors="replace").strip()
    return ""
