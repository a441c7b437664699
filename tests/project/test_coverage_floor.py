"""The rule that every single file under gslb/ is tested: what the script refuses, and what it says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]

TYPED = "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    import asyncio\n"

ROWS = [
    # per file: statements counted, lines left out of the count, lines run, lines not run; exit code; what is said
    ({"gslb/a.py": (10, [], 10, [])}, 0, "coverage: 1 files, each at least 92 % of lines"),
    ({"gslb/a.py": (100, [], 92, [5, 6, 7, 9])}, 0, "coverage: 1 files"),
    ({"gslb/a.py": (100, [], 91, [5, 6, 7, 9])}, 1, "coverage: gslb/a.py 91.0 % of lines, floor 92 %; not run: 5-7, 9"),
    ({"gslb/a.py": (90, [1, 2, 3], 83, [8])}, 1, "coverage: gslb/a.py 89.2 % of lines, floor 92 %; not run: 1-3, 8"),
    ({"gslb/typed.py": (23, [3, 4], 22, [8])}, 0, "coverage: 1 files"),
    (
        {"gslb/a.py": (10, [], 10, []), "gslb/b.py": None},
        1,
        "coverage: gslb/b.py 0.0 % of lines, floor 92 %; not run: all",
    ),
    ({"gslb/a.py": (0, [], 0, [])}, 0, "coverage: 1 files"),
]


@pytest.mark.parametrize(("files", "code", "said"), ROWS)
def test_floor(tmp_path: Path, files: dict[str, tuple | None], code: int, said: str) -> None:
    (tmp_path / "gslb").mkdir()
    report: dict = {"files": {}, "totals": {"percent_covered": 95.0}}
    for name, row in files.items():
        (tmp_path / name).write_text(TYPED if name.endswith("typed.py") else "", encoding="utf-8")
        if row:
            statements, left_out, run, missing = row
            summary = {"num_statements": statements, "excluded_lines": len(left_out), "covered_lines": run}
            report["files"][name] = {"summary": summary, "missing_lines": missing, "excluded_lines": left_out}
    (tmp_path / "coverage.json").write_text(json.dumps(report), encoding="utf-8")
    line = [sys.executable, str(REPO / "tests/lib/coverage_floor.py"), "coverage.json"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, "")
    assert said in done.stdout
