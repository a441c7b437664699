"""Load and sessions from counters, a Prometheus endpoint and commands: what is read, and what is said where not."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from gslbtest.edge import answering, http, silent
from gslbtest.process import SOON_S

from gslb.agent.config import Source
from gslb.agent.sources import (
    INTERFACES,
    SourceError,
    load_reader,
    parse_count,
    parse_metric,
    parse_rate,
    sessions_reader,
)

LATE_S = 0.3


class Counters:
    """A folder like /sys/class/net, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now_s = 0.0

    def set(self, name: str, **octets: int) -> None:
        where = self.folder / name / "statistics"
        where.mkdir(parents=True, exist_ok=True)
        for direction, count in octets.items():
            (where / f"{direction}_bytes").write_text(f"{count}\n")


async def test_interfaces_are_added_up(tmp_path: Path) -> None:
    counters = Counters(tmp_path)
    read = load_reader(Source("interface", ("eth0", "eth1")), lambda: counters.now_s, tmp_path)
    sent = load_reader(Source("interface", ("eth0",), direction="rx"), lambda: counters.now_s, tmp_path)
    found = []
    for now_s, one, other in ((0, 0, 1000), (1, 1000, 2000), (2, 1000, 2000), (3, 2**33, 2001), (4, 5, 2001)):
        counters.now_s = now_s
        counters.set("eth0", tx=one, rx=1)
        counters.set("eth1", tx=other)
        found.append(await read())
    assert found == [None, 16_000, 8_000, round((2**33 + 1001) * 8 / 3), None]
    assert await sent() is None
    counters.now_s += 1
    assert await sent() == 0


async def test_an_interface_that_is_not_there(tmp_path: Path) -> None:
    read = load_reader(Source("interface", ("eth9",)), lambda: 0.0, tmp_path)
    with pytest.raises(SourceError, match=r"eth9/statistics/tx_bytes: no such file or directory$"):
        await read()


async def test_more_than_can_be(tmp_path: Path) -> None:
    counters = Counters(tmp_path)
    read = load_reader(Source("interface", ("eth0",)), lambda: counters.now_s, tmp_path)
    counters.set("eth0", tx=0)
    await read()
    counters.now_s = 1.0
    counters.set("eth0", tx=10**15)
    with pytest.raises(SourceError, match=r"^8e\+15 is more than can be: 1e\+15$"):
        await read()


async def test_a_real_interface() -> None:
    now_s = 0.0
    read = load_reader(Source("interface", ("lo",)), lambda: now_s)
    assert (INTERFACES / "lo").exists()
    assert await read() is None
    body = b"." * 100_000
    async with answering(http(body)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        await reader.read()
        received = await reader.read()
        writer.close()
        assert received == b""
    now_s = 1.0
    bps = await read()
    assert bps is not None
    assert bps >= 0


RATES = [("3.1Gbps\n", 3_100_000_000), ("0", 0), ("0bps", 0), ("0.0 Gbps", 0), (" 12 kbps ", 12_000)]


@pytest.mark.parametrize(("text", "bps"), RATES)
def test_rates(text: str, bps: int) -> None:
    assert parse_rate(text) == bps


NO_RATES = [
    ("", 'the command says "" is not a rate: '),
    ("12", 'the command says "12" is not a rate: '),
    ("-1Gbps", 'the command says "-1Gbps" is not a rate: '),
    ("nan", 'the command says "nan" is not a rate: '),
    ("1Gbps\n2Gbps", 'the command says "1Gbps\\u000a2Gbps" is not a rate: '),
    ("9999Tbps", "9.999e+15 is more than can be: 1e+15"),
]


@pytest.mark.parametrize(("text", "reason"), NO_RATES)
def test_no_rates(text: str, reason: str) -> None:
    with pytest.raises(SourceError) as raised:
        parse_rate(text)
    assert str(raised.value).startswith(reason)


def test_counts() -> None:
    assert parse_count("12\n") == 12
    for text in ("", "1.5", "-1", "many", str(2**60)):
        with pytest.raises(SourceError, match=r"the command says .* is not a whole number from 0 to"):
            parse_count(text)


METRICS = """# HELP sent_bytes_total Bytes sent.
# TYPE sent_bytes_total counter
sent_bytes_total{device="eth0",zone="a \\"b\\" }"} 1000
sent_bytes_total{device="eth1"} 2e3 1700000000000
sent_bytes_total_more 5
viewers 12
lost NaN
endless +Inf
owed -1
"""
VALUES = [
    ("sent_bytes_total", (), 3000.0),
    ("sent_bytes_total", (("device", "eth1"),), 2000.0),
    ("sent_bytes_total", (("device", "eth0"), ("zone", 'a "b" }')), 1000.0),
    ("viewers", (), 12.0),
]


@pytest.mark.parametrize(("metric", "labels", "value"), VALUES)
def test_metrics(metric: str, labels: tuple[tuple[str, str], ...], value: float) -> None:
    assert parse_metric(METRICS, metric, labels) == value


NO_VALUES = [
    ("view", (), "no view among the metrics"),
    ("viewers", (("device", "a"), ("b", "c")), 'no viewers{device="a",b="c"} among the metrics'),
    ("lost", (), "lost is nan, not a number from 0 on"),
    ("endless", (), "endless is inf, not a number from 0 on"),
    ("owed", (), "owed is -1, not a number from 0 on"),
]


@pytest.mark.parametrize(("metric", "labels", "reason"), NO_VALUES)
def test_no_metrics(metric: str, labels: tuple[tuple[str, str], ...], reason: str) -> None:
    with pytest.raises(SourceError) as raised:
        parse_metric(METRICS, metric, labels)
    assert str(raised.value) == reason


def test_no_prometheus_text() -> None:
    with pytest.raises(SourceError, match="not in the Prometheus text format"):
        parse_metric('viewers{a="b" 1', "viewers", ())


async def test_a_gauge() -> None:
    async with answering(http(METRICS.encode())) as port:
        source = Source("prometheus", url=f"http://127.0.0.1:{port}/metrics", metric="viewers", scale=1.5)
        assert await load_reader(source)() == 18
        assert await sessions_reader(source)() == 18


async def test_a_counter() -> None:
    times, values = iter((0.0, 2.0, 3.0, 4.0)), iter((1000, 2000, 100, 350))

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await http(f"sent_bytes_total {next(values)}\n".encode())(reader, writer)

    async with answering(handler) as port:
        url = f"http://127.0.0.1:{port}/metrics"
        source = Source("prometheus", url=url, metric="sent_bytes_total", is_counter=True, scale=8.0)
        read = load_reader(source, lambda: next(times))
        found = [await read() for _ in range(4)]
    assert found == [None, 4000, None, 2000]


ENDPOINTS = [
    (http(b"", "503 Service Unavailable"), "status 503"),
    (http(b"viewers 1\n" + b"#\n" * (9 << 20)), "more than 16777216 bytes of metrics"),
    (silent, f"no answer within {LATE_S:g} s"),
]


@pytest.mark.parametrize(("handler", "reason"), ENDPOINTS)
async def test_endpoints_that_fail(handler: object, reason: str) -> None:
    async with answering(handler) as port:  # type: ignore[arg-type]  # pytest loses the handlers' type
        limit_s = LATE_S if handler is silent else SOON_S
        source = Source("prometheus", url=f"http://127.0.0.1:{port}/", metric="viewers", timeout_s=limit_s)
        with pytest.raises(SourceError) as raised:
            await sessions_reader(source)()
    assert str(raised.value) == reason


def command(*argv: str, timeout_s: float = SOON_S) -> Source:
    return Source("command", argv=argv, timeout_s=timeout_s)


async def test_commands() -> None:
    assert await load_reader(command("echo", "3.1Gbps"))() == 3_100_000_000
    assert await sessions_reader(command("sh", "-c", "echo noise >&2; echo 7"))() == 7


COMMANDS: list[tuple[Sequence[str], str]] = [
    (["/nowhere/load"], '"/nowhere/load": no such file or directory'),
    (["/"], '"/": permission denied'),
    (["sh", "-c", "echo 1Gbps; exit 3"], "the command ended with 3"),
    (["sh", "-c", "kill -9 $$"], "the command was ended by signal 9"),
    (["yes"], "the command says more than 4096 bytes"),
    (["cat"], 'the command says "" is not a rate'),
]


@pytest.mark.parametrize(("argv", "reason"), COMMANDS)
async def test_commands_that_fail(argv: Sequence[str], reason: str) -> None:
    with pytest.raises(SourceError) as raised:
        await load_reader(command(*argv))()
    assert str(raised.value).startswith(reason)


async def test_a_command_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = f"sleep 3600 & echo $! >{pids}.new; echo $$ >>{pids}.new; mv {pids}.new {pids}; wait"
    with pytest.raises(SourceError, match="no answer within 1 s"):
        await load_reader(command("sh", "-c", script, timeout_s=1.0))()
    found = [int(line) for line in pids.read_text().split()]
    assert len(found) == 2
    await asyncio.to_thread(_wait_for_the_end, found)


def _wait_for_the_end(pids: list[int]) -> None:
    until = time.monotonic() + SOON_S
    while any(map(_alive, pids)):
        assert time.monotonic() < until
        time.sleep(0.01)


def _alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has asked after yet (a zombie) does not."""
    try:
        os.kill(pid, 0)
        state = re.search(r"^State:\s+(\w)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state is not None and state[1] != "Z"
