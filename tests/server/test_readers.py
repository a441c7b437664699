"""Which path answers UDP, what the log says of it, and that both paths count alike."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import structlog.testing
from gslbtest import network
from gslbtest.asking import addresses, ask
from gslbtest.packets import asks, edns, subnet
from gslbtest.query_rows import QUERIES, REFUSALS
from gslbtest.readers import REFERENCE, Desk, bound, client, numbered
from gslbtest.serving import Server, serving
from gslbtest.world import NOW_S, RESOLVER, World, world

from gslb.answer import fast
from gslb.answer.engine import Trace
from gslb.server import cells
from gslb.server.limit import DROP, PASS, Limiter
from gslb.server.meta import RateLimit
from gslb.snapshot import layout

Until = Callable[[Callable[[], object]], Awaitable[None]]
COMPILED = fast.compiled(os.environ)[0] is not None
LIVE = b"\x04live\x07example\0"
NAMES = (
    b"\x04pull", b"\x04only", b"\x06fenced", b"\x09fenced-fb", b"\x03six", b"\x04both", b"\x04mail", b"\x03www",
    b"\x04none", b"\x03del", b"\x01a\x03del", b"\x03out", b"\x02c0", b"\x04wild", b"\x01x\x04wild", b"\x03big",
)  # fmt: skip
CLIENTS = (
    subnet(1, 24, bytes((198, 51, 100))),
    subnet(2, 48, bytes.fromhex("20010db80002")),
    subnet(2, 48, bytes.fromhex("2002c6336401")),
)
MIX = [
    *(row.packet for row in (*QUERIES, *REFUSALS)),
    *(
        edns(option, question=asks(name + LIVE, qtype))
        for name in NAMES
        for qtype in (1, 28, 16, 65, 255, 252, 6)
        for option in CLIENTS
    ),
    edns(question=asks(b"\x04only" + LIVE)),
    edns(question=asks(b"\x05other\x04test\0")),
    edns(question=asks(LIVE, 1, 4)),
]
"""One of each rule for messages, and each kind of name, type and client."""


@pytest.fixture(scope="module")
def net() -> World:
    return world(network.ZONES, network.TABLES)


def absent(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    """As if a module had not been compiled."""
    package, _, name = module.rpartition(".")
    monkeypatch.setitem(sys.modules, module, None)
    if package in sys.modules:
        monkeypatch.delattr(sys.modules[package], name, raising=False)


WHYS: dict[str, tuple[dict[str, str], Callable[[pytest.MonkeyPatch], None], str]] = {
    "switched off": (REFERENCE, lambda patch: None, "GSLB_NO_EXTENSIONS is set"),
    "answering not compiled": (
        {},
        lambda patch: absent(patch, "gslb.answer._fast.reply"),
        "not compiled: import of gslb.answer._fast.reply halted",
    ),
    "threads not compiled": (
        {},
        lambda patch: absent(patch, "gslb.server.native"),
        "not compiled: import of gslb.server.native halted",
    ),
    "another layout": (
        {},
        lambda patch: patch.setattr(layout, "VERSION", layout.VERSION + 1),
        "compiled for another version of gslb; install it anew",
    ),
}


@pytest.mark.parametrize("why", WHYS)
async def test_the_reference_path_and_why(net: World, monkeypatch: pytest.MonkeyPatch, until: Until, why: str) -> None:
    environment, prepare, reason = WHYS[why]
    prepare(monkeypatch)
    with structlog.testing.capture_logs() as logs:
        desk = Desk(net, environment)
    assert [log["event"] for log in logs] == ["UDP is answered on the reference path"]
    if COMPILED or why == "switched off":
        assert logs[0]["reason"].startswith(reason)
    sock = bound("127.0.0.1")
    desk.read(sock)
    found = await asked_of(desk, sock.getsockname(), [edns()], until)
    assert found == {"udp ipv4 A": 1, "udp NOERROR": 1, "service": 1} | {
        name: 1 for name in found if name.startswith("edge slot")
    }
    desk.readers.end()


async def asked_of(desk: Desk, to: tuple[str, int], packets: list[bytes], until: Until) -> dict[str, int]:
    """The counters once all packets are dealt with."""
    with client("127.0.0.1") as ours:
        for number, packet in enumerate(packets):
            ours.sendto(packet if len(packet) < 2 else numbered(packet, number), to)
        await until(lambda: queries(desk.counts()) == len(packets))
    return desk.counts()


def queries(counts: dict[str, int]) -> int:
    return sum(counts.get(f"udp ipv4 {qtype}", 0) for qtype in cells.QTYPE_LABELS)


def drawn(net: World, packet: bytes) -> bool:
    trace = Trace()
    net.engine.reply(packet, RESOLVER, now_s=NOW_S, draw=0, tcp=False, trace=trace)
    return trace.client is not None and not trace.client.public and b"\x04only" not in trace.qname


async def test_both_paths_count_alike(net: World, until: Until) -> None:
    """All but which path it was, for answers in which nothing is drawn at random."""
    mix = [packet for packet in MIX if not drawn(net, packet)]
    assert len(mix) > 0.6 * len(MIX)
    counts = []
    for environment in (REFERENCE, {}):
        desk = Desk(net, environment)
        sock = bound("127.0.0.1")
        desk.read(sock)
        counts.append(await asked_of(desk, sock.getsockname(), mix, until))
        desk.readers.end()
    reference, compiled = counts
    paths = {name: compiled.pop(name) for name in list(compiled) if name == "fast" or name.startswith("missed")}
    assert compiled == reference
    assert queries(compiled) == len(mix)
    assert len(compiled) > 25
    if COMPILED:
        assert sum(paths.values()) == len(mix)
        assert set(paths) == {"fast", "missed unusual", "missed class_ch", "missed referral", "missed embedded_ipv6"}


BOTH = pytest.mark.parametrize("environment", [{}, REFERENCE], ids=["as installed", "switched off"])


@BOTH
def test_each_path_has_its_limiter(net: World, environment: dict[str, str]) -> None:
    assert Desk(net, environment).limiter is None
    limiter = Desk(net, environment, rules=RateLimit(2, 0, 15, ("198.51.100.0/24",))).limiter
    assert limiter is not None
    assert isinstance(limiter, Limiter) is (environment == REFERENCE or fast.compiled({})[0] is None)
    for source, decisions in ((bytes((192, 0, 2, 1)), [PASS, PASS, DROP]), (bytes((198, 51, 100, 1)), [PASS] * 3)):
        assert [limiter.decide(source, "refused", 1.0) for _ in decisions] == decisions


@BOTH
def test_a_server_says_which_path(
    tmp_path: Any, small: dict[str, str], admin_of: Callable[[Server], Any], environment: dict[str, str]
) -> None:
    with serving(tmp_path, zones=small, env=environment) as server:
        assert addresses(ask(server.port, "www.live.example.")) == ["192.0.2.80"]
        assert addresses(ask(server.port, "pull.live.example.", subnet="198.51.100.0/24"))
        assert ask(server.port, "version.bind.", "TXT", rdclass="CH").answer
        metrics = admin_of(server).metrics()
        said = server.said()
    used = COMPILED and not environment
    assert metrics["gslb_udp_compiled_total"] == (2 if used else 0)
    assert metrics['gslb_udp_missed_total{reason="class_ch"}'] == (1 if used else 0)
    assert metrics["gslb_udp_missed_dropped_total"] == 0
    assert metrics['gslb_outcomes_total{outcome="debug"}'] == 1
    assert ("UDP is answered on the reference path" in said) is not used
    if environment:
        assert "GSLB_NO_EXTENSIONS is set" in said
