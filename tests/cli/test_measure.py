"""`gslb measure` as it is typed: a run, its verdicts, what was learned, and what cannot be."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gslbtest import landed, measured
from gslbtest.landed import BEGIN_S
from gslbtest.process import SOON_S, command, wait_for_text

from gslb.cli.show_measure import Bar, verdict_lines
from gslb.errors import Findings
from gslb.geo.tables import read_resolvers
from gslb.measure import process
from gslb.measure.quality import Verdict

END_S = BEGIN_S + 300


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Facts of the small network, a time soon after its logs, and no settings but those that are typed."""
    monkeypatch.setattr(process, "reader", lambda _: landed.facts)
    monkeypatch.setattr("time.time", lambda: END_S + 1.0)
    for name in ("GSLB_STORE", "GSLB_LOG", "GSLB_OUT"):
        monkeypatch.delenv(name, raising=False)
    with measured.plainly():
        yield


def test_from_logs_to_demand_and_what_is_told_of_it(gslb: Callable[..., Any], tmp_path: Path) -> None:
    folders = ("--log", str(tmp_path / "log"), "--out", str(tmp_path / "tables"))
    landed.land(tmp_path / "log", BEGIN_S, END_S, per_minute=120)
    none = gslb("measure", "quality", *folders[2:])
    assert (none.code, none.err) == (1, f"gslb: {tmp_path / 'tables'}: nothing was judged yet: gslb measure run\n")
    assert gslb("measure", "resolvers", *folders[2:]).err.endswith("no resolver was learned yet: gslb measure run\n")

    done = gslb("measure", "run", *folders)
    assert done.code == 0
    said = done.err.splitlines()
    assert sorted(line for line in said if line.startswith("take ")) == [
        "take counters: 2", "take deliveries: 1", "take queries: 2", "take reports: 1",
    ]  # fmt: skip
    assert [line for line in said if not line.startswith("take ")] == [
        "build queries: 1", "build deliveries: 1", "build reports: 1", "build gold: 3",
    ]  # fmt: skip
    lines = done.out.splitlines()
    assert lines[1:3] == ["demand    until 2026-11-28T10:05:00Z", "live      until 2026-11-28T10:05:00Z"]
    assert [line.split()[:3] for line in lines if line.startswith(("queries", "demand "))][1:] == [
        ["queries", "2", "1200"], ["demand", "1", "1"],
    ]  # fmt: skip

    again = gslb("measure", "run", *folders, "--json")
    assert (again.code, again.err) == (0, "")
    told = json.loads(again.out)
    assert (told["ok"], told["built"], told["tables"]) == (True, {}, {})

    table = gslb("measure", "quality", *folders[2:])
    assert table.code == 0
    assert table.out.splitlines()[0].split() == ["TABLE", "GATE", "LEVEL", "VALUE", "LIMIT", "RUN"]
    assert len(json.loads(gslb("measure", "quality", *folders[2:], "--json", "--history", "3").out)) == 3

    learned = gslb("measure", "resolvers", *folders[2:])
    assert learned.out.splitlines()[0] == "resolver_prefix,client_prefix,share"
    findings = Findings()
    shares = read_resolvers("resolvers.csv", learned.out.encode(), findings)
    assert findings.errors == []
    assert sum(share.share for share in shares) == pytest.approx(2.0)
    assert len(shares) == 4

    (tmp_path / "log" / "queries" / "torn.parquet").write_bytes(b"PAR1")
    torn = gslb("measure", "run", *folders)
    assert torn.code == 1
    assert "gslb: queries: torn.parquet: refused: not a Parquet file that can be read" in torn.err

    tidied = gslb("measure", "tidy", *folders[2:], "--json")
    assert json.loads(tidied.out) == {"entries": 0, "pieces": 0, "files": 0, "bytes": 0, "joined": 0}


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("run", "--from", "noon"), 2, "gslb: --from: 'noon' is not a time: 14:30 (UTC), -10m or 2026"),
        (("run", "--from", "-1h", "--to", "-2h"), 2, "gslb: --to: is not after --from"),
        (("run", "--engine", "sqlite"), 2, "gslb: --engine: 'sqlite' is none of duckdb, spark"),
        (("run", "--config", "none.toml"), 78, "none.toml:0:0: No such file or directory"),
        (("watch", "--wait", "-1"), 2, "gslb: --wait-s: -1 is not a whole number from 0 to 3600"),
        (("watch", "--listen", "127.0.0.1:0", "--metrics", "none"), 1, "gslb: --listen needs --tokens"),
    ],
)
def test_what_cannot_be_is_told(
    gslb: Callable[..., Any], tmp_path: Path, arguments: tuple[str, ...], code: int, told: str
) -> None:
    done = gslb("measure", *arguments, "--out", str(tmp_path / "tables"))
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith(told)


def test_a_store_that_cannot_be_reached_does_not_keep_the_rest(gslb: Callable[..., Any], tmp_path: Path) -> None:
    folders = ("--log", str(tmp_path / "log"), "--out", str(tmp_path / "tables"))
    done = gslb("measure", "run", *folders, "--store", "redis://127.0.0.1:1/0", "--json")
    assert done.code == 1
    told = json.loads(done.out)
    assert told["faults"][0].startswith("reports: ")
    assert told["sources"]["queries"]["files"] == 0


def test_a_watch_says_that_it_is_ready_and_ends_when_it_is_told_to(tmp_path: Path) -> None:
    arguments = ["--log", str(tmp_path / "log"), "--out", str(tmp_path / "tables"), "--metrics", "127.0.0.1:0"]
    said = tmp_path / "said"
    with said.open("wb") as out, (tmp_path / "told").open("wb") as told:
        watch = subprocess.Popen([command("gslb"), "measure", "watch", *arguments], stdout=out, stderr=told)
    try:
        line = wait_for_text(watch, said, "ready measure")
        port = line.split("metrics=")[1].split()[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=SOON_S) as reply:
            assert reply.read() == b"ok\n"
        watch.send_signal(signal.SIGTERM)
        assert watch.wait(SOON_S) == 0
    finally:
        watch.kill()
        watch.wait()


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_bars_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with Bar(quiet=False) as bar:
        bar.step("take queries", 0, 0)
        bar.step("build gold", 1, 4)
        bar.step("build gold", 4, 4)
    assert "build gold" in terminal.getvalue()
    assert "4/4" in terminal.getvalue()
    assert "take queries" not in terminal.getvalue()


def test_verdicts_as_lines() -> None:
    verdict = Verdict(
        table="demand", gate="conserved", level="stop", value=None, limit=0.5, text="no number", run="r-1", at_s=1,
        from_s=0, until_s=300,
    )  # fmt: skip
    assert verdict_lines([verdict])[1].split() == ["demand", "conserved", "stop", "-", "0.5", "r-1", "no", "number"]
