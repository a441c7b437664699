"""A Redis, a solver and settings for whoever runs a dispatcher."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from gslbtest import dispatcher
from gslbtest.stores import RedisServer

from gslb.dispatch.settings import Settings
from gslb.dispatch.solver import Solver


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as found:
        yield found


@pytest.fixture(scope="package")
def solver() -> Iterator[Solver]:
    """One child for all tests: its start takes most of a second."""
    found = _Shared()
    yield found
    Solver.close(found)


class _Shared(Solver):
    def close(self) -> None:
        """Not at the end of each dispatcher."""


@pytest.fixture
def settings(server: RedisServer, tmp_path: Path) -> Settings:
    server.cli("FLUSHALL")
    return dispatcher.settings(dispatcher.network(tmp_path), server.url)
