"""Servers under load: who runs, what it is driven with, and the CPU time it takes for an answer.

CPU time is the kernel's account of the server's processes, user and system, in nanoseconds (clock_getcpuclockid(3)).
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import work
from gslbtest.process import free_port, running, wait_for_text
from gslbtest.serving import serving

from gslb.answer.fast import OFF_SWITCH

HERE = Path(__file__).parent
SERVER_CPU, LOAD_CPU = 1, 0
SECONDS = 2
ROUNDS = 9
PATIENCE_S = 30.0
PORTS = range(5301, 5305)
"""Where the other servers listen."""
FULL, STEADY = None, 50_000
"""Loads: as much as dnsperf can, and so many queries a second."""
_PROGRAMS = {"gdnsd": "gdnsd", "knot": "knotd", "pdns": "pdns_server", "nsd": "nsd"}
TITLES = {"gdnsd": "gdnsd", "knot": "Knot DNS", "pdns": "PowerDNS", "nsd": "NSD"}
_VERSION = {"gdnsd": "-V", "knot": "-V", "pdns": "--version", "nsd": "-v"}
_CPU_OF_PROCESS = 2  # CPUCLOCK_SCHED


class Server(NamedTuple):
    """A server that runs: its title, its port on 127.0.0.1, and the process that began it."""

    title: str
    port: int
    pid: int


class Drive(NamedTuple):
    """One run against a server: its CPU time in µs per answer, answers a second, and queries that got none."""

    cpu_us: float
    rate: float
    lost: int


Drives = Mapping[str, Sequence[Drive]]
"""Of each server by key, its runs, one a round."""


@contextlib.contextmanager
def peers(folder: Path, wanted: Sequence[str]) -> Iterator[dict[str, Server]]:
    """The other servers on the work in ``folder``, by key; those that are not installed or do not run are left out."""
    script = str(work.SHARED / "peers/peers.sh")
    _wait_until(lambda: all(map(_is_free, PORTS)))
    subprocess.run([script, "up", str(folder)], check=True, stdout=subprocess.DEVNULL)
    rows = [row.split() for row in (folder / "pids").read_text(encoding="ascii").splitlines()]
    servers = {key: Server(TITLES[key], int(port), int(pid)) for key, port, pid in rows if key in wanted}
    try:
        for key in [key for key, server in servers.items() if not _runs(server)]:
            del servers[key]
            said = (folder / key / "log").read_text(encoding="utf-8", errors="replace")
            print(f"bench: {TITLES[key]} does not run:\n{said[-500:]}", file=sys.stderr)
        for server in servers.values():
            _pin(server.pid)
        yield servers
    finally:
        subprocess.run([script, "down", str(folder)], check=False)
        _wait_until(lambda: not any(Path("/proc", row[2]).exists() for row in rows))


def _pin(pid: int) -> None:
    """Hold every thread of a server to the servers' CPU.

    Knot puts its workers on CPUs of its own choice, which may be the load's; to wake somebody who waits on the same CPU
    costs less than on another.
    """
    for each in family(pid):
        for task in Path(f"/proc/{each}/task").iterdir():
            os.sched_setaffinity(int(task.name), {SERVER_CPU})


@contextlib.contextmanager
def ours(
    folder: Path, data: Path, title: str, *, compiled: bool = True, pinned: bool = True, workers: int = 1
) -> Iterator[Server]:
    """Our own server on the same work; ``pinned`` to the servers' CPU with all its processes."""
    arguments, env = ["--workers", str(workers)], {OFF_SWITCH: "" if compiled else "1"}
    running = serving(folder, zones=work.zones(), data=data, arguments=arguments, env=env)
    with pinned_to({SERVER_CPU} if pinned else {SERVER_CPU, LOAD_CPU}) as release, running as server:
        release()
        yield Server(title, server.port, server.process.pid)


@contextlib.contextmanager
def pinned_to(cpus: set[int]) -> Iterator[Callable[[], None]]:
    """What this process starts runs on these CPUs, until the end or until what is given is called."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield lambda: os.sched_setaffinity(0, before)
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def echo(folder: Path) -> Iterator[Server]:
    """The floor: a program that sends each packet back, built here from echo.c."""
    port, log = free_port(), folder / "echo.log"
    line = ["taskset", "-c", str(SERVER_CPU), str(compiled("echo", folder)), str(port)]
    with running(line, log) as process:
        wait_for_text(process, log, "ready")
        yield Server("echo", port, process.pid)


def compiled(name: str, folder: Path) -> Path:
    """The program of a C file of this folder."""
    program = folder / name
    if not program.exists():
        line = ["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(program), str(HERE / f"{name}.c")]
        subprocess.run(line, check=True)
    return program


def paired(servers: Mapping[str, Server], queries: Path | Mapping[str, Path], load: int | None, *, clients: int = 4,
           rounds: int = ROUNDS, seconds: float = SECONDS) -> dict[str, list[Drive]]:  # fmt: skip
    """Drive all servers one after the other, round by round, each round from another one on; the runs of each.

    ``queries`` is one file for all or one for each. A first short run of each warms up and is not counted.
    """
    keys = list(servers)
    found: dict[str, list[Drive]] = {key: [] for key in keys}
    for turn in range(-1, rounds):
        at = turn % len(keys)
        for key in [*keys[at:], *keys[:at]]:
            asked = queries if isinstance(queries, Path) else queries[key]
            run = drive(servers[key], asked, load, 0.5 if turn < 0 else seconds, clients)
            if turn >= 0:
                found[key].append(run)
    return found


def _wait_until(what: Callable[[], bool]) -> None:
    """Wait for the ports of the other servers, or for their end; in vain, they say by themselves what is wrong."""
    until = time.monotonic() + PATIENCE_S
    while not what() and time.monotonic() < until:
        time.sleep(0.1)


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, kind == socket.SOCK_STREAM)
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


def _runs(server: Server) -> bool:
    try:
        cpu_ns(server.pid)
    except OSError:
        return False
    return True


def drive(server: Server, queries: Path, load: int | None, seconds: float, clients: int = 4) -> Drive:
    """One run of dnsperf against a server."""
    line = command(server.port, queries, load, seconds, clients)
    begin = cpu_ns(server.pid)
    said = subprocess.run(line, check=True, capture_output=True, text=True).stdout
    spent = cpu_ns(server.pid) - begin
    answered, lost, rate = (
        float(found[1]) if (found := re.search(rf"Queries {word}: +([\d.]+)", said)) else 0.0
        for word in ("completed", "lost", "per second")
    )
    assert answered, f"{server.title} answers nothing:\n{said}"
    return Drive(spent / answered / 1000, rate, int(lost))


def command(port: int | str, queries: Path | str, load: int | None, seconds: float, clients: int = 4) -> list[str]:
    """The command that drives a server."""
    line = ["taskset", "-c", str(LOAD_CPU), "dnsperf", "-s", "127.0.0.1", "-p", str(port), "-B", "-d", str(queries)]
    line += ["-l", f"{seconds:g}", "-c", str(clients), "-q", "400", "-t", "1"]
    return line + (["-Q", str(load)] if load else [])


def cpu_ns(pid: int) -> int:
    """CPU time of a process and its descendants so far, in ns."""
    return sum(time.clock_gettime_ns(~each << 3 | _CPU_OF_PROCESS) for each in family(pid))


def waited_ns(pid: int) -> int:
    """For how long the busiest thread of a process and its descendants has waited for a CPU so far, in ns."""
    tasks = [task for each in family(pid) for task in Path(f"/proc/{each}/task").iterdir()]
    return max(tuple(map(int, (task / "schedstat").read_text(encoding="ascii").split()[:2])) for task in tasks)[1]


def family(pid: int) -> list[int]:
    """A process and its descendants."""
    children = [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text(encoding="ascii").split()
    ]
    return [pid, *(each for child in children for each in family(child))]


def ratio(drives: Drives, one: str, other: str) -> float:
    """The median over the rounds of the CPU time of ``one`` by that of ``other``."""
    pairs = zip(drives[one], drives[other], strict=True)
    return statistics.median(ours.cpu_us / theirs.cpu_us for ours, theirs in pairs)


def median_us(drives: Sequence[Drive]) -> float:
    """The median CPU time of some runs."""
    return statistics.median(each.cpu_us for each in drives)


def median_rate(drives: Sequence[Drive]) -> float:
    """The median rate of some runs."""
    return statistics.median(each.rate for each in drives)


def row(title: str, drives: Sequence[Drive]) -> str:
    """The row of a table with both."""
    return f"| {title} | {median_us(drives):.2f} µs | {median_rate(drives):,.0f} q/s |"


def installed(keys: Iterable[str]) -> list[str]:
    """Which of the other servers are installed."""
    return [key for key in keys if shutil.which(_PROGRAMS[key])]


def version(key: str) -> str:
    """The version of another server."""
    return version_of([_PROGRAMS[key], _VERSION[key]])


def version_of(line: Sequence[str]) -> str:
    """The first version number that a command says."""
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    found = re.search(r"\d+\.\d+(?:\.\d+)?", done.stdout + done.stderr)
    return found[0] if found else "unknown"
