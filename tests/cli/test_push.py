"""`push`: at a real server's admin port, into a real Redis, and what is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from gslbtest.process import free_port
from gslbtest.serving import Server, serving, write_files
from gslbtest.stores import RedisServer

USAGE = [
    # what is typed after gslb push; what is said, a line each
    (
        "fra",
        ["nothing is said of it; say at least one of --health, --health4, --health6, --load, --capacity, --sessions,"],
    ),
    (
        "fra --load x --capacity 1 --sessions -1 --valid-for 1w",
        [
            '--load: "x" is not a rate',
            '--capacity: "1" is not a rate',
            '--sessions: "-1" is not a whole number from 0 to 9007199254740992',
            '--valid-for: "1w" is not a duration',
        ],
    ),
    ("fra --valid-for 8d", ["--valid-for: '691200000' is not a decimal number from 0 to 604800000"]),
    ("fra --load 9999Tbps", ["--load: '9999000000000000' is not a decimal number from 0 to 1000000000000000"]),
    ("a/b --load 0", ["the name is not letters, digits, dots, hyphens and underscores, at most 63"]),
    ("fra --load 0 --store memory://", ["--store: the embedded store is inside of a server; name its port by --admin"]),
    (
        "fra --load 0 --store redis://h --admin 127.0.0.1:1",
        ["--store and --admin: it is written to the one or to the other"],
    ),
    ("fra --load 0 --store x", ["--store: the URL of a store is memory://"]),
]


@pytest.mark.parametrize(("typed", "said"), USAGE, ids=[row[0] for row in USAGE])
def test_usage(gslb, typed: str, said: list[str]) -> None:
    done = gslb("push", *typed.split())
    lines = done.err.splitlines()
    assert (done.code, done.out, len(lines)) == (2, "", len(said)), done.err
    assert [line for line, begin in zip(lines, said, strict=True) if not line.startswith(f"gslb: {begin}")] == []


def test_a_verdict_is_one_of_three(gslb) -> None:
    assert gslb("push", "fra", "--health", "good").code == 2


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, network: dict[str, str]) -> Iterator[Server]:
    folder = write_files(tmp_path_factory.mktemp("push"), network)
    with serving(folder, zones=folder / "zones", data=folder / "data") as found:
        yield found


@pytest.fixture
def at_server(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GSLB_ADMIN", f"127.0.0.1:{server.admin}")
    monkeypatch.setenv("GSLB_STATE", str(server.state))


@pytest.mark.usefixtures("at_server")
def test_at_a_server(gslb) -> None:
    """What is not said stays as it was."""
    line = "push fra --load 3.1Gbps --capacity 40Gbps --sessions 12 --health6 down --valid-for 60s"
    done = gslb(*line.split())
    said = "fra: IPv4 up, IPv6 down, load 3.1 Gbps of 40 Gbps, headroom 100%, 12 sessions, valid for 60 s"
    assert (done.code, re.sub(r"epoch \d+", "epoch E", done.out), done.err) == (0, f"{said} (epoch E, seq 1)\n", "")
    told = json.loads(gslb("push", "fra", "--health", "drain", "--json").out)
    assert (told["health4"], told["health6"], told["load_bps"], told["seq"]) == ("drain", "drain", 31 * 10**8, 2)
    line = "push fra --health up --load 0 --capacity 0 --sessions 0 --valid-for 0"
    done = gslb(*line.split())
    assert re.sub(r"epoch \d+", "E", done.out) == "fra: IPv4 up, IPv6 up, load 0 bps (E, seq 3)\n"


@pytest.mark.usefixtures("at_server")
def test_an_edge_that_the_server_does_not_know(gslb) -> None:
    assert gslb("push", "fro", "--load", "0") == (1, "", "gslb: edge 'fro' is not in the catalog\n")


def test_tokens(gslb, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token for reports is enough; else the admin token."""
    where = ["--admin", f"127.0.0.1:{server.admin}", "--state", tmp_path]
    push = ["push", "sha", "--load", "0", *where]
    done = gslb(*push)
    missing = "; ".join(f"{tmp_path}/{name}.token: No such file or directory" for name in ("report", "admin"))
    assert done == (1, "", f"gslb: no token can be read: {missing}; name --state, or set GSLB_ADMIN_TOKEN\n")
    for name in ("report", "admin"):
        (tmp_path / "report.token").write_bytes(b"\xff")
        (tmp_path / f"{name}.token").write_text((server.state / f"{name}.token").read_text())
        assert gslb(*push).code == 0, name
    (tmp_path / "report.token").write_text("wrong\n")
    refused = f"gslb: the server on 127.0.0.1:{server.admin} refuses the token; it stands in its state directory\n"
    assert gslb(*push) == (1, "", refused)
    monkeypatch.setenv("GSLB_ADMIN_TOKEN", (server.state / "report.token").read_text().strip())
    assert gslb(*push).code == 0


def test_into_a_store(gslb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with RedisServer(tmp_path / "redis") as redis:
        done = gslb("push", "fra-1", "--load", "1Gbps", "--store", redis.url)
        assert (done.code, done.err) == (0, "")
        assert re.sub(r"epoch \d+", "E", done.out) == "fra-1: IPv4 up, IPv6 up, load 1 Gbps (E, seq 1)\n"
        monkeypatch.setenv("GSLB_STORE", redis.url)
        told = json.loads(gslb("push", "fra-1", "--health4", "down", "--json").out)
        assert (told["health4"], told["health6"], told["load_bps"], told["seq"]) == ("down", "up", 10**9, 2)


@pytest.mark.parametrize("where", ["--admin 127.0.0.1:{}", "--store redis://127.0.0.1:{}"])
def test_nobody_there(gslb, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    monkeypatch.setenv("GSLB_ADMIN_TOKEN", "x")
    port = free_port()
    done = gslb("push", "fra", "--load", "0", *where.format(port).split())
    assert (done.code, done.out) == (1, "")
    assert f"127.0.0.1:{port}" in done.err
