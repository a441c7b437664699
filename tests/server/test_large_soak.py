"""A million prefixes: how long a build takes and how much memory, and how soon the next start serves from the cache."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from gslbtest import big
from gslbtest.process import command, free_port, running, wait_for_text

pytestmark = pytest.mark.soak

BUILD = """
import json, re, sys, time
from pathlib import Path
from gslb.server.build import build
began = time.perf_counter()
built = build(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), None)
print(json.dumps({
    "errors": len(built.errors), "seconds": time.perf_counter() - began,
    # Not getrusage: that also counts what the parent held when it forked.
    "peak_mb": int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024,
}))
"""


@pytest.mark.parametrize(("policies", "names"), [(1, 100), (16, 10_000)])
def test_a_million_prefixes(tmp_path: Path, policies: int, names: int) -> None:
    """Built in at most 20 s; with one policy in at most 600 MB. Unchanged files are served again within a second."""
    zones, data = big.write(tmp_path, 1_000_000, names, policies)
    state = tmp_path / "state"
    state.mkdir()
    run = subprocess.run(
        [sys.executable, "-c", BUILD, zones, data, state], check=True, capture_output=True, text=True, timeout=120
    )
    built = json.loads(run.stdout)
    size_mb = sum(path.stat().st_size for path in state.rglob("*.cat")) / 1e6
    print(f" {policies} policies, {names} names: {built}, catalog {size_mb:.0f} MB")
    assert built["errors"] == 0
    assert built["seconds"] <= 20
    assert policies > 1 or built["peak_mb"] <= 600
    line = [command("gslb"), "serve", "--zones", str(zones), "--data", str(data), "--state", str(state)]
    line += ["--listen", f"127.0.0.1:{free_port()}", "--admin", f"127.0.0.1:{free_port()}"]
    for attempt in ("first", "second"):
        began = time.perf_counter()
        log = tmp_path / f"{attempt}.log"
        with running(line, log) as process:
            wait_for_text(process, log, "ready ")
            ready_s = time.perf_counter() - began
            resident = {pid: _resident_mb(pid) for pid in _family(process.pid)}
        print(f" {attempt} start: ready after {ready_s:.2f} s, resident MB {sorted(resident.values())}")
    assert ready_s <= 2, "reading and hashing the tables, mapping the catalog, starting a worker"


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in _family(int(child)))]


def _resident_mb(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) // 1024 if found else 0
