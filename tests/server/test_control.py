"""The control process when it is asked by many at once: it goes on steering, which needs threads as they do."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from gslbtest.process import SOON_S

from gslb.errors import GslbError
from gslb.model.report import StoreState
from gslb.server import metrics
from gslb.server.control import Control
from gslb.server.counting import Refusals
from gslb.server.durations import Durations
from gslb.server.keeping import Keeper
from gslb.server.listen import Opened
from gslb.server.refusal import Refused
from gslb.server.settings import Settings
from gslb.server.status import ReloadStatus, SteeringStatus
from gslb.store.memory import MemoryStore

MANY = 200


class Held:
    """What is asked for waits until it may end; how often it was begun."""

    def __init__(self) -> None:
        self.may_end = threading.Event()
        self.begun = 0

    def __call__(self, _: object) -> Any:
        self.begun += 1
        assert self.may_end.wait(SOON_S)
        raise GslbError("nobody knows")


def control_of(folder: Path, held: Held) -> Control:
    """One that serves nothing yet."""
    durations, store = Durations((1.0,)), MemoryStore()
    rest: Any = SimpleNamespace(
        slots=[], counters=[], edge_slots={}, sockets=set(), answering=0, served=None, catalog=None,
        status=SteeringStatus(), durations=durations, plan=None, refusals=Refusals(None),
    )  # fmt: skip
    reloader: Any = SimpleNamespace(status=ReloadStatus(), durations=durations)
    keeper = Keeper(store, folder, StoreState())
    with socket.create_server(("127.0.0.1", 0)) as admin:
        return Control(Settings(), Opened((), ()), admin, rest, rest, reloader, store, keeper, held)


async def while_held(held: Held, asked: list[Coroutine[Any, Any, object]]) -> list[object]:
    """What comes of what is asked, once something else was done in a thread meanwhile."""
    tasks = [asyncio.ensure_future(each) for each in asked]
    async with asyncio.timeout(SOON_S):
        while not held.begun:  # noqa: ASYNC110 what is waited for sets no event
            await asyncio.sleep(0.005)
        assert await asyncio.to_thread(lambda: "steering") == "steering"
    assert not any(task.done() for task in tasks)
    held.may_end.set()
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_many_who_look_back(tmp_path: Path) -> None:
    held = Held()
    control = control_of(tmp_path, held)
    found = await while_held(held, [control.explain("a.", "", "A", 1) for _ in range(MANY)])
    assert {(type(each), str(each)) for each in found} == {(Refused, "nobody knows")}
    assert held.begun == MANY
    control.close()


async def test_many_who_scrape_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held()
    control = control_of(tmp_path, held)
    with monkeypatch.context() as patch:
        patch.setattr(metrics, "exposition", held)
        found = await while_held(held, [control.metrics() for _ in range(MANY)])
    assert {str(each) for each in found} == {"nobody knows"}
    assert held.begun == 1
    assert b"gslb_ready 0.0" in await control.metrics(), "the next is made anew"
    control.close()


async def test_one_who_leaves_takes_it_from_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held()
    control = control_of(tmp_path, held)
    with monkeypatch.context() as patch:
        patch.setattr(metrics, "exposition", held)
        first = asyncio.ensure_future(control.metrics())
        await asyncio.sleep(0)
        first.cancel()
        found = await while_held(held, [control.metrics() for _ in range(2)])
    assert (first.cancelled(), held.begun) == (True, 1)
    assert {str(each) for each in found} == {"nobody knows"}
    control.close()
