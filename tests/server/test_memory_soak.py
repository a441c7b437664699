"""No native thread reads memory that was let go: swaps under load, watched by valgrind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from gslbtest.process import program

pytestmark = pytest.mark.soak

SECONDS = 20
WAIT_S = 600
# The dynamic linker compares eight bytes at a time and so looks beyond the end of a string.
KNOWN = "{\n  dl\n  Memcheck:Addr8\n  fun:strncmp\n  fun:is_dst\n}\n"


def swapping(seconds: int, *watched_by: str) -> dict[str, int]:
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "lib"), "PYTHONMALLOC": "malloc"}
    line = [*watched_by, sys.executable, "-m", "gslbtest.swapping", str(seconds)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=WAIT_S, check=False, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    counts: dict[str, int] = json.loads(done.stdout)
    assert counts["sent"] == counts["received"] > 0
    return counts


def test_ten_swaps_a_second_lose_nothing() -> None:
    counts = swapping(SECONDS)
    assert counts["swaps"] > 5 * SECONDS
    assert counts["answered"] > 2 * counts["received"], "the flood was answered too"


def test_no_memory_is_read_after_it_was_let_go(tmp_path: Path) -> None:
    """Values that were never set are not looked for: numpy's own kernels read such."""
    known = tmp_path / "known.supp"
    known.write_text(KNOWN, encoding="utf-8")
    valgrind = [program("valgrind"), "-q", "--undef-value-errors=no", "--error-exitcode=9", f"--suppressions={known}"]
    assert swapping(SECONDS, *valgrind)["swaps"] > 2 * SECONDS
