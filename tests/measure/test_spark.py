"""Spark and DuckDB make the same tables of gold out of the same logs, whatever happens to executors and in whatever
order rows come; and no join on Spark compares each row with each."""

from __future__ import annotations

import importlib
import math
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from gslbtest import checkout, hours, measured

from gslb.errors import GslbError
from gslb.measure import facts
from gslb.measure.done import Done
from gslb.measure.engine import Engine, nested, open_engine
from gslb.measure.publish import GOLD
from gslb.model import records
from gslb.tables.gates import KEYS

pytestmark = [
    pytest.mark.soak,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # py4j leaves its sockets to the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

HOUR = hours.Size(
    queries=20_000, deliveries=4_000, places=500, clients=200, resolvers=50, views=30, services=4, edges=8,
    report_every_s=30, late=0.1, late_s=600, twice=0.1, segment_rows=1_000, hour_s=900,
)  # fmt: skip
"""The first quarter of one: a tenth of its rows are late, and a tenth are there twice."""
NOW_S = hours.START_S + float(HOUR.hour_s)
BETWEEN = 1e-9
"""By how much, relatively, doubles of two engines may differ."""


@pytest.fixture(scope="module", autouse=True)
def soon() -> Iterator[None]:
    """Java compiles less: of runs as short as these it takes most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
        yield


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory, soon: None) -> Iterator[Engine]:
    """A session with two executors, processes of this machine."""
    engine = open_engine("spark", tmp_path_factory.mktemp("spark"), plans=True)
    yield engine
    engine.close()


def test_both_make_the_same_tables_though_an_executor_dies(tmp_path: Path, planned: Engine, spark: Engine) -> None:
    """On DuckDB all is there at once; on Spark half of it lands after a run, and an executor is killed in the other."""
    network = hours.network(HOUR)
    zones, data = hours.write_files(tmp_path, network)
    hours.write_log(tmp_path / "one/log", network)
    shutil.copytree(tmp_path / "one/log", tmp_path / "two/log")
    assert run(tmp_path / "one", planned, zones, data).ok
    late = sorted((tmp_path / "two/log").rglob("*.parquet"))[::2]
    hidden = [path.rename(path.with_name(f".{path.name}")) for path in late]
    run(tmp_path / "two", spark, zones, data)
    for path in hidden:
        path.rename(path.with_name(path.name[1:]))
    with killing(spark) as killed:
        assert run(tmp_path / "two", spark, zones, data).ok
    assert killed
    alike(tmp_path / "one/tables", tmp_path / "two/tables")
    assert len(spark.plans) > 50
    assert [plan for plan in spark.plans if nested(plan)] == []


def test_twenty_times_the_rows_take_the_same_memory(tmp_path: Path, duckdb: Engine, spark: Engine) -> None:
    """Executors have 1 GiB as before, of which none dies, and the driver takes 8 MiB of results at most."""
    network = hours.network(
        replace(HOUR, queries=20 * HOUR.queries, deliveries=20 * HOUR.deliveries, segment_rows=10 * HOUR.segment_rows)
    )
    zones, data = hours.write_files(tmp_path, network)
    hours.write_log(tmp_path / "one/log", network)
    shutil.copytree(tmp_path / "one/log", tmp_path / "two/log")
    before = executors()
    for name, engine in (("one", duckdb), ("two", spark)):
        assert run(tmp_path / name, engine, zones, data).ok
    assert executors() == before
    alike(tmp_path / "one/tables", tmp_path / "two/tables")


def test_the_command_of_the_document(tmp_path: Path, duckdb: Engine) -> None:
    """It makes the same tables, and leaves nothing where Spark is installed."""
    folder = checkout.checkout(tmp_path / "checkout")
    for name in ("zones", "data"):
        shutil.rmtree(folder / name)
    network = hours.network(HOUR)
    zones, data = hours.write_files(folder, network)
    start_s = int(time.time()) // 3600 * 3600 - 3600
    hours.write_log(folder / "log", network, start_s)
    shutil.copytree(folder / "log", tmp_path / "one/log")
    assert run(tmp_path / "one", duckdb, zones, data, time.time()).ok
    text = (folder / "docs/pipeline.md").read_text()
    text = text[text.index("## On Spark") :]
    steps = [step.command for step in checkout.steps(text[: text.index("On a real cluster")])]
    assert len(steps) == 2
    work = Path(str(importlib.import_module("pyspark").__file__)).parent / "work"
    before = set(work.glob("*"))
    command = ["bash", "-ec", "\n".join(steps)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(work.glob("*")) <= before
    alike(tmp_path / "one/tables", folder / "tables")


def test_large_results_do_not_fit_the_driver(spark: Engine) -> None:
    columns = {"text": records.TEXT}
    noise = random.Random(1)  # what is alike is compressed
    table = spark.rows_of([{"text": noise.randbytes(120).hex()} for _ in range(90_000)], columns)
    with pytest.raises(GslbError, match="maxResultSize"):
        spark.fetch(table)


def test_a_file_that_is_broken_is_named(tmp_path: Path, spark: Engine) -> None:
    columns = {"a": records.WHOLE}
    table = spark.rows_of([{"a": at} for at in range(10_000)], columns)
    (written,) = spark.write(table, tmp_path, "a")
    path = tmp_path / written.name
    content = bytearray(path.read_bytes())
    content[20:2000] = bytes(1980)
    path.write_bytes(content)
    torn = spark.read([path], columns)
    with pytest.raises(GslbError, match=f"^{path}: "):
        spark.fetch(torn.agg(a=torn.a.sum()))
    assert sorted(tmp_path.iterdir()) == [path]


def run(root: Path, engine: Engine, zones: Path, data: Path, now_s: float = NOW_S) -> Done:
    """A run over the log of ``root``."""
    done = measured.run(root, engine, now_s, partial(_facts, zones=zones, data=data, folder=root / "facts"))
    assert done.faults == []
    return done


def _facts(engine: Engine, *, zones: Path, data: Path, folder: Path) -> Any:
    return facts.read(zones, data, engine, folder)


def alike(one: Path, two: Path) -> None:
    """Tables of gold have the same rows: all the same but doubles, which may differ as sums in another order do."""
    for kind in GOLD:
        both = []
        for tables in (one, two):
            rows = measured.rows(tables, kind)
            assert rows
            by_key = {tuple(row[name] for name in KEYS[kind.name]): row for row in rows}
            assert len(by_key) == len(rows)
            both.append(by_key)
        first, second = both
        assert first.keys() == second.keys()
        for key, row in first.items():
            for name, value in row.items():
                other = second[key][name]
                same = math.isclose(value, other, rel_tol=BETWEEN) if isinstance(value, float) else value == other
                assert same, (kind.name, key, name, value, other)


class killing:  # noqa: N801  used as a context
    """Kills one executor while the engine is at work; then it holds the pid."""

    def __init__(self, engine: Engine, after_plans: int = 12) -> None:
        self._engine = engine
        self._from = len(engine.plans) + after_plans
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._kill)
        self.pids: list[int] = []

    def __enter__(self) -> list[int]:
        self._thread.start()
        return self.pids

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _kill(self) -> None:
        while not self._stop.wait(0.05):
            found = executors()
            if len(self._engine.plans) >= self._from and found:
                time.sleep(0.2)  # into whatever runs
                os.kill(found[0], signal.SIGKILL)
                self.pids.append(found[0])
                return


def executors() -> list[int]:
    """The executors below this process."""
    below = {os.getpid()}
    found = []
    for pid in sorted(int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()):
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
            if int(stat[stat.rindex(")") + 2 :].split()[1]) in below:
                below.add(pid)
                if b"CoarseGrainedExecutorBackend" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(pid)
        except OSError:
            continue
    return found
