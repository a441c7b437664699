"""The seed corpus is what its script makes, small, and of every kind of packet."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from gslbtest.process import SOON_S

from gslb.wire.query import Query, Refusal, parse

HERE = Path(__file__).parent


def test_corpus(tmp_path: Path) -> None:
    line = [sys.executable, str(HERE / "seeds.py"), str(tmp_path)]
    subprocess.run(line, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, check=True, timeout=SOON_S)
    made, kept = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in (tmp_path, HERE / "corpus"))
    assert kept == made
    assert len(kept) <= 50
    assert {type(parse(packet)) for packet in kept.values()} == {Query, Refusal, type(None)}


def test_harnesses_begin_with_what_they_hold() -> None:
    for name in ("parser.c", "differential.py"):
        assert "Invariant: " in (HERE / name).read_text(encoding="utf-8").splitlines()[0]
