"""What the server's tests share: the loop that the server runs on, a small network, and the admin port."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import pytest
import uvloop
from gslbtest.process import SOON_S
from gslbtest.serving import Server, serving

from gslb.answer import fast

collect_ignore = [] if fast.compiled(os.environ)[0] else ["test_native.py"]
"""Without the compiled path, which another test requires where there is a compiler, there are no native threads."""


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """uvloop for every asynchronous test of this folder."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
def until() -> Callable[[Callable[[], object]], Awaitable[None]]:
    """Waits for a condition; fails after 20 s."""

    async def wait(condition: Callable[[], object]) -> None:
        async with asyncio.timeout(SOON_S):
            while not condition():  # noqa: ASYNC110 what is waited for sets no event
                await asyncio.sleep(0.005)

    return wait


EDGES = """\
health: {slow_start_s: 1}
edges:
  sha:
    pop: sha
    addresses: {v4: [192.0.2.10], v6: ["2001:db8::10"]}
    location: {country: CN, region: SH, lat: 31.2, lon: 121.5}
    capacity: 10Gbps
  fra:
    pop: fra
    addresses: {v4: [192.0.2.20], v6: ["2001:db8::20"]}
    location: {country: DE, region: HE, lat: 50.1, lon: 8.7}
    capacity: 10Gbps
"""
ZONE = """\
zone: live.example.
ttl: 300
soa: {mname: ns1, rname: hostmaster, negative_ttl: 60}
records:
  "@": {NS: [ns1]}
  ns1: {A: 192.0.2.53}
  www: {A: 192.0.2.80}
services:
  pull: {pool: all, ttl: 20, affinity: [country, any]}
pools:
  all: {sha: 100, fra: 100}
"""
NETWORKS = "prefix,country\n198.51.100.0/24,CN\n203.0.113.0/24,DE\n"
SMALL = {"edges.yaml": EDGES, "live.yaml": ZONE, "networks.csv": NETWORKS}


@pytest.fixture
def small() -> dict[str, str]:
    """Zones of two edges, one service and two known networks: CN is at 198.51.100.0/24, DE at 203.0.113.0/24."""
    return dict(SMALL)


@pytest.fixture(scope="session")
def network() -> dict[str, str]:
    """The same, for what lasts longer than a test; not to be changed."""
    return SMALL


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of that network for the tests of a module that only ask."""
    with serving(tmp_path_factory.mktemp("asked"), zones=SMALL, arguments=["--server-id", "ns1"]) as server:
        yield server


class Admin:
    """The admin port of a running server."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def ask(self, method: str, path: str, token: str | None = "") -> tuple[int, bytes]:
        """HTTP code and body; ``token`` None sends none, "" the right one."""
        headers = {}
        if token is not None:
            headers["Authorization"] = f"Bearer {token or (self._server.state / 'admin.token').read_text().strip()}"
        connection = http.client.HTTPConnection("127.0.0.1", self._server.admin, timeout=SOON_S)
        try:
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def status(self) -> dict[str, Any]:
        """/v1/status."""
        code, body = self.ask("GET", "/v1/status")
        assert code == 200, body
        found: dict[str, Any] = json.loads(body)
        return found

    def until(self, condition: Callable[[dict[str, Any]], object], wait_s: float = 20.0) -> dict[str, Any]:
        """The status once it fulfils the condition."""
        until = time.monotonic() + wait_s
        while True:
            status = self.status()
            if condition(status):
                return status
            assert time.monotonic() < until, f"never so: {status}\n{self._server.said()}"
            time.sleep(0.02)

    def metrics(self) -> dict[str, float]:
        """Every sample of /metrics by its name and labels."""
        code, body = self.ask("GET", "/metrics", None)
        assert code == 200
        lines = [line for line in body.decode().splitlines() if line and not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


@pytest.fixture
def admin_of() -> Callable[[Server], Admin]:
    """How to ask a server's admin port."""
    return Admin
