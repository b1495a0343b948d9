"""No kernel reads or writes outside of its memory, whatever a damaged payload says.

Kernels run without checks of indices; here they are compiled with them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_mix_stays_in_its_memory(tmp_path: Path) -> None:
    process = subprocess.run(
        [sys.executable, Path(__file__).with_name("bounds.py"), "1"],
        env={**os.environ, "NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
