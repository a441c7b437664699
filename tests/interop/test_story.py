"""A bad day of a small network, with real agents, a real Redis and a real server, as docs/operations.md tells it.

An edge fills up, its agent dies and comes back, another edge says that it is down and recovers, a PoP is drained for
maintenance, Redis dies meanwhile, and the server is restarted. A client asks all the while: it gets an address every
time. The shares of each act stand in the document's table and are what `explain` says; what clients get over UDP is
counted besides.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import dns.edns
import dns.message
import dns.rcode
import pytest
from gslbtest.asking import addresses, ask
from gslbtest.process import SOON_S, command, free_port, running, wait_for_text
from gslbtest.serving import ACTIVATE, write_files
from gslbtest.stores import RedisServer

REPO = Path(__file__).parents[2]
EDGES = {"ber-1": "203.0.113.1", "ber-2": "203.0.113.2", "ams-1": "203.0.113.3", "ams-2": "203.0.113.4"}
STALE_S, HOLD_S = 2, 3
PLACES = {"ber": "{country: DE, region: BE, lat: 52.5, lon: 13.4}", "ams": "{country: NL, lat: 52.4, lon: 4.9}"}
ZONES = {
    "edges.yaml": f"health: {{stale_s: {STALE_S}, hold_s: {HOLD_S}, changing_s: 2, slow_start_s: 4}}\nedges:\n"
    + "".join(
        f"  {edge}:\n    pop: {edge[:3]}\n    addresses: {{v4: [{address}]}}\n"
        f"    location: {PLACES[edge[:3]]}\n    capacity: 10Gbps\n"
        for edge, address in EDGES.items()
    ),
    "networks.csv": "prefix,country,region\n198.16.0.0/12,DE,BE\n",
    "live.example.yaml": (
        "zone: live.example.\nsoa: {mname: ns1, rname: hostmaster}\n"
        'records:\n  "@": {NS: [ns1]}\n  ns1: {A: 192.0.2.53}\n'
        "services:\n  pull: {pool: all, ttl: 20, affinity: [country, any]}\n"
        f"pools:\n  all: {{{', '.join(f'{edge}: 100' for edge in EDGES)}}}\n"
    ),
}
NAME = "pull.live.example."
CLIENTS = [f"198.{16 + high}.{low}.0/20" for high in range(16) for low in range(0, 256, 16)]


def table() -> dict[str, dict[str, float]]:
    """The acts of the document: for each the share of every edge, in percent."""
    text = (REPO / "docs/operations.md").read_text(encoding="utf-8")
    section = text.partition("## A bad day\n")[2].partition("\n## ")[0]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in section.splitlines() if row[:1] == "|"]
    return {act: dict(zip(EDGES, map(_percent, shares), strict=True)) for act, *shares in cells[2:]}


def _percent(text: str) -> float:
    return float(text.removesuffix(" %"))


class Asker(threading.Thread):
    """A client that asks from ever other networks, and notes what was not answered with an address."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.port = port
        self.asked = 0
        self.failed: list[str] = []
        self.stopping = threading.Event()

    def run(self) -> None:
        chance = random.Random(5)
        while not self.stopping.wait(0.02):
            self.asked += 1
            subnet = chance.choice(CLIENTS)
            try:
                message = ask(self.port, NAME, subnet=subnet, timeout_s=SOON_S)
            except Exception as error:
                self.failed.append(f"{subnet}: {error!r}")
                continue
            if message.rcode() != dns.rcode.NOERROR or not addresses(message):
                self.failed.append(f"{subnet}: {message}")

    def stop(self) -> None:
        self.stopping.set()
        self.join(SOON_S)


class Network:
    """Everything of the story, in one folder."""

    def __init__(self, folder: Path, redis: RedisServer) -> None:
        self.folder = folder
        self.redis = redis
        self.zones = write_files(folder / "zones", ZONES)
        (folder / "data").mkdir()
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.port = self.tcp.getsockname()[1]
        self.udp.bind(("127.0.0.1", self.port))
        self.admin = free_port()
        self.env = {"GSLB_ADMIN": f"127.0.0.1:{self.admin}", "GSLB_STATE": str(folder / "state"), "USER": "night-shift"}
        self.agents: dict[str, contextlib.ExitStack] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.listeners: dict[str, socket.socket] = {}
        self.health_ports = {edge: free_port() for edge in EDGES}

    @contextlib.contextmanager
    def serving(self, name: str) -> Iterator[None]:
        for sock in (self.udp, self.tcp):
            os.set_inheritable(sock.fileno(), True)
        log = self.folder / f"{name}.log"
        line = [sys.executable, "-c", ACTIVATE, f"{self.udp.fileno()},{self.tcp.fileno()}", command("gslb"), "serve"]
        line += ["--zones", str(self.zones), "--data", str(self.folder / "data"), "--store", self.redis.url]
        with log.open("wb") as out:
            process = subprocess.Popen(
                line, stdout=out, stderr=subprocess.STDOUT, close_fds=False, env={**os.environ, **self.env}
            )
        try:
            wait_for_text(process, log, "ready ")
            yield
        finally:
            process.terminate()
            assert process.wait(SOON_S) == 0, log.read_text()

    def gslb(self, *arguments: str) -> str:
        done = subprocess.run(
            [command("gslb"), *arguments],
            env={**os.environ, **self.env},
            capture_output=True,
            text=True,
            timeout=SOON_S,
            check=False,
        )
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def open_port(self, edge: str) -> None:
        """The edge's own service, which its agent probes. Nobody takes the connections: there is room for all."""
        self.listeners[edge] = socket.create_server(("127.0.0.1", self.health_ports[edge]), backlog=4096)

    def close_port(self, edge: str) -> None:
        self.listeners.pop(edge).close()

    def load(self, edge: str, gbps: float) -> None:
        beside = self.folder / f"{edge}.load.new"
        beside.write_text(f"{gbps}Gbps\n")
        beside.rename(self.folder / f"{edge}.load")

    def start_agent(self, edge: str) -> None:
        config = self.folder / f"{edge}.yaml"
        config.write_text(
            f"edge: {edge}\nstore: {self.redis.url}\ncapacity: 10Gbps\n"
            f"load: {{command: [cat, {self.folder / f'{edge}.load'}]}}\n"
            f"probes:\n  - {{tcp: '127.0.0.1:{self.health_ports[edge]}', interval: 0.2s, fall: 2, rise: 2}}\n"
        )
        stack = contextlib.ExitStack()
        log = self.folder / f"{edge}.log"
        process = stack.enter_context(running([command("gslb"), "agent", "--config", str(config)], log))
        wait_for_text(process, log, "ready ")
        self.agents[edge], self.processes[edge] = stack, process

    def kill_agent(self, edge: str) -> None:
        self.processes[edge].kill()
        self.agents.pop(edge).close()

    def explained(self, at: str = "") -> dict[str, Any]:
        """The candidates of a client in Berlin, by edge: as `gslb explain` has them, without a process each time."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=SOON_S)
        try:
            token = (self.folder / "state/admin.token").read_text().strip()
            query = urlencode({"name": NAME, "subnet": CLIENTS[0]} | ({"at": at} if at else {}))
            connection.request("GET", f"/v1/explain?{query}", headers={"Authorization": f"Bearer {token}"})
            said = connection.getresponse().read()
        finally:
            connection.close()
        return {each["edge"]: each for each in json.loads(said)["candidates"]}

    def shares(self, at: str = "") -> dict[str, float]:
        found = self.explained(at)
        return {edge: round(100 * found[edge]["share_v4"], 1) for edge in EDGES}

    def until(self, wanted: Callable[[], bool], told: str) -> None:
        until = time.monotonic() + SOON_S
        while not wanted():
            assert time.monotonic() < until, f"{told}: {self.explained()}"
            time.sleep(0.05)

    def counted(self) -> dict[str, float]:
        """What all clients get over UDP, in percent."""
        edge_of = {address: edge for edge, address in EDGES.items()}
        found = Counter(edge_of[addresses(ask(self.port, NAME, subnet=client))[0]] for client in CLIENTS)
        return {edge: 100 * found[edge] / len(CLIENTS) for edge in EDGES}


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    """Redis that keeps what it is told on disk, four agents, and an open port for each edge."""
    with RedisServer(tmp_path / "redis", "--appendonly", "yes", "--appendfsync", "always") as redis:
        found = Network(tmp_path, redis)
        try:
            for edge in EDGES:
                found.open_port(edge)
                found.load(edge, 5)
            yield found
        finally:
            for stack in found.agents.values():
                stack.close()
            for sock in (found.udp, found.tcp, *found.listeners.values()):
                sock.close()


def test_a_bad_day(network: Network) -> None:
    acts = table()
    met: list[str] = []

    def act(title: str, within: float = 0.2) -> None:
        """The shares of an act come about, and clients get them."""
        wanted = acts[title]
        network.until(
            lambda: all(abs(share - wanted[edge]) <= within for edge, share in network.shares().items()), title
        )
        met.append(title)

    def counted(within: float = 8.0) -> None:
        """What clients get, 256 networks of them, is what explain says, but for chance."""
        shares, got = network.shares(), network.counted()
        assert {edge: got[edge] for edge in EDGES if abs(got[edge] - shares[edge]) > within} == {}, shares

    asker = Asker(network.port)
    with network.serving("first"):
        for edge in EDGES:
            network.start_agent(edge)
        network.until(lambda: all(each["age_s"] is not None for each in network.explained().values()), "all report")
        asker.start()
        act("all is well")
        counted()

        network.load("ber-1", 8.3)
        act("ber-1 fills up")
        counted()
        full = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        time.sleep(1.1)  # the instant lies inside the act, not on its border

        network.kill_agent("ber-1")
        network.until(lambda: network.explained()["ber-1"]["health_v4"] == "silent", "silent, and served as before")
        assert network.shares() == pytest.approx(acts["ber-1 fills up"], abs=0.2)
        act("ber-1 is gone")
        counted()
        _gone_in_time(network)

        network.close_port("ber-2")
        act("ber-2 says it is down")
        counted()
        network.open_port("ber-2")
        network.until(lambda: 0 < network.shares()["ber-2"] < 45, "slow start")
        _slow_start(network)
        network.load("ber-1", 5)
        network.start_agent("ber-1")
        act("all is well", within=8.0)  # headroom comes back by 1 % a second: not all of it is waited for here

        network.gslb("drain", "ber", "--for", "2h", "--reason", "new switches")
        act("ber is drained")
        counted()
        network.redis.kill()
        time.sleep(STALE_S + HOLD_S + 1)
        assert network.shares() == acts["ber is drained"], "ages stand still while the store is away"
    with network.serving("second"):
        assert network.shares() == acts["ber is drained"], "the state on disk"
        counted()
        network.redis.start()
        network.gslb("undrain", "ber")
        act("all is well")
        assert network.shares(full) == pytest.approx(acts["ber-1 fills up"], abs=0.2)
        said = network.gslb("explain", NAME, "--subnet", CLIENTS[0], "--at", full, "--json")
        assert {each["edge"]: each for each in json.loads(said)["candidates"]} == network.explained(full)
        asker.stop()
    assert set(met) == set(acts), "the document tells these acts and no others"
    assert asker.failed == []
    assert asker.asked > 100


def _gone_in_time(network: Network) -> None:
    """Down soon after stale + hold, by store time: the next entry of anyone's says so. A second is what three agents
    take for one; the rest is for a very busy machine."""
    lines = [
        json.loads(line)
        for path in sorted((network.folder / "state/journal").glob("*.jsonl"))
        for line in path.read_text().splitlines()
    ]
    downs = [line for line in lines if line["kind"] == "edge" and line["edge"] == "ber-1" and line["is"] == "down"]
    assert len(downs) == 1, downs
    assert 0 < downs[0]["age_ms"] - (STALE_S + HOLD_S) * 1000 < 20_000, downs


def _slow_start(network: Network) -> None:
    """The weight that comes back by and by gives the share that the arithmetic says."""
    told = network.explained()
    ramp = told["ber-2"]["ramp_milli"] / 1000
    assert 0.1 <= ramp < 1
    # One of two edges of the level has weight, and only so much. What is missing goes to the next level, as far as its
    # two edges have room below 9.5 Gbps each for what Berlin's carried last: 8.3 and 5 Gbps.
    kept = ramp / 2
    leaks = min(1 - kept, 2 * (9.5 - 5) / (8.3 + 5))
    berlin = kept / (kept + leaks)
    assert told["ber-2"]["share_v4"] == pytest.approx(berlin, abs=0.002)
    assert told["ams-1"]["share_v4"] == told["ams-2"]["share_v4"] == pytest.approx((1 - berlin) / 2, abs=0.002)
