"""`status`, `explain` and `apply` against a running server, and what is said when there is none."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from gslbtest.process import SOON_S, command
from gslbtest.serving import Server, serving, write_files

from gslb.cli.show import STATES, reload_lines, status_lines
from gslb.server.status import Fault, Live, ReloadStatus, Status, SteeringStatus


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, network: dict[str, str]) -> Iterator[Server]:
    """A server of the small network, for the tests that only ask."""
    folder = write_files(tmp_path_factory.mktemp("remote"), network)
    with serving(folder, zones=folder / "zones", data=folder / "data", arguments=["--server-id", "ns1"]) as found:
        yield found


def where(server: Server) -> list[str]:
    return ["--admin", f"127.0.0.1:{server.admin}", "--state", str(server.state)]


def test_status(gslb, server: Server) -> None:
    done = gslb("status", *where(server))
    assert (done.code, done.err) == (0, "")
    said = re.sub(r"\d+ s\b|\d+\.\d+ (m?s)|[0-9a-f]{16}|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|pid \d+", "#", done.out)
    assert said.splitlines() == [
        "server      ns1, gslb 0.1.0, #, up #",
        "ready       yes",
        f"listens     127.0.0.1:{server.port} (UDP and TCP), admin 127.0.0.1:{server.admin}",
        "generation  #, applied # UTC",
        "zones       1: live.example.",
        "services    1, edges 2",
        "store       memory://, connected, 0 edges have reported",
        "overrides   none act now, plan none",
        "steering    1 built, the last in #",
        "reload      ok",
        "            # UTC, took #",
        "worker 0    #, answers, restarted 0 times",
    ]
    assert json.loads(gslb("status", "--json", *where(server)).out)["zones"] == ["live.example."]


@pytest.mark.parametrize(("flag", "said"), [("--live", "live\n"), ("--ready", "ready\n")])
def test_health(gslb, server: Server, tmp_path: Path, flag: str, said: str) -> None:
    """For a container's health check: no token is read."""
    assert gslb("status", flag, "--admin", f"127.0.0.1:{server.admin}", "--state", tmp_path) == (0, said, "")


@pytest.mark.parametrize("options", ["", "--watch --frames 1"])
def test_status_that_nobody_reads(server: Server, options: str) -> None:
    line = ["sh", "-c", f"{command('gslb')} status {options} {' '.join(where(server))} >&-"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=SOON_S, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_explain(gslb, server: Server) -> None:
    done = gslb("explain", "pull.live.example", "--subnet", "198.51.100.0/24", *where(server))
    assert (done.code, done.err) == (0, "")
    assert "A sha, TTL 20\n" in done.out
    assert "AAAA" not in done.out.split("edge ")[0]
    told = json.loads(
        gslb("explain", "pull.live.example", "--subnet", "203.0.113.0", "--type", "AAAA", "--json", *where(server)).out
    )
    assert [(answer["qtype"], answer["edges"]) for answer in told["answers"]] == [("AAAA", ["fra"])]


@pytest.mark.parametrize(
    ("arguments", "err"),
    [
        (["pull.live.example", "--subnet", "x"], "gslb: 'x' is neither an address nor a prefix\n"),
        (["a\udcff"], 'gslb: "a�" is not a name: other letters than ASCII are written as xn--… (IDNA)\n'),
        (["a" * 1025], "gslb: name: String should have at most 1024 characters\n"),
    ],
)
def test_explain_of_what_cannot_be_asked(gslb, server: Server, arguments: list[str], err: str) -> None:
    assert gslb("explain", *arguments, *where(server)) == (1, "", err)


def test_explain_what_was(gslb, server: Server) -> None:
    """A time as it is typed becomes an instant that the server's journal knows, or does not."""
    ask = ["explain", "pull.live.example", "--subnet", "198.51.100.0/24", *where(server)]
    until = time.monotonic() + SOON_S
    while (done := gslb(*ask, "--at", "-1s")).code:
        assert time.monotonic() < until, done.err
        time.sleep(0.2)
    assert "A sha, TTL 20\n" in done.out
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    assert json.loads(gslb(*ask, "--at", now, "--json").out)["answers"][0]["edges"] == ["sha"]
    for long_ago in ("2001-01-01T00:00:00Z", "-9000d"):
        done = gslb(*ask, "--at", long_ago)
        assert (done.code, done.out) == (1, "")
        assert done.err.startswith("gslb: ")


@pytest.mark.parametrize("at", ["yesterday", "2026-11-24", "2026-11-24T10:00:00", "+10m", "24:00"])
def test_explain_at_no_time(gslb, server: Server, at: str) -> None:
    done = gslb("explain", "pull.live.example", "--at", at, *where(server))
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"gslb: --at: {at!r} is not a time")


def test_status_of_several(gslb, server: Server, tmp_path: Path) -> None:
    (tmp_path / "admin.token").write_text("x\n")
    dead = free()
    done = gslb("status", *where(server), "--admin", f"127.0.0.1:{dead}", "--state", tmp_path)
    assert (done.code, done.err) == (1, f"gslb: no server answers on 127.0.0.1:{dead}: Connection refused\n")
    assert done.out.startswith("server      ns1")
    done = gslb("status", *where(server), *where(server))
    assert (done.code, [row[:16] for row in done.out.splitlines() if row[:6] in ("", "server")]) == (
        0,
        ["server      ns1,", "", "server      ns1,"],
    )
    twice = ["--admin", f"127.0.0.1:{server.admin}"] * 2
    done = gslb("status", "--json", *twice, "--state", server.state)
    assert (done.code, [json.loads(line)["server_id"] for line in done.out.splitlines()]) == (0, ["ns1", "ns1"])
    assert gslb("status", "--live", *twice) == (0, "live\nlive\n", "")
    assert gslb("status", *twice, *["--admin", "127.0.0.1:1"], *["--state", "a", "--state", "b"]) == (
        2,
        "",
        "gslb: --state: 2 of them for 3 servers; say one, or one for each --admin\n",
    )


LIVES = [
    # what the store is like; the lines that say so
    (Live(connected=True), 0, ["store       memory://, connected, 0 edges have reported"]),
    (Live(age_s=7.4), 3, ["store       memory://, AWAY for 7 s; what it said last holds, 3 edges have reported"]),
    (
        Live(connected=True, faults={"b": "is bad", "a": "is worse"}),
        0,
        ["store       memory://, connected, 0 edges have reported", "            a: is worse", "            b: is bad"],
    ),
    (Live(overrides=1, plan="v7"), 0, ["overrides   1 acts now, plan v7"]),
    (Live(overrides=2), 0, ["overrides   2 act now, plan none"]),
    (Live(), 0, ["overrides   none act now, plan none"]),
    (Live(saved_s=1.0), 0, ["saved       1970-01-01 00:00:01 UTC"]),
    (Live(saved_s=1.0, not_saved="No space left"), 0, ["saved       NOT SAVED: No space left"]),
]


@pytest.mark.parametrize(("live", "reports", "lines"), LIVES)
def test_how_the_store_is(live: Live, reports: int, lines: list[str]) -> None:
    status = Status("0", "id", 1, 0.0, True, (), "d", "memory://", live=live, steering=SteeringStatus(reports=reports))
    said = status_lines(status)
    begin = said.index(lines[0])
    assert said[begin : begin + len(lines)] == lines
    assert bool(live.saved_s) == any(line.startswith("saved ") for line in said)


def test_apply(gslb, network: dict[str, str], tmp_path: Path) -> None:
    folder = write_files(tmp_path, network)
    zone = folder / "zones" / "live.yaml"
    with serving(folder, zones=folder / "zones", data=folder / "data") as server:
        done = gslb("apply", *where(server))
        assert (done.code, done.out.splitlines()[0], done.err) == (0, "reload      ok", "")
        zone.write_text(network["zones/live.yaml"].replace("sha: 100", "sha: 0"))
        done = gslb("apply", *where(server))
        assert done.code == 1
        lines = done.out.splitlines()
        assert lines[0] == "reload      HELD: too much would move at once; `gslb apply --force` lets it through"
        assert re.fullmatch(r"            generation [0-9a-f]{16} waits", lines[2])
        assert lines[3:] == ["            pull.live.example. moves 50.0% of its known clients, may 30.0%"]
        assert gslb("apply", "--force", *where(server)).code == 0
        zone.write_text("zone: [\n")
        done = gslb("apply", *where(server))
        assert (done.code, done.err) == (1, "")
        lines = done.out.splitlines()
        assert lines[0] == "reload      FAILED: the files have errors; what was applied last is served"
        assert lines[2].startswith(f"  {zone}:2:1: ")
        told = json.loads(gslb("apply", "--json", *where(server)).out)
        assert told["state"] == "failed"


@pytest.mark.parametrize(
    ("reload", "line"),
    [
        (ReloadStatus("failed", errors=(Fault("a.yaml", 1, 2, "x"),)), STATES["failed"]),
        (ReloadStatus("failed", errors=(Fault("", 0, 0, "No space left on device"),)), "FAILED: nothing changed"),
        (ReloadStatus("ok"), "ok"),
        (
            ReloadStatus("ok", errors=(Fault("", 0, 0, "served, but could not be remembered: x"),)),
            "NOT REMEMBERED: the files are served, and a restart would begin with what was applied before",
        ),
    ],
)
def test_the_outcome_of_a_reload(reload: ReloadStatus, line: str) -> None:
    lines = reload_lines(reload)
    assert lines == [f"reload      {line}", *(f"  {fault}" for fault in reload.errors)]


@pytest.mark.parametrize(
    ("transports", "said"),
    [
        ((), "a b c (UDP and TCP)"),
        ((("UDP",), ("UDP",), ("UDP",)), "a b c (UDP)"),
        ((("UDP", "TCP"), ("UDP",), ("TCP",)), "a (UDP and TCP) b (UDP) c (TCP)"),
    ],
)
def test_what_listens_where(transports: tuple[tuple[str, ...], ...], said: str) -> None:
    status = Status("0", "id", 1, 0.0, True, ("a", "b", "c"), "d", "memory://", transports=transports)
    assert f"listens     {said}, admin d" in status_lines(status)


def free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def test_nobody_there(gslb, tmp_path: Path) -> None:
    (tmp_path / "admin.token").write_text("x\n")
    admin = f"127.0.0.1:{free()}"
    err = f"gslb: no server answers on {admin}: Connection refused\n"
    for verb in (["status"], ["status", "--live"], ["status", "--ready"], ["apply"], ["explain", "a"]):
        assert gslb(*verb, "--admin", admin, "--state", tmp_path) == (1, "", err)


def test_tokens(gslb, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    admin = f"127.0.0.1:{server.admin}"
    assert gslb("status", "--admin", admin, "--state", tmp_path) == (
        1,
        "",
        f"gslb: the admin token cannot be read: {tmp_path}/admin.token: No such file or directory; name --state\n",
    )
    (tmp_path / "admin.token").write_text("wrong\n")
    assert gslb("status", "--admin", admin, "--state", tmp_path) == (
        1,
        "",
        f"gslb: the server on {admin} refuses the token; it stands in its state directory\n",
    )
    (tmp_path / "admin.token").write_bytes(b"\xff\n")
    assert gslb("status", "--admin", admin, "--state", tmp_path) == (
        1,
        "",
        f"gslb: the admin token cannot be read: {tmp_path}/admin.token holds other than ASCII characters\n",
    )
    monkeypatch.setenv("GSLB_ADMIN_TOKEN", "b\u00e9")
    assert gslb("status", "--admin", admin, "--state", tmp_path) == (
        1,
        "",
        "gslb: GSLB_ADMIN_TOKEN is not a token: it holds other than printable ASCII characters\n",
    )
    monkeypatch.setenv("GSLB_ADMIN_TOKEN", (server.state / "admin.token").read_text().strip())
    monkeypatch.setenv("GSLB_ADMIN", admin)
    assert gslb("status").code == 0


def test_something_else_is_there(gslb, tmp_path: Path) -> None:
    """What listens there is no HTTP server, or not ours."""
    (tmp_path / "admin.token").write_text("x\n")
    replies = [b"SSH-2.0-x\r\n", b"HTTP/1.1 500 X\r\nContent-Length: 4\r\n\r\noops"]
    with socket.create_server(("127.0.0.1", 0)) as sock:
        admin = f"127.0.0.1:{sock.getsockname()[1]}"

        def answer() -> None:
            for reply in replies:
                peer, _ = sock.accept()
                with peer:
                    peer.recv(4096)
                    peer.sendall(reply)

        thread = threading.Thread(target=answer)
        thread.start()
        done = gslb("status", "--admin", admin, "--state", tmp_path)
        assert (done.code, done.out) == (1, "")
        assert done.err.startswith(f"gslb: no server answers on {admin}: ")
        assert gslb("status", "--admin", admin, "--state", tmp_path) == (1, "", "gslb: oops\n")
        thread.join()
