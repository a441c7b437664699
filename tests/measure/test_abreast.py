"""Work side by side: by which threads and engines, in which order, and what becomes of what fails."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gslbtest.process import SOON_S

from gslb.errors import GslbError
from gslb.measure.abreast import Job, abreast
from gslb.measure.engine import Engine, open_engine
from gslb.model import records

COLUMNS = {"a": records.WHOLE}


@pytest.fixture(params=[1, 2, 8], ids="threads={}".format)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    opened = open_engine("duckdb", tmp_path, memory_mb=256, threads=request.param)
    with contextlib.closing(opened):
        yield opened


def sums(engine: Engine, upto: int) -> int:
    """What 0 to ``upto`` come to, by a table that is kept meanwhile."""
    with engine.kept(engine.rows_of([{"a": at} for at in range(upto + 1)], COLUMNS)) as kept:
        (row,) = engine.fetch(kept.agg(a=kept.a.sum()))
    return int(row["a"])


@pytest.mark.parametrize("count", [0, 1, 2, 3, 9])
def test_results_come_in_order(engine: Engine, count: int) -> None:
    jobs = [lambda own, at=at: sums(own, at) for at in range(count)]
    assert [result() for result in abreast(engine, jobs)] == [at * (at + 1) // 2 for at in range(count)]


def test_what_fails_is_raised_where_its_result_is_asked_for(engine: Engine) -> None:
    def fails(own: Engine) -> int:
        raise GslbError("no")

    jobs: list[Job[int]] = [lambda own: sums(own, 1), fails, lambda own: sums(own, 3)]
    found: list[int | str] = []
    for result in abreast(engine, jobs):
        try:
            found.append(result())
        except GslbError as error:
            found.append(str(error))
    assert found == [1, "no", 6]


def test_each_engine_is_one_threads_and_some_jobs_are_ahead(engine: Engine) -> None:
    """Without others this thread does all, when it is asked to."""
    beside = len(engine.others)
    assert beside in (0, 2)
    made: list[int] = []
    users: dict[Engine, set[int]] = {}
    both = threading.Barrier(2)

    def job(at: int) -> Job[int]:
        made.append(at)

        def work(own: Engine) -> int:
            users.setdefault(own, set()).add(threading.get_ident())
            if at < beside:
                both.wait(SOON_S)  # else nobody else would be at work
            return at

        return work

    found = abreast(engine, map(job, range(6)))
    assert next(found)() == 0
    assert made == list(range(3 if beside else 2))
    assert [result() for result in found] == [1, 2, 3, 4, 5]
    assert users.keys() == (set(engine.others) if beside else {engine})
    assert (threading.get_ident() in set.union(*users.values())) == (not beside)


def test_who_stops_early_waits_for_what_was_begun(engine: Engine) -> None:
    ended: list[int] = []

    def job(at: int) -> Job[int]:
        def work(own: Engine) -> int:
            time.sleep(0.05 * at)
            ended.append(at)
            return at

        return work

    with contextlib.closing(abreast(engine, map(job, range(6)))) as found:
        first: Callable[[], int] = next(found)
        assert first() == 0
    there = list(ended)
    time.sleep(0.2)
    assert ended == there
    assert max(there) <= len(engine.others)


def test_others_share_what_was_read_and_kept(engine: Engine) -> None:
    table = engine.rows_of([{"a": 1}, {"a": 2}], COLUMNS)
    with engine.kept(table.mutate(b=table.a * 2)) as kept:
        for other in (engine, *engine.others):
            assert sorted(row["b"] for row in other.fetch(kept)) == [2, 4]
            with other.kept(kept.filter(kept.b > 2)) as own:
                assert engine.fetch(own) == [{"a": 2, "b": 4}]
