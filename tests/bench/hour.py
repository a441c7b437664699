"""What measuring costs: an hour of fifty million questions to all tables, and the memory of a day of smaller hours."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from bounds import Result
from gslbtest import hours

DAY = replace(hours.FULL, queries=500_000, deliveries=50_000, places=50_000, clients=25_000, segment_rows=25_000)
HOURS = 24
RUNS = 3
MB = 1 << 20
_TURN = Path(__file__).with_name("turns.py")


class Ran(NamedTuple):
    """A process: its seconds, CPU seconds, and the most memory it had."""

    wall_s: float
    cpu_s: float
    memory_mb: float


def measure(folder: Path) -> Result:
    """An hour, from the files that landed to what is published."""
    here = folder / "hour"
    here.mkdir()
    network = hours.network(hours.FULL)
    zones, data = hours.write_files(here, network)
    start_s = _this_hour_s() - 3600
    rows = hours.write_log(here / "log", network, start_s)
    command = [sys.executable, "-m", "gslb", "measure", "run", "--json", "--log", here / "log"]
    command += ["--zones", zones, "--data", data, "--out"]
    runs = [_run([*command, here / f"tables-{number}"], here) for number in range(RUNS)]
    ran, told = min(runs)
    done = json.loads(told)
    tables = {name: table["rows"] for name, table in done["tables"].items()}
    built = done["built"]
    lines = [
        "### An hour of questions",
        "",
        f"{rows:,} rows of {hours.FULL.servers} servers' query logs ({hours.FULL.clients:,} client prefixes,"
        f" {hours.FULL.resolvers:,} resolvers,",
        f"{hours.FULL.services} services, {hours.FULL.edges} edges, {hours.FULL.views:,} views), of them"
        f" {built['queries']['duplicates']:,} there twice and",
        f"{sum(built['queries']['rejected'].values()):,} to reject; {built['deliveries']['rows']:,} rows of delivery"
        f" logs, {built['reports']['rows']:,} reports,",
        f"{hours.FULL.places:,} prefixes to locate clients by. What else this machine does only adds to what"
        " `gslb measure run`",
        "takes; so the fastest of some runs counts, of memory the most.",
        "",
        "| run | seconds | CPU seconds | MB |",
        "|---|---|---|---|",
        *(
            f"| {at} | {run.wall_s:.1f} | {run.cpu_s:.1f} | {run.memory_mb:,.0f} |"
            for at, (run, _) in enumerate(runs, 1)
        ),
        "",
        "| step | seconds |",
        "|---|---|",
        *(f"| {step} | {seconds:.1f} |" for step, seconds in done["seconds"].items()),
        "",
        "| table | rows |",
        "|---|---|",
        *(f"| {name} | {count:,} |" for name, count in tables.items()),
        "",
    ]
    most_mb = max(run.memory_mb for run, _ in runs)
    return Result({"hour_wall": ran.wall_s, "hour_cpu": ran.cpu_s, "hour_memory": most_mb}, lines)


def day(folder: Path) -> Result:
    """A day of hours, one after the other, by one process."""
    here = folder / "day"
    here.mkdir()
    network = hours.network(DAY)
    hours.write_files(here, network)
    start_s = _this_hour_s() - HOURS * 3600
    for at in range(HOURS):
        hours.write_log(here / "landing" / f"{at:02}", network, start_s + at * 3600)
    _, told = _run([sys.executable, _TURN, here, str(start_s), str(HOURS)], here)
    peaks = [int(line) / MB for line in told.split()]
    lines = [
        "### A day",
        "",
        f"{HOURS} hours of {DAY.queries:,} questions, a run each by one process. The most memory of a run, MB; that of"
        f" hours 3 to {HOURS} is {max(peaks[2:]) / peaks[1]:.3f} times hour 2:",
        "",
        "| hour | " + " | ".join(str(at + 1) for at in range(0, HOURS, 3)) + f" | {HOURS} |",
        "|---" * (len(peaks[::3]) + 2) + "|",
        "| MB | " + " | ".join(f"{peak:,.0f}" for peak in [*peaks[::3], peaks[-1]]) + " |",
        "",
    ]
    half = HOURS // 2  # what runs side by side meets by chance: so runs are compared by the one in the middle
    return Result({"day_growth": statistics.median(peaks[half:]) / statistics.median(peaks[1:half])}, lines)


def _this_hour_s() -> int:
    return int(time.time()) // 3600 * 3600


def _run(command: list[Any], folder: Path) -> tuple[Ran, str]:
    """Run a command to its end. Raises `RuntimeError` where it fails."""
    begun = time.monotonic()
    with (folder / "stdout").open("w+") as out, (folder / "stderr").open("w+") as err:
        process = subprocess.Popen([str(each) for each in command], stdout=out, stderr=err)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - begun
        for file in (out, err):
            file.seek(0)
        told, said = out.read(), err.read()
    if process.returncode:
        raise RuntimeError(f"{command}: {process.returncode}\n{told[-2000:]}{said[-2000:]}")
    return Ran(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024), told
