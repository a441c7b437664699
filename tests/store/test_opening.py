"""From a URL to a store or a writer, or to the reason why not."""

from __future__ import annotations

import subprocess
import sys

import pytest
from gslbtest.process import SOON_S
from gslbtest.stores import following

from gslb.errors import GslbError
from gslb.model.report import Report, StoreState
from gslb.store import opening
from gslb.store.admin_port import AdminWriter
from gslb.store.memory import MemoryStore
from gslb.store.redis_store import RedisStore, RedisWriter

HELD = StoreState(now_ms=5, reports={"a": Report("a", 1, 2, 5)}, seen={"a": 5})
FAULTS = [
    ("memory:", "nothing follows memory://"),
    ("memory://x", "nothing follows memory://"),
    (
        "postgres://u:secret@h",
        "the URL of a store is memory://, redis://…, rediss://… or redis+sentinel://…",
    ),
    ("http://h:1", "the URL of a store is memory://, redis://…, rediss://… or redis+sentinel://…"),
    ("redis://u:secret@", "the URL names no host, or one that is not HOST, HOST:PORT or [IPv6]:PORT"),
]


@pytest.mark.parametrize(("url", "reason"), FAULTS)
def test_a_faulty_url(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=r"^.+$") as raised:
        opening.check_url(url)
    assert str(raised.value) == reason
    with pytest.raises(GslbError) as refused:
        opening.open_store(url, StoreState())
    assert str(refused.value) == f"the store cannot be opened: {reason}"


@pytest.mark.parametrize("url", ["memory://", "redis://h", "rediss://h", "redis+sentinel://h/main"])
def test_a_good_url(url: str) -> None:
    opening.check_url(url)


async def test_stores() -> None:
    async with following("memory://", HELD) as store:
        assert isinstance(store, MemoryStore)
        assert await store.state() is HELD
    async with following("redis://127.0.0.1:1", HELD, wait=False) as store:
        assert isinstance(store, RedisStore)
        assert await store.state() == HELD
        assert (store.connected, store.now_ms) == (False, 5)
    store.follow()
    assert [item async for item in store.changes()] == [], "a closed store is not followed"


async def test_writers() -> None:
    writer = opening.open_writer("redis://127.0.0.1:1")
    assert isinstance(writer, RedisWriter)
    await writer.close()
    admin = opening.open_writer("http://127.0.0.1:1", "token")
    assert isinstance(admin, AdminWriter)
    await admin.close()


NO_WRITER = [
    ("memory://", None, "the embedded store is inside of a server: write to its admin port, http://ADDR:PORT"),
    ("http://127.0.0.1:1", None, "writing to an admin port needs its token"),
    (
        "https://h",
        "token",
        "the store cannot be opened: the URL of a store is memory://, redis://…, rediss://… or redis+sentinel://…",
    ),
]


@pytest.mark.parametrize(("url", "token", "reason"), NO_WRITER)
def test_no_writer(url: str, token: str | None, reason: str) -> None:
    with pytest.raises(GslbError) as raised:
        opening.open_writer(url, token)
    assert str(raised.value) == reason


def test_nothing_is_imported_that_is_not_needed() -> None:
    code = "import sys, gslb.store.opening as o; o.check_url('redis://h'); print('redis' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=SOON_S, check=True)
    assert done.stdout == "False\n"
