"""From a packet to a reply: faults, rate limiting and counters, with an engine that does as it is told."""

from __future__ import annotations

import struct
from collections.abc import Callable

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import pytest
import structlog.testing
from gslbtest.counting import counted

from gslb.answer.engine import Trace
from gslb.server import cells
from gslb.server.limit import Limiter
from gslb.server.respond import Responder, servfail

CLIENT, CLIENT6 = b"\xc0\0\2\1", bytes.fromhex("20010db8000000000000000000000001")


class Told:
    """An engine that fills in the trace as it is told and replies ``b"reply"``, nothing, or raises."""

    def __init__(self, reply: bytes | Exception | None = b"reply", **trace: object) -> None:
        self._reply = reply
        self._trace = trace
        self.draws: list[int] = []

    def reply(self, packet: bytes, source: bytes, *, now_s: int, draw: int, tcp: bool, trace: Trace) -> bytes | None:
        self.draws.append(draw)
        for name, value in self._trace.items():
            setattr(trace, name, value)
        if isinstance(self._reply, Exception):
            raise self._reply
        return self._reply


def responder(engine: Told, limiter: Limiter | None = None) -> tuple[Responder, memoryview]:
    memory = memoryview(bytearray(cells.CELLS * 8)).cast("Q")
    found = Responder(memory)
    found.use(engine, struct.pack("=3H", 5, 6, 7), limiter)
    return found, memory


@pytest.mark.parametrize(
    ("trace", "tcp", "source", "counts"),
    [
        (
            {"qtype": 1, "outcome": "service", "edge": 1, "fail_open": True},
            False, CLIENT,
            {"udp ipv4 A": 1, "udp NOERROR": 1, "service": 1, "edge slot 6": 1, "fail_open": 1},
        ),
        (
            {"qtype": 28, "outcome": "nxdomain", "rcode": 3, "cookie_ok": True},
            True, CLIENT6,
            {"tcp ipv6 AAAA": 1, "tcp NXDOMAIN": 1, "nxdomain": 1, "cookies_valid": 1},
        ),
        (
            {"qtype": 65280, "outcome": "something new", "rcode": 23},
            False, CLIENT6,
            {"udp ipv6 other": 1, "udp other": 1, "other": 1},
        ),
    ],
)  # fmt: skip
def test_counters(trace: dict[str, object], tcp: bool, source: bytes, counts: dict[str, int]) -> None:
    found, memory = responder(Told(**trace))
    assert found.answer(b"packet", source, now_s=0, tcp=tcp) == b"reply"
    assert counted(memory) == counts


def test_a_drop_is_counted() -> None:
    found, memory = responder(Told(None))
    assert found.answer(b"packet", CLIENT, now_s=0, tcp=False) is None
    assert counted(memory) == {"udp ipv4 other": 1, "udp dropped": 1}


def test_draws_differ_and_fit() -> None:
    engine = Told()
    found, _ = responder(engine)
    for _ in range(50):
        found.answer(b"packet", CLIENT, now_s=0, tcp=False)
    assert len(set(engine.draws)) == 50
    assert max(engine.draws) < 1 << 64


def test_a_fault_is_servfail_and_told_once() -> None:
    found, memory = responder(Told(ZeroDivisionError("x"), rcode=3, outcome="nxdomain", edge=1))
    query = dns.message.make_query("WWW.example.", "TXT", use_edns=0)
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            reply = found.answer(query.to_wire(), CLIENT, now_s=0, tcp=False)
    assert reply is not None
    read = dns.message.from_wire(reply)
    assert (read.id, read.rcode(), read.question) == (query.id, dns.rcode.SERVFAIL, query.question)
    assert int(read.flags) & 0xFFF0 == dns.flags.QR | dns.flags.RD
    assert counted(memory) == {"udp ipv4 other": 3, "udp SERVFAIL": 3, "servfail": 3, "engine_errors": 3}
    assert [(log["event"], log["kind"]) for log in logs] == [("a question could not be answered", "ZeroDivisionError")]


HEAD = b"\x12\x34\x01\0\0\1\0\0\0\0\0\0"


@pytest.mark.parametrize(
    ("packet", "reply"),
    [
        (b"", None),
        (HEAD[:11], None),
        (b"\x12\x34\x81\0" + HEAD[4:], None),
        (HEAD, b"\x12\x34\x81\2" + bytes(8)),
        (HEAD + b"\1a", b"\x12\x34\x81\2" + bytes(8)),
        (HEAD + b"\xc0\x0c\0\1\0\1", b"\x12\x34\x81\2" + bytes(8)),
        (HEAD + b"\1a\0\0\1\0\1", b"\x12\x34\x81\2\0\1" + bytes(6) + b"\1a\0\0\1\0\1"),
        (HEAD + b"\1a\0\0\1\0\1rest", b"\x12\x34\x81\2\0\1" + bytes(6) + b"\1a\0\0\1\0\1"),
        (b"\x12\x34\x28\0\0\2" + bytes(6) + b"\1a\0\0\1\0\1" * 2, b"\x12\x34\xa8\2" + bytes(8)),
    ],
)
def test_servfail(packet: bytes, reply: bytes | None) -> None:
    assert servfail(packet) == reply


ECS = dns.edns.ECSOption("192.0.2.0", 24)
LIMITED = {"qtype": 1, "rcode": 3, "outcome": "nxdomain"}


@pytest.mark.parametrize(
    ("trace", "tcp", "source", "passed", "counts"),
    [
        (LIMITED, False, CLIENT, [True, None, "slip", None, "slip"], {"limit dropped": 2, "limit slipped": 2}),
        (LIMITED, True, CLIENT, [True] * 5, {}),
        (LIMITED, False, b"\x7f\0\0\1", [True] * 5, {}),
        ({**LIMITED, "cookie_ok": True}, False, CLIENT, [True] * 5, {}),
        ({"qtype": 1, "outcome": "service"}, False, CLIENT, [True] * 5, {"limit counted": 4}),
        ({"qtype": 1, "outcome": "nodata"}, False, CLIENT, [True] * 5, {"limit counted": 4}),
    ],
    ids=["limited", "tcp", "loopback", "cookie", "positive", "nodata"],
)
def test_rate_limit(
    trace: dict[str, object], tcp: bool, source: bytes, passed: list[object], counts: dict[str, int]
) -> None:
    found, memory = responder(Told(**trace), Limiter(1, 2, 1000, []))
    query = dns.message.make_query("No.example.", "A", use_edns=0, options=[ECS])
    replies = [found.answer(query.to_wire(), source, now_s=0, tcp=tcp) for _ in passed]
    for reply, expected in zip(replies, passed, strict=True):
        if expected == "slip":
            assert reply is not None
            read = dns.message.from_wire(reply)
            assert query.is_response(read)
            assert (read.rcode(), bool(read.flags & dns.flags.TC)) == (dns.rcode.NXDOMAIN, True)
            assert [option.to_text() for option in read.options] == ["ECS 192.0.2.0/24 scope/0"]
        else:
            assert reply == (b"reply" if expected else None)
    assert {name: value for name, value in counted(memory).items() if name.startswith("limit")} == counts


def test_what_cannot_be_slipped_is_dropped() -> None:
    found, memory = responder(Told(qtype=1, rcode=1, outcome="formerr"), Limiter(1, 1, 1000, []))
    packet = dns.message.make_query("a.example.", "A").to_wire() + b"rest"
    assert [found.answer(packet, CLIENT, now_s=0, tcp=False) for _ in range(2)] == [b"reply", None]
    assert counted(memory)["limit dropped"] == 1


def test_repeated_trouble_is_told_sparingly(monkeypatch: pytest.MonkeyPatch) -> None:
    from gslb.server.log import Sparing

    now = 1000.0
    monkeypatch.setattr("gslb.server.log.time.monotonic", lambda: now)
    with structlog.testing.capture_logs() as logs:
        sparing = Sparing(structlog.get_logger(), interval_s=60, kinds=2)
        tell: Callable[[str], bool] = lambda kind: sparing.error("trouble", kind)  # noqa: E731 shorter than a def here
        assert [tell("a"), tell("a"), tell("a"), tell("b"), tell("c"), tell("d")] == [
            True,
            False,
            False,
            True,
            True,
            False,
        ]
        now += 60
        assert tell("a")
    assert [(log["kind"], log["not_told"]) for log in logs] == [("a", 0), ("b", 0), ("other", 0), ("a", 2)]
