"""Writing through the admin port of a real server, and what is made of replies that no server of ours gives."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from gslbtest.process import SOON_S, free_port
from gslbtest.serving import Server, serving

from gslb.errors import GslbError
from gslb.health.state import Measurement
from gslb.model.override import KIND_DRAIN, Override, Target
from gslb.model.plan import Plan
from gslb.model.report import DOWN, Report
from gslb.store.admin_port import AdminWriter
from gslb.store.interface import Outcome, StoreError, Writer
from gslb.store.opening import open_writer
from gslb.store.pushing import push

EDGES = ("ber-1", "ber-2", "ber-3", "ber-4")
ZONES = {
    "edges.yaml": "edges:\n"
    + "".join(
        f"  {edge}:\n    pop: ber\n    addresses: {{v4: [203.0.113.{host}]}}\n"
        "    location: {country: DE, region: BE, lat: 52.5, lon: 13.4}\n    capacity: 10Gbps\n"
        for host, edge in enumerate(EDGES, 1)
    ),
    "live.yaml": (
        "zone: live.example.\nsoa: {mname: ns1, rname: hostmaster}\n"
        'records:\n  "@": {NS: [ns1]}\n  ns1: {A: 192.0.2.53}\n'
        "services:\n  pull: {pool: all, affinity: [any]}\n"
        f"pools:\n  all: {{{', '.join(f'{edge}: 100' for edge in EDGES)}}}\n"
    ),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("admin_port"), zones=ZONES) as found:
        yield found


@contextlib.asynccontextmanager
async def writing(server: Server, name: str = "admin.token") -> AsyncIterator[AdminWriter]:
    token = (server.state / name).read_text().strip()
    writer: Writer = open_writer(f"http://127.0.0.1:{server.admin}", token)
    assert isinstance(writer, AdminWriter)
    yield writer
    await writer.close()


def drain(name: str, target: Target, lasting_s: int = 600) -> Override:
    now_s = int(time.time())
    return Override(name, KIND_DRAIN, target, now_s, now_s + lasting_s, author="me", reason="a test")


@pytest.mark.parametrize("token", ["admin.token", "report.token"])
async def test_reports(server: Server, token: str) -> None:
    edge = {"admin.token": "ber-1", "report.token": "ber-2"}[token]
    async with writing(server, token) as writer:
        assert await writer.latest(edge) is None
        said = Report(edge, epoch=5, seq=7, received_ms=0, health4=DOWN, load_bps=10**9, sessions=3)
        assert await writer.report(said) == Outcome(True)
        held = await writer.latest(edge)
        assert held is not None
        assert abs(held.received_ms - writer.clock_ms) < 60_000
        assert dataclasses.replace(held, received_ms=0, slow_since_ms=0) == said
        refused = await writer.report(said)
        assert not refused.accepted
        assert "epoch 5, seq 7 is not newer than epoch 5, seq 7" in refused.reason
        report, outcome = await push(writer, edge, Measurement(load_bps=2 * 10**9))
        assert (outcome, report.seq, report.load_bps, report.sessions) == (Outcome(True), 8, 2 * 10**9, 3)


async def test_reports_that_are_refused(server: Server) -> None:
    async with writing(server) as writer:
        assert await writer.latest("nowhere") is None
        assert await writer.latest("no/where") is None
        outcome = await writer.report(Report("nowhere", 1, 1, 0))
        assert outcome == Outcome(False, "edge 'nowhere' is not in the catalog")
        outcome = await writer.report(Report("ber-3", 1, -1, 0))
        assert outcome.accepted is False
        assert "seq: '-1' is not a decimal number" in outcome.reason
        outcomes = [await writer.report(Report("ber-4", 1, seq, 0)) for seq in range(60)]
        assert "edge 'ber-4' reports more often than 5 times a second" in {each.reason for each in outcomes}


async def test_threads_that_wait_for_something_else_stop_no_report(server: Server) -> None:
    """As those do that look up names where no resolver answers."""
    never = threading.Event()
    waiting = [asyncio.ensure_future(asyncio.to_thread(never.wait)) for _ in range(40)]
    await asyncio.sleep(0)
    try:
        async with writing(server) as writer, asyncio.timeout(SOON_S):
            assert await writer.latest("nowhere") is None
    finally:
        never.set()
        await asyncio.gather(*waiting)


async def test_overrides(server: Server) -> None:
    async with writing(server) as writer:
        order = drain("d1", Target(edge="ber-1"))
        assert await writer.override(order) == Outcome(True)
        assert await writer.overrides() == (order,)
        ended = dataclasses.replace(order, until_s=order.from_s)
        assert await writer.override(ended) == Outcome(True)
        assert await writer.overrides() == (ended,)
        for wanted, reason in [
            (drain("d2", Target(edge="ber-9")), "target.edge: 'ber-9' is not in the inventory"),
            (drain("D2", Target(edge="ber-9")), "id: 'D2' is not 1 to 63"),
            (drain("d2", Target(pop="ber")), "pull.live.example. would have no healthy IPv4 edge"),
        ]:
            outcome = await writer.override(wanted)
            assert outcome.accepted is False
            assert reason in outcome.reason
        assert await writer.overrides() == (ended,)


async def test_the_token_for_reports_orders_nothing(server: Server) -> None:
    refused = f"^the server on 127.0.0.1:{server.admin} refuses the token; it stands in its state directory$"
    async with writing(server, "report.token") as writer:
        for asked in (writer.overrides(), writer.override(drain("d3", Target(edge="ber-1")))):
            with pytest.raises(StoreError, match=refused):
                await asked


async def test_closed(server: Server) -> None:
    async with writing(server) as writer:
        await writer.close()
        with pytest.raises(StoreError, match=f"127.0.0.1:{server.admin} is closed"):
            await writer.latest("ber-1")


async def test_the_clock_goes_on(server: Server) -> None:
    async with writing(server) as writer:
        local_ms = time.time() * 1000
        assert abs(writer.clock_ms - local_ms) < 60_000
        await writer.overrides()
        first_ms = writer.clock_ms
        assert abs(first_ms - local_ms) < 60_000
        until = time.monotonic() + SOON_S
        while writer.clock_ms <= first_ms:
            assert time.monotonic() < until


async def test_nobody_there() -> None:
    port = free_port()
    writer = AdminWriter(f"http://127.0.0.1:{port}", "x")
    with pytest.raises(StoreError, match=f"^no server answers on 127.0.0.1:{port}: Connection refused$"):
        await writer.latest("ber-1")


async def test_somebody_who_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        with pytest.raises(StoreError, match=f"^no server answers on 127.0.0.1:{port}: timed out$"):
            await AdminWriter(f"http://127.0.0.1:{port}", "x", timeout_s=0.2).latest("ber-1")


@contextlib.contextmanager
def replying(code: int, body: bytes) -> Iterator[int]:
    """A server that replies once; its port."""
    with socket.create_server(("127.0.0.1", 0)) as sock:

        def answer() -> None:
            peer, _ = sock.accept()
            with peer:
                peer.recv(65536)
                peer.sendall(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (code, len(body), body))

        thread = threading.Thread(target=answer)
        thread.start()
        yield sock.getsockname()[1]
        thread.join()


STRANGE = [
    # what is asked, HTTP code, body, what is said
    ("latest", 200, b"{", "gives what cannot be read: report of edge 'a': not JSON: "),
    ("latest", 200, b'{"load_bps": 1}', "gives what cannot be read: a report without epoch and seq"),
    ("latest", 503, b'{"detail": "the store is away"}', ": the store is away"),
    ("latest", 500, b"", ": HTTP 500"),
    ("latest", 500, b'{"detail": [{"loc": ["query", "a"], "msg": "is bad"}]}', ": a: is bad"),
    ("overrides", 200, b"[]", "gives what cannot be read: not a list of overrides"),
    ("overrides", 200, b"[" * 100_000, "gives what cannot be read: not a list of overrides"),
    (
        "overrides",
        200,
        b'{"clock_ms": 1, "connected": true, "overrides": [{"id": "a"}]}',
        "gives what cannot be read: override 'a': kind: null is not one of drain, ramp, pin; ",
    ),
    ("overrides", 200, b'{"clock_ms": 1, "connected": false, "overrides": []}', "cannot reach its store"),
    ("overrides", 502, b"<p>no</p>", ": <p>no</p>"),
    ("plan", 200, b"x", "gives what cannot be read: plan: sha256: is not 64 hexadecimal digits"),
    ("plan", 503, b'{"detail": "the store is away"}', ": the store is away"),
    ("plan_versions", 200, b"{", "gives what cannot be read: not JSON: "),
    ("plan_versions", 200, b'{"versions": "v1", "frozen": null}', "gives what cannot be read: not a list of plans"),
    (
        "plan_versions",
        200,
        b'{"versions": ["v1", 5], "frozen": null}',
        "gives what cannot be read: not a list of plans",
    ),
    ("frozen", 200, b'{"versions": [], "frozen": {"until_ms": 5}}', "gives what cannot be read: not a list of plans"),
    ("frozen", 200, b"[]", "gives what cannot be read: not a list of plans"),
    ("take_lease", 200, b'{"token": 5}', "gives what cannot be read: not a lease"),
    ("take_lease", 503, b'{"detail": "away"}', ": away"),
    ("publish", 503, b'{"detail": "away"}', ": away"),
]


@pytest.mark.parametrize(("asked", "code", "body", "reason"), STRANGE)
async def test_strange_replies(asked: str, code: int, body: bytes, reason: str) -> None:
    given: dict[str, tuple[Any, ...]] = {
        "latest": ("a",), "publish": (Plan("v1"),), "take_lease": ("dispatch", "a", 1),
    }  # fmt: skip
    with replying(code, body) as port:
        writer = AdminWriter(f"http://127.0.0.1:{port}", "x")
        with pytest.raises(StoreError) as caught:
            await getattr(writer, asked)(*given.get(asked, ()))
    assert str(caught.value).startswith(f"the server on 127.0.0.1:{port}")
    assert reason in str(caught.value)


URLS = [
    ("http://127.0.0.1", "'http://127.0.0.1': not the URL of an admin port, such as http://127.0.0.1:8053"),
    ("http://127.0.0.1:x", "'http://127.0.0.1:x': not the URL of an admin port, such as http://127.0.0.1:8053"),
    ("http://127.0.0.1:1/a", "'http://127.0.0.1:1/a': not the URL of an admin port, such as http://127.0.0.1:8053"),
    ("http://[::1", "'http://[::1': not the URL of an admin port, such as http://127.0.0.1:8053"),
    ("http://u:secret@h:1", "'http://…@h:1': not the URL of an admin port, such as http://127.0.0.1:8053"),
]


@pytest.mark.parametrize(("url", "reason"), URLS)
def test_urls_that_are_refused(url: str, reason: str) -> None:
    with pytest.raises(GslbError) as caught:
        AdminWriter(url, "x")
    assert str(caught.value) == reason


@pytest.mark.parametrize("token", ["", "a\nb", "é"])
def test_tokens_that_are_refused(token: str) -> None:
    with pytest.raises(GslbError, match="a token of printable ASCII characters is needed to write there"):
        AdminWriter("http://[::1]:8053/", token)
