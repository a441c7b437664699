"""A reload of a million prefixes, ten thousand names and sixteen policies under load: time, losses, memory."""

from __future__ import annotations

import random
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import dns.message
import driving
import steady
import work
from bounds import Result
from gslbtest import big
from gslbtest.packets import A, asks, edns, subnet
from gslbtest.serving import Server, serving
from steady import Steady

PREFIXES, NAMES, POLICIES = 1_000_000, 10_000, 16
TTL_S = 33
"""What an edited zone says is this and the number of the edit; the unedited one says nothing."""
BEFORE_S, AFTER_S, REST_S = 2.0, 2.0, 3.0
EVERY_S = 0.1
LONGEST_S = 90.0


class Memory(NamedTuple):
    """Of all processes of the server, in MB: pages that are shared counted once (PSS), and by each (RSS)."""

    pss_mb: float
    rss_mb: float


class Reloaded(NamedTuple):
    """Seconds from the edit to the first answer by it, the load meanwhile, and memory at rest, at most, and after.

    Reading the memory of a process holds it up, so that is read in a second reload, without load.
    """

    seconds: float
    load: Steady
    rest: Memory
    peak: Memory
    after: Memory


def measure(folder: Path) -> Result:
    """Everything about it."""
    here = folder / "reload"
    here.mkdir()
    zones, data = big.write(here, PREFIXES, NAMES, POLICIES)
    queries = work.write_queries(here / "queries.bin", _queries())
    with serving(here / "server", zones=zones, data=data) as server:
        steady.asked(server.port, queries, BEFORE_S, folder)
        with steady.asking(server.port, queries, LONGEST_S + BEFORE_S + AFTER_S, folder) as load:
            time.sleep(BEFORE_S)
            seconds = _reloaded(server, 1, lambda: None)
            time.sleep(AFTER_S)
        time.sleep(REST_S)
        pid = server.process.pid
        sizes = [memory(pid)]
        _reloaded(server, 2, lambda: sizes.append(memory(pid)))
        time.sleep(REST_S)
        found = Reloaded(seconds, load.found, sizes[0], max(sizes), memory(pid))
    values = {
        "reload": found.seconds,
        "reload_lost": found.load.lost,
        "rest": found.rest.pss_mb,
        "peak": found.peak.pss_mb / found.rest.pss_mb,
    }
    return Result(values, _lines(found))


def _reloaded(server: Server, turn: int, meanwhile: Callable[[], None]) -> float:
    """Edit the files and wait for the first answer by the edit, doing something ``meanwhile``; the seconds it took."""
    begun = time.monotonic()
    _edit(server.zones, server.data, turn)
    while _ttl_s(server.port) != TTL_S + turn:
        assert time.monotonic() < begun + LONGEST_S, server.said()[-2000:]
        time.sleep(EVERY_S)
        meanwhile()
    return time.monotonic() - begun


def memory(pid: int) -> Memory:
    """The memory of a process and its descendants now."""
    pss, rss = 0, 0
    for each in driving.family(pid):
        try:
            text = Path(f"/proc/{each}/smaps_rollup").read_text(encoding="ascii")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
        pss += int((re.search(r"^Pss: +(\d+)", text, re.MULTILINE) or [0, 0])[1])
        rss += int((re.search(r"^Rss: +(\d+)", text, re.MULTILINE) or [0, 0])[1])
    return Memory(pss / 1024, rss / 1024)


def _edit(zones: Path, data: Path, turn: int) -> None:
    """Another TTL for every service, and one prefix more."""
    with (data / "isp/all.csv").open("a", encoding="ascii") as file:
        file.write(f"203.0.{turn}.0/24,AS100,DE,R1\n")
    zone = zones / "big.yaml"
    text = zone.read_text(encoding="utf-8").partition("services:")
    defaults = f"defaults: {{ttl: {TTL_S + turn}}}\n"
    zone.write_text(f"{text[0].partition('defaults:')[0]}{defaults}services:{text[2]}", encoding="utf-8")


def _queries() -> list[bytes]:
    rng = random.Random(6)
    return [
        edns(
            subnet(1, 24, rng.randrange(11 << 24, 70 << 24).to_bytes(4)[:3]),
            question=asks(work.wire_name(f"s{rng.randrange(NAMES)}.big.test"), A),
            size=work.SIZE,
        )
        for _ in range(work.QUERIES)
    ]


def _ttl_s(port: int) -> int:
    """The TTL that is answered now; -1 where no answer came in time."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(1)
        sock.sendto(
            edns(subnet(1, 24, b"\x0b\0\0"), question=asks(work.wire_name("s1.big.test"), A)), ("127.0.0.1", port)
        )
        try:
            return dns.message.from_wire(sock.recv(2000)).answer[0].ttl
        except TimeoutError:
            return -1


def _lines(found: Reloaded) -> list[str]:
    rows = (("at rest", found.rest), ("at most while reloading", found.peak), ("at rest afterwards", found.after))
    return [
        "## A reload under load",
        "",
        f"{PREFIXES:,} prefixes, {NAMES:,} names, {POLICIES} policies. The table gets a prefix more and every service"
        " another TTL,",
        f"at {driving.STEADY:,} queries a second: {found.seconds:.1f} s from the edit to the first answer by it.",
        f"{found.load.sent:,} queries sent, {found.load.lost:,} lost; 99 % answered within"
        f" {found.load.p99_us / 1000:.1f} ms.",
        "",
        "| memory of all processes | PSS | RSS |",
        "|---|---|---|",
        *(f"| {title} | {each.pss_mb:.0f} MB | {each.rss_mb:.0f} MB |" for title, each in rows),
        "",
        "PSS counts a page that several processes share once; RSS counts it in each. They are read in a second reload,",
        "without load, since reading them holds the processes up.",
        "",
    ]
