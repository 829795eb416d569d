"""Where machine code is kept, and what happens where it cannot be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from leakdetect.core import compiled as module
from leakdetect.core.compiled import compiled

CODE = """
import numpy as np
from leakdetect.core import scoring
white = scoring.whiten(np.ones(2), np.eye(2))
assert scoring.change_test(white, np.ones((2, 1)))[0] == 2
print(sum(scoring._reduce.stats.cache_hits.values()))
"""


def test_the_next_process_compiles_nothing(tmp_path: Path) -> None:
    def hits() -> int:
        told = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
        done = subprocess.run([sys.executable, "-c", CODE], env=told, capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert hits() == 0
    assert any(tmp_path.rglob("*.nbc"))
    assert hits() == 1


def test_without_a_folder_it_is_compiled_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    njit = module.njit

    def nowhere(*, cache: bool = False, **options: Any) -> Any:
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(**options)

    monkeypatch.setattr(module, "njit", nowhere)

    @compiled
    def double(x: int) -> int:
        return 2 * x

    assert double(4) == 8
    assert double.signatures  # type: ignore[attr-defined]  # machine code, not the plain function
