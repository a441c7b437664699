"""A skip that is not for something a machine may lack fails the run: the rule of tests/conftest.py."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from gslbtest.process import SOON_S

ROWS = [
    # what a test does, exit code of the run, what its output says
    ("assert True", 0, "1 passed"),
    ("pytest.skip('needs ../shared')", 0, "1 skipped"),
    ("pytest.skip('Python version absent: python3.13')", 0, "1 skipped"),
    ("pytest.skip('slow')", 1, "SKIP NOT ALLOWED test_row.py::test_row: slow"),
    ("pytest.xfail('known')", 1, "SKIP NOT ALLOWED test_row.py::test_row: an expected failure"),
    ("pytest.importorskip('no_such_module')", 1, "SKIP NOT ALLOWED test_row.py::test_row: could not import"),
    ("assert False", 1, "1 failed"),
]


XDIST = ("-p", "xdist", "-n", "1")
RUNS = [((), row) for row in ROWS] + [(XDIST, row) for row in (ROWS[1], ROWS[3], ROWS[4])]


@pytest.mark.parametrize(("workers", "row"), RUNS, ids=[f"{' '.join(run)} {row[0]}" for run, row in RUNS])
def test_a_skip(repo: Path, tmp_path: Path, workers: tuple[str, ...], row: tuple[str, int, str]) -> None:
    body, code, said = row
    (tmp_path / "conftest.py").write_text((repo / "tests/conftest.py").read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "test_row.py").write_text(f"import pytest\n\ndef test_row():\n    {body}\n", encoding="utf-8")
    done = _pytest(repo, tmp_path, *workers)
    assert said in done.stdout
    assert done.returncode == code


def test_a_skipped_file(repo: Path, tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text((repo / "tests/conftest.py").read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "test_row.py").write_text(
        "import pytest\npytest.skip('later', allow_module_level=True)\n", encoding="utf-8"
    )
    (tmp_path / "test_other.py").write_text("def test_other():\n    pass\n", encoding="utf-8")
    done = _pytest(repo, tmp_path)
    assert "SKIP NOT ALLOWED test_row.py: later" in done.stdout
    assert done.returncode == 1


def _pytest(repo: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(repo / "tests/lib"), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    env.pop("PYTEST_ADDOPTS", None)
    line = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), *arguments]
    return subprocess.run(
        line, cwd=folder, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=SOON_S, check=False
    )
