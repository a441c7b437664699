"""`gslb log` as people use it: the last records, those of a span, and those that follow."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from gslbtest.logged import NOTHING, T_US, segment
from gslbtest.process import SOON_S, command

from gslb.cli import log as verbs
from gslb.cli.show_log import as_data, line
from gslb.store import querylog

S_US = 1_000_000
LINES = [
    (
        {},
        "2026-11-18T11:06:40.000000Z ns1 1 pull.live.example. A NOERROR sha level 0 ttl 20 client 198.51.100.0/24"
        " scope /24 view CN|SH|chinanet resolver 192.0.2.0/24",
    ),
    (
        {"client_family": 0, "qtype": 28, "plan": "p1", "weight": 100, "view": "||", "time": T_US + 1, "seq": 77},
        "2026-11-18T11:06:40.000001Z ns1 77 pull.live.example. AAAA NOERROR sha level 0 ttl 20 no client view ||"
        " resolver 192.0.2.0/24 plan p1 stands for 100",
    ),
    (
        {"service": "", "edge": "", "rcode": 3, "qtype": 99, "resolver_family": 6, "resolver_len": 56,
         "resolver_net": 0x20010DB8_00000000},
        "2026-11-18T11:06:40.000000Z ns1 1 - TYPE99 NXDOMAIN resolver 2001:db8::/56",
    ),
    (
        {"edge": "", "level": -1, "rcode": 77, "client_family": 6, "client_net": -(1 << 56), "client_len": 8},
        "2026-11-18T11:06:40.000000Z ns1 1 pull.live.example. A RCODE77 ttl 20 client ff00::/8 scope /24"
        " view CN|SH|chinanet resolver 192.0.2.0/24",
    ),
]  # fmt: skip


def row(fields: dict[str, Any]) -> dict[str, Any]:
    found = {**NOTHING, **fields}
    return {**found, "time": datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=found["time"])}


@pytest.mark.parametrize(("fields", "text"), LINES)
def test_lines(fields: dict[str, Any], text: str) -> None:
    assert line(row(fields)) == text


def test_json() -> None:
    assert as_data(row({"client_family": 0})) == {
        "time": "2026-11-18T11:06:40.000000Z", "server": "ns1", "boot_id": "00112233445566aa", "seq": 1,
        "service": "pull.live.example.", "qname_crc": 7, "view": "CN|SH|chinanet", "client": None,
        "resolver": "192.0.2.0/24", "qtype": 1, "rcode": 0, "level": 0, "scope": 24, "edge": "sha", "ttl_s": 20,
        "plan": "", "weight": 1,
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GSLB_LOG", raising=False)
    found = tmp_path / "log"
    segment(found, "a-1", [{"seq": seq, "time": T_US + seq * S_US} for seq in range(1, 21)])
    segment(
        found,
        "a-2",
        [
            {"seq": 21, "time": T_US + 21 * S_US, "edge": "fra", "qtype": 28, "view": "DE|HE|dtag", "plan": "p1"},
            {"seq": 22, "time": T_US + 22 * S_US, "rcode": 3, "service": "", "server": "ns2", "client_family": 0},
        ],
    )
    return found


def seqs(out: str) -> list[int]:
    return [json.loads(each)["seq"] for each in out.splitlines()]


ASKED = [
    (["tail"], list(range(13, 23))),
    (["tail", "-n", "2"], [21, 22]),
    (["tail", "-n", "0"], []),
    (["tail", "-n", "3", "--edge", "sha"], [19, 20, 22]),
    (["query", "--from", "2026-11-18T11:06:59Z"], [19, 20, 21, 22]),
    (["query", "--to", "2026-11-18T11:06:43Z"], [1, 2]),
    (["query", "--rcode", "nxdomain"], [22]),
    (["query", "--rcode", "3", "--rcode", "5"], [22]),
    (["query", "--qtype", "AAAA"], [21]),
    (["query", "--edge", "fra", "--edge", "par"], [21]),
    (["query", "--service", "PULL.live.example", "--view", "|HE|"], [21]),
    (["query", "--service", ""], [22]),
    (["query", "--server", "ns2"], [22]),
    (["query", "--plan", "p1"], [21]),
    (["query", "--client", "198.51.100.7/24", "--from", "2026-11-18T11:07:00Z"], [20, 21]),
    (["query", "--client", "2001:db8::/32"], []),
    (["query", "--resolver", "ff00::/8"], []),
    (["query", "--resolver", "192.0.0.0/16", "--plan", "p1"], [21]),
]


@pytest.mark.parametrize(("arguments", "found"), ASKED)
def test_what_is_asked_for(gslb: Any, folder: Path, arguments: list[str], found: list[int]) -> None:
    done = gslb("log", *arguments, "--json")
    assert (done.code, done.err, seqs(done.out)) == (0, "", found)


REFUSED = [
    (["query", "--rcode", "maybe"], 2, "--rcode: 'maybe' is neither a number nor one of NOERROR"),
    (["query", "--qtype", "70000"], 2, "--qtype: '70000' is neither a number nor one of A"),
    (["tail", "--client", "here"], 2, "--client: 'here' is neither an address nor a prefix"),
    (["query", "--view", "a|b|c|d"], 2, "--view: 'a|b|c|d' is not country|region|isp"),
    (["query", "--from", "now"], 2, "--from: 'now' is not a time"),
    (["tail", "--log", "nowhere"], 1, "gslb: nowhere: no query log can be read here: No such file or directory"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), REFUSED)
def test_what_cannot_be_asked(
    gslb: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, message: str
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    done = gslb("log", *arguments)
    assert (done.code, done.out) == (code, "")
    assert message in done.err


def test_the_folder_may_be_named_by_a_variable(gslb: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = folder.rename(folder.with_name("elsewhere"))
    monkeypatch.setenv("GSLB_QUERY_LOG_DIR", str(elsewhere))
    done = gslb("log", "tail", "-n", "1")
    assert done.out == ("2026-11-18T11:07:02.000000Z ns2 22 - A NXDOMAIN sha level 0 resolver 192.0.2.0/24\n")


def test_following(gslb: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lands while it looks is shown once, by whatever it is filtered; then somebody presses Ctrl-C."""
    turns = iter([[(23, "sha"), (24, "fra")], [], [(25, "sha")]])

    def sleep(seconds: float) -> None:
        assert seconds == verbs.LOOK_S
        new = next(turns, None)
        if new is None:
            raise KeyboardInterrupt
        for seq, edge in new:
            segment(folder, f"b-{seq}", [{"seq": seq, "time": T_US + seq * S_US, "edge": edge}])

    monkeypatch.setattr(verbs.time, "sleep", sleep)
    done = gslb("log", "tail", "-n", "1", "--edge", "sha", "-f", "--json")
    assert (done.code, seqs(done.out)) == (0, [22, 23, 25])


def test_what_lands_while_the_last_are_looked_for(gslb: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is shown once, by whoever follows; and what is shown is not kept back while nothing new comes."""
    last, flushed, turns = querylog.last, list[int](), iter([False, True])

    def late(*asked: Any) -> list[dict[str, Any]]:
        segment(folder, "b-23", [{"seq": 23, "time": T_US + 23 * S_US}])
        return last(*asked)

    def sleep(_: float) -> None:
        assert flushed
        flushed.clear()
        if next(turns):
            raise KeyboardInterrupt

    monkeypatch.setattr(querylog, "last", late)
    monkeypatch.setattr(verbs.time, "sleep", sleep)
    monkeypatch.setattr(sys.stdout, "flush", lambda: flushed.append(1))
    done = gslb("log", "tail", "-n", "2", "-f", "--json")
    assert seqs(done.out) == [21, 22, 23]


def test_a_reader_that_has_enough(folder: Path) -> None:
    """As with `| head -1`: no traceback."""
    rows = [{"seq": seq, "time": T_US + seq * S_US} for seq in range(1, 6_000)]
    segment(folder, "c-1", rows)
    line = [command("gslb"), "log", "query", "--log", str(folder)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        process.wait(SOON_S)
