"""`status --watch`: what a frame shows, on a terminal and in a pipe, of servers that answer and one that does not."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gslbtest.process import SOON_S, command, free_port
from gslbtest.serving import Server, serving, write_files
from gslbtest.stores import wait_for

from gslb.cli.frame import BAD, GOOD, MEANT, WARN, Frame, Seen, Table, fitted, tables, text_lines
from gslb.server.live import EdgeLive, Edges, ServiceLive, Services
from gslb.server.status import Live, ReloadStatus, Status


def edge(name: str, **other: Any) -> EdgeLive:
    """One that is as wished for, but for what is said."""
    told = {
        "pop": name[:3], "health_v4": "up", "health_v6": "up", "reported": True, "held": False, "gone": False,
        "age_s": 0.44, "load_bps": 5 * 10**9, "capacity_bps": 10**10, "sessions": 0, "headroom_milli": 1000,
        "ramp_milli": 1000, "weight": (100, 100), "share": 0.25, "overrides": (),
    }  # fmt: skip
    return EdgeLive(name, **(told | other))


def service(name: str, **other: Any) -> ServiceLive:
    told = {
        "pool": "all", "affinity": "country, any", "level_shares": (("country", 0.75), ("any", 0.25)),
        "fail_open": 0.0, "no_edge": 0.0, "plan": "", "overrides": (),
    }  # fmt: skip
    return ServiceLive(name, **(told | other))


def seen(place: str, generation: str = "a" * 64, **other: Any) -> Seen:
    status = Status("0.1", f"ns-{place}", 1, 0.0, True, (), place, "redis://h", generation)
    status.reload = ReloadStatus("ok")
    status.live = Live(connected=True)
    for key, value in other.items():
        setattr(status, key, value)
    return Seen(place, status)


def frame(servers: list[Seen], edges: list[EdgeLive] | None = None, services: list[ServiceLive] | None = None) -> Frame:
    return Frame(
        tuple(servers),
        Edges(0, 0, True, 0.0, tuple(edges)) if edges is not None else None,
        Services(0, 0, True, 0.0, tuple(services)) if services is not None else None,
    )


PLAIN = "ber-1  ber  up  up  0.4 s  5 Gbps  10 Gbps  100%  100%  100  25%  -"
EDGES = [
    # what differs from an edge that is as wished for; its cells that differ and their styles
    ({}, {2: ("up", GOOD), 4: ("0.4 s", "")}),
    ({"health_v4": "down", "health_v6": ""}, {2: ("down", BAD), 3: ("-", "")}),
    ({"health_v4": "unknown", "health_v6": "drain"}, {2: ("unknown", WARN), 3: ("drain", MEANT)}),
    ({"reported": False, "age_s": None, "load_bps": 0}, {4: ("never", ""), 5: ("-", "")}),
    ({"load_bps": 0, "capacity_bps": 0}, {5: ("0 bps", ""), 6: ("-", "")}),
    ({"gone": True, "age_s": 5.0}, {4: ("gone", BAD)}),
    ({"held": True, "age_s": 5.0}, {4: ("held 5.0 s", BAD)}),
    ({"headroom_milli": 345, "ramp_milli": 0}, {7: ("34.5%", WARN), 8: ("0%", MEANT)}),
    ({"weight": (0, 100), "share": 0.0001}, {9: ("0–100", ""), 10: ("<0.1%", "")}),
    ({"overrides": ("a", "b")}, {11: ("a b", MEANT)}),
]


@pytest.mark.parametrize(("other", "cells"), EDGES)
def test_edges(other: dict[str, Any], cells: dict[int, tuple[str, str]]) -> None:
    table = tables(frame([seen("a")], [edge("ber-1", **other)]))[1]
    plain = re.split("  +", PLAIN)
    assert [cell.text for cell in table.rows[0]] == [cells.get(at, (text, ""))[0] for at, text in enumerate(plain)]
    assert {at: tuple(table.rows[0][at]) for at in cells} == cells


SERVICES = [
    ({}, {1: ("no", GOOD), 2: ("none", ""), 3: ("-", ""), 4: ("-", ""), 5: ("country 75%, any 25%", "")}),
    ({"fail_open": 1.0, "no_edge": 0.5}, {1: ("100%", BAD), 2: ("50%", WARN)}),
    ({"plan": "v7", "overrides": ("p",)}, {3: ("v7", ""), 4: ("p", MEANT)}),
    ({"level_shares": (("country", 0.0),)}, {5: ("-", "")}),
]


@pytest.mark.parametrize(("other", "cells"), SERVICES)
def test_services(other: dict[str, Any], cells: dict[int, tuple[str, str]]) -> None:
    table = tables(frame([seen("a")], [], [service("pull.", **other)]))[1]
    assert {at: tuple(table.rows[0][at]) for at in cells} == cells


SERVERS = [
    (
        [seen("a")],
        0,
        ["ns-a", "a", "yes", "a" * 16, "connected", "0", "none", "ok"],
        {2: GOOD, 3: "", 4: GOOD, 7: GOOD},
    ),
    ([seen("a", ready=False)], 0, ["ns-a", "a", "NO", "a" * 16, "connected", "0", "none", "ok"], {2: BAD}),
    ([seen("a", generation="")], 0, ["ns-a", "a", "yes", "none", "connected", "0", "none", "ok"], {3: ""}),
    (
        [seen("a"), seen("b", "b" * 64, live=Live(age_s=7.4, overrides=2, plan="v7"), reload=ReloadStatus("failed"))],
        1,
        ["ns-b", "b", "yes", "b" * 16 + " DIFFERS", "AWAY for 7 s", "2", "v7", "failed"],
        {3: BAD, 4: BAD, 5: MEANT, 7: BAD},
    ),
    (
        [Seen("a", None, "nobody answers"), seen("b", "b" * 64)],
        0,
        ["?", "a", "NO", "-", "-", "-", "-", "nobody answers"],
        {2: BAD, 7: BAD},
    ),
    (
        [Seen("a", None, "x"), seen("b", "b" * 64)],
        1,
        ["ns-b", "b", "yes", "b" * 16, "connected", "0", "none", "ok"],
        {3: ""},
    ),
]


@pytest.mark.parametrize(("servers", "row", "cells", "styles"), SERVERS)
def test_servers(servers: list[Seen], row: int, cells: list[str], styles: dict[int, str]) -> None:
    (table,) = tables(frame(servers))
    assert [cell.text for cell in table.rows[row]] == cells
    assert {at: table.rows[row][at].style for at in styles} == styles


def test_plain_text() -> None:
    _, table = tables(frame([seen("a")], [edge("ber-1", share=0.125), edge("amsterdam-2", load_bps=0)]))
    assert text_lines(table) == [
        "EDGE         POP  IPV4  IPV6    AGE    LOAD       OF  HEADROOM  RAMP  WEIGHT  SHARE  OVERRIDES",
        "ber-1        ber  up    up    0.4 s  5 Gbps  10 Gbps      100%  100%     100  12.5%  -",
        "amsterdam-2  ams  up    up    0.4 s   0 bps  10 Gbps      100%  100%     100    25%  -",
    ]


TROUBLES = [{"health_v6": "down"}, {"held": True}, {"gone": True}, {"headroom_milli": 999}, {"overrides": ("a",)}]


@pytest.mark.parametrize("trouble", TROUBLES)
def test_trouble_stands_first_where_there_is_no_room(trouble: dict[str, Any]) -> None:
    edges = [*(edge(f"e-{number}") for number in range(30)), edge("z", **trouble)]
    services = [*(service(f"s-{number}") for number in range(30)), service("t", fail_open=0.1)]
    _, some_edges, some_services = tables(frame([seen("a")], edges, services), 24)
    assert [row[0].text for row in some_edges.rows][:2] == ["z", "e-0"]
    assert [row[0].text for row in some_services.rows][:2] == ["t", "s-0"]
    assert len(some_edges.rows) + len(some_services.rows) == 24 - 8
    assert some_edges.left_out == f"… and {31 - len(some_edges.rows)} more edges, all as wished for"
    assert text_lines(some_services)[-1] == f"… and {31 - len(some_services.rows)} more services, all as wished for"


@pytest.mark.parametrize(("lines", "edges", "services"), [(24, 3, 2), (10, 1, 1), (1, 1, 1), (None, 31, 31)])
def test_room(lines: int | None, edges: int, services: int) -> None:
    """What has room is whole, and something of each is always there."""
    down = [edge(f"e-{number}", health_v4="down") for number in range(31 if lines != 24 else 3)]
    each = [service(f"s-{number}", no_edge=1.0) for number in range(31 if lines != 24 else 2)]
    _, some_edges, some_services = tables(frame([seen("a")], down, each), lines)
    assert (len(some_edges.rows), len(some_services.rows)) == (edges, services)
    assert bool(some_edges.left_out) == (lines in (1, 10))
    if some_edges.left_out:
        assert some_edges.left_out == "… and 30 more edges, 30 of them to look at"


LONG = (("isp+region", 0.545), ("isp+country", 0.182), ("continent", 0.136), ("any", 0.137))
WIDTHS = [
    # (columns of the terminal, those that have no room: of servers, edges and services)
    (160, "", "", ""),
    (100, "", "", ""),
    (80, "OVERRIDES, PLAN", "POP, OF", ""),
    (60, "SERVER, OVERRIDES, PLAN", "POP, OF, RAMP, WEIGHT", "PLAN, OVERRIDES"),
]


def narrow(width: int) -> list[Table]:
    services = [service("pull.live.example.", level_shares=LONG), service("t.", overrides=("pin-t",))]
    told = frame([seen("127.0.0.1:8053")], [edge("fra-1", weight=(75, 100)), edge("fra-2")], services)
    return [fitted(each, width) for each in tables(told)]


@pytest.mark.parametrize(("width", "servers", "edges", "services"), WIDTHS)
def test_narrow_terminals(width: int, servers: str, edges: str, services: str) -> None:
    for table, gone in zip(narrow(width), (servers, edges, services), strict=True):
        assert table.left_out == (f"… no room for {gone}" if gone else "")
        assert not set(gone.split(", ")) & set(table.heads)
        assert max(map(len, text_lines(table))) <= width
    *_, last = narrow(width)
    assert last.heads[:3] == ("SERVICE", "FAIL OPEN", "NO EDGE")
    cell = last.rows[0][-1].text
    assert cell == "isp+region 54.5%, isp+country 18.2%, continent 13.6%, any 13.7%"[: len(cell) - 1] + cell[-1]
    assert cell.endswith("…") == (width < 120)


def test_what_is_left_out_in_both_ways() -> None:
    told = frame([seen("a")], [edge(f"fra-{number}") for number in range(9)])
    _, edges = (fitted(each, 60) for each in tables(told, 12))
    assert (
        edges.left_out
        == f"… and {9 - len(edges.rows)} more edges, all as wished for; no room for POP, OF, RAMP, WEIGHT"
    )


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, network: dict[str, str]) -> Iterator[tuple[Server, Server]]:
    """Two of one network, each with a store of its own."""
    folders = [write_files(tmp_path_factory.mktemp(name), network) for name in ("one", "two")]
    with contextlib.ExitStack() as stack:
        one, two = (
            stack.enter_context(
                serving(folder, zones=folder / "zones", data=folder / "data", arguments=["--server-id", name])
            )
            for name, folder in zip(("ns1", "ns2"), folders, strict=True)
        )
        yield one, two


def where(*servers: Server) -> list[str]:
    found = []
    for server in servers:
        found += ["--admin", f"127.0.0.1:{server.admin}", "--state", str(server.state)]
    return found


def test_in_a_pipe(gslb, servers: tuple[Server, Server]) -> None:
    one, two = servers
    assert gslb("drain", "sha", "--edge", "--reason", "x", "--force", *where(one)).code == 0
    assert gslb("push", "fra", "--load", "9Gbps", *where(one)).code == 0
    wait_for(lambda: _edge(gslb, one, "fra")["load_bps"] > 0 and _edge(gslb, one, "sha")["overrides"])
    dead = ["--admin", f"127.0.0.1:{free_port()}", "--state", str(one.state)]
    done = gslb("status", "--watch", "--interval", "0.1", "--frames", "2", *where(one, two), *dead)
    assert (done.code, done.err) == (0, "")
    frames = done.out.split("\n\nSERVER")
    assert len(frames) == 2
    blocks = [[re.split("  +", row.strip()) for row in block.splitlines()] for block in frames[0].split("\n\n")]
    assert [row[0] for row in blocks[0]] == ["SERVER", "ns1", "ns2", "?"]
    assert [row[3] for row in blocks[0][1:3]] == [blocks[0][1][3]] * 2, "equal files, equal generations"
    assert [row[5] for row in blocks[0][1:3]] == ["1", "0"]
    assert blocks[0][3][-1].startswith(f"no server answers on {dead[1]}: Connection refused")
    edges = {row[0]: row for row in blocks[1]}
    assert edges["sha"][2:4] == ["drain", "drain"]
    assert edges["sha"][-2:] == ["0%", "drain-sha"]
    assert edges["fra"][5:7] == ["9 Gbps", "10 Gbps"]
    assert blocks[2][1][0] == "pull.live.example."
    assert gslb("undrain", "sha", "--edge", *where(one)).code == 0


def _edge(gslb, server: Server, name: str) -> dict[str, Any]:
    (line,) = gslb("status", "--watch", "--json", "--frames", "1", *where(server)).out.splitlines()
    edges = json.loads(line)["edges"]["edges"]
    return next(each for each in edges if each["edge"] == name)


def test_as_json(gslb, servers: tuple[Server, Server]) -> None:
    done = gslb("status", "--watch", "--json", "--interval", "0.1", "--frames", "2", *where(servers[1]))
    told = [json.loads(line) for line in done.out.splitlines()]
    assert (done.code, len(told)) == (0, 2)
    assert told[0]["servers"][0]["status"]["server_id"] == "ns2"
    assert [each["edge"] for each in told[0]["edges"]["edges"]] == ["fra", "sha"]
    assert told[0]["services"]["services"][0]["level_shares"][0][0] == "country"


def test_nobody_answers(gslb, tmp_path: Path) -> None:
    """One keeps looking: a server may come back."""
    (tmp_path / "admin.token").write_text("x\n")
    port = free_port()
    done = gslb("status", "--watch", "--frames", "1", "--admin", f"127.0.0.1:{port}", "--state", tmp_path)
    assert (done.code, len(done.out.splitlines()), done.err) == (0, 2, "")
    assert "Connection refused" in done.out


def test_frames_without_watching(gslb) -> None:
    assert gslb("status", "--frames", "1") == (2, "", "gslb: --frames: they are those of --watch\n")


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, arguments: list[str], lines: int = 24, columns: int = 160, term: str = "xterm") -> None:
        self.master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        env = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")} | {"TERM": term}
        self.process = subprocess.Popen(
            [command("gslb"), *arguments], stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True
        )
        self.modes = termios.tcgetattr(slave)
        self.slave = slave
        self.said = ""

    def read_until(self, wanted: Callable[[str], object]) -> None:
        until = time.monotonic() + SOON_S
        while not wanted(self.said):
            assert time.monotonic() < until, self.said
            if select.select([self.master], [], [], 0.1)[0]:
                self.said += os.read(self.master, 65536).decode("utf-8", "replace")

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.slave)
        os.close(self.master)


@pytest.mark.parametrize("ending", ["q", "Q", "\x04", signal.SIGINT])
def test_on_a_terminal(servers: tuple[Server, Server], ending: str | signal.Signals) -> None:
    terminal = Terminal(["status", "--watch", "--interval", "0.2", *where(*servers)])
    try:
        terminal.read_until(lambda said: said.count("q ends") >= 2)
        assert "\x1b[?1049h" in terminal.said, "a screen of its own"
        plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.said)
        for row in (r"ns1 +127", r"ns2 +127", r"fra +fra +up +up", r"sha +sha +up +up", r"pull\.live\.example\. +no"):
            assert re.search(row, plain), row
        if isinstance(ending, str):
            os.write(terminal.master, b"x")  # another key does nothing
            os.write(terminal.master, ending.encode())
        else:
            terminal.process.send_signal(ending)
        terminal.read_until(lambda said: "\x1b[?1049l" in said)
        assert terminal.process.wait(SOON_S) == 0
        assert termios.tcgetattr(terminal.slave) == terminal.modes, "the terminal is as it was"
    finally:
        terminal.close()


def test_on_a_terminal_without_keys(servers: tuple[Server, Server]) -> None:
    """Its input is something else: it ends after its frames."""
    terminal = Terminal(["--version"])
    terminal.process.wait(SOON_S)
    line = [command("gslb"), "status", "--watch", "--interval", "0.1", "--frames", "3", *where(servers[0])]
    done = subprocess.run(
        line, stdin=subprocess.DEVNULL, stdout=terminal.slave, stderr=subprocess.PIPE, timeout=SOON_S, check=False,
        env={**os.environ, "TERM": "xterm"},
    )  # fmt: skip
    try:
        assert (done.returncode, done.stderr) == (0, b"")
        terminal.read_until(lambda said: "\x1b[?1049l" in said)
    finally:
        terminal.close()


def test_on_a_terminal_that_can_do_nothing(servers: tuple[Server, Server]) -> None:
    terminal = Terminal(["status", "--watch", "--frames", "1", *where(servers[0])], term="dumb")
    try:
        terminal.read_until(lambda said: "pull.live.example." in said)
        assert terminal.process.wait(SOON_S) == 0
        assert "\x1b" not in terminal.said
    finally:
        terminal.close()
