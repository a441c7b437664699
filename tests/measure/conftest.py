"""An engine for whoever runs the pipeline here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from gslbtest import measured

from gslb.measure.engine import Engine, nested, open_engine


@pytest.fixture(scope="package")
def duckdb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = open_engine("duckdb", tmp_path_factory.mktemp("engine"), memory_mb=512)
    yield engine
    engine.close()


@pytest.fixture(scope="package")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """One that notes its plans: in the end none may join each row with each."""
    engine = open_engine("duckdb", tmp_path_factory.mktemp("planned"), memory_mb=512, plans=True)
    yield engine
    engine.close()
    assert [plan for plan in engine.plans if nested(plan)] == []


@pytest.fixture
def plain_demand() -> Iterator[None]:
    """Demand is made plainly, where something else is looked at."""
    with measured.plainly():
        yield
