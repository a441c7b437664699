"""A steady load beside which something happens: how many queries were lost, and how long answers took (load.c)."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import driving

SOCKETS = 8


class Steady(NamedTuple):
    """What one run of load.c found: queries and answers, answers that were errors, and times of answers in µs."""

    sent: int
    received: int
    failed: int
    p50_us: float
    p99_us: float
    p999_us: float
    worst_us: float

    @property
    def lost(self) -> int:
        """Queries without an answer, or with an error for one."""
        return self.sent - self.received + self.failed


class Running:
    """A load that runs; ``found`` is there once it has ended."""

    found: Steady

    def __init__(self, line: list[str]) -> None:
        self._process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)

    def end(self) -> None:
        """Stop sending, and wait for the answers that are due."""
        self._process.terminate()
        self.wait()

    def wait(self) -> None:
        """Until it ends by itself."""
        said = self._process.communicate()[0].split()
        assert len(said) == 14, f"the load ended with {self._process.returncode}: {said}"
        numbers = [int(word) for word in said[1::2]]
        self.found = Steady(*numbers[:3], *map(float, numbers[3:]))


def asked(port: int, queries: Path, seconds: float, folder: Path, rate: int = driving.STEADY) -> Steady:
    """Ask at this rate, to the end."""
    with asking(port, queries, seconds, folder, rate) as load:
        load.wait()
    return load.found


@contextlib.contextmanager
def asking(port: int, queries: Path, seconds: float, folder: Path, rate: int = driving.STEADY) -> Iterator[Running]:
    """Ask at this rate meanwhile, from the CPU that the load has. ``folder`` takes the program."""
    program = driving.compiled("load", folder)
    line = ["taskset", "-c", str(driving.LOAD_CPU), str(program), str(port), str(queries), str(rate), f"{seconds:g}"]
    load = Running([*line, str(SOCKETS)])
    try:
        yield load
    finally:
        if not hasattr(load, "found"):
            load.end()
