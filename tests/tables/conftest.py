"""The engines that steps run on: DuckDB, and in `make soak` Spark too."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gslb.measure.engine import Engine, nested, open_engine

SPARK = (
    pytest.mark.soak,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # py4j leaves its sockets to the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
)


@pytest.fixture(scope="session", params=["duckdb", pytest.param("spark", marks=SPARK)])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine for all tests of a process."""
    made = open_engine(request.param, tmp_path_factory.mktemp("engine"), memory_mb=512, plans=True)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def engine(running: Engine) -> Iterator[Engine]:
    """An engine; whatever runs on it joins by equality alone."""
    running.plans.clear()
    yield running
    for plan in running.plans:
        assert not nested(plan), plan
