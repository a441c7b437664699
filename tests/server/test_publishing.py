"""Plans, leases and freezes over the admin port: who may, what is refused by which code, and a store that is away."""

from __future__ import annotations

import hashlib
import json

import pytest
from gslbtest.clocked import BEGIN, Clock
from gslbtest.desk import REPORT_TOKEN, Desk

from gslb.model.plan import Plan
from gslb.model.report import StoreState
from gslb.plan import published
from gslb.server import publishing
from gslb.store.interface import Freeze, Lease, Outcome
from gslb.store.memory import MemoryStore
from gslb.store.opening import open_store

V1, V2 = Plan("v1", "", 1, 2, 3), Plan("v2", "v1", 1, 2, 3)


async def test_a_plan_is_published_and_given_back() -> None:
    desk = Desk()
    data, sha256 = published.write(V1)
    said = await desk.ask("POST", f"/v1/plans?sha256={sha256}", body=data)
    assert (said.code, said.json()) == (200, {"accepted": True, "version": "v1"})
    assert (await desk.store.state()).plan == V1
    for name in ("v1", "current"):
        given = await desk.ask("GET", f"/v1/plans/{name}")
        assert (given.code, given.headers["content-type"]) == (200, "application/zstd")
        assert published.read(given.body, given.headers["gslb-sha256"]) == V1
        assert "gslb-clock-ms" in given.headers
    assert (await desk.ask("GET", "/v1/plans")).json() == {"versions": ["v1"], "frozen": None}


ASKED = [
    ("GET", "/v1/plans"), ("GET", "/v1/plans/v1"), ("POST", "/v1/plans"), ("PUT", "/v1/leases/dispatch"),
    ("DELETE", "/v1/leases/dispatch?holder=a"), ("PUT", "/v1/freeze"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), ASKED)
@pytest.mark.parametrize("token", [None, "wrong", REPORT_TOKEN])
async def test_only_the_admin_token_opens(method: str, path: str, token: str | None) -> None:
    assert (await Desk().ask(method, path, token)).code == 401


DATA, SHA256 = published.write(V2)
REFUSED = [
    # method, path and body once v1 counts and a holds the lease for 60 s, the code and what is said
    ("GET", "/v1/plans/v9", b"", 404, "no plan 'v9' is kept that can be read"),
    ("POST", "/v1/plans", DATA, 422, "plan: sha256: is not 64 hexadecimal digits"),
    ("POST", f"/v1/plans?sha256={'a' * 64}", DATA, 422, "plan: sha256: differs from that of the data"),
    ("POST", f"/v1/plans?sha256={hashlib.sha256(b'x').hexdigest()}", b"x", 422, "plan: not Zstandard: "),
    ("POST", f"/v1/plans?sha256={SHA256}&token=5", DATA, 409,
     "plan 'v2': the token '5' is not that of the lease dispatch, which is held by 'a' for another 60000 ms"),
    ("POST", f"/v1/plans?sha256={SHA256}&token=-1", DATA, 422, ""),
    ("POST", f"/v1/plans?sha256={SHA256}&token=x", DATA, 422, ""),
    ("POST", "/v1/plans?sha256=" + "a" * 65, DATA, 422, ""),
    ("PUT", "/v1/leases/dispatch", b"{", 400, "not JSON: "),
    ("PUT", "/v1/leases/dispatch", b"[]", 400, "not a mapping"),
    ("PUT", "/v1/leases/dispatch", b"{}", 422, "lease 'dispatch': give holder, a text, and lasting_ms, a whole number"),
    ("PUT", "/v1/leases/dispatch", b'{"holder": "a", "lasting_ms": 1.5}', 422, "lease 'dispatch': give holder"),
    ("PUT", "/v1/leases/-", b'{"holder": "a", "lasting_ms": 1}', 422, "'-' is not the name of a lease"),
    ("DELETE", "/v1/leases/dispatch", b"", 422, ""),
    ("DELETE", "/v1/leases/dispatch?holder=b", b"", 409, "lease 'dispatch': is held by 'a' for another 60000 ms"),
    ("PUT", "/v1/freeze", b'{"until_ms": "x", "author": "a", "reason": "b"}', 422, "freeze: give until_ms, a whole"),
    ("PUT", "/v1/freeze", b'{"until_ms": 0, "author": "", "reason": "b"}', 422, "freeze: author: is not 1 to 512 "),
    ("PUT", "/v1/freeze", b" " * 8193, 413, "the body has more than 8192 bytes"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body", "code", "reason"), REFUSED)
async def test_what_is_refused(method: str, path: str, body: bytes, code: int, reason: str) -> None:
    desk = Desk(store=MemoryStore(Clock()))
    await desk.store.publish(V1)
    lease = await desk.store.take_lease("dispatch", "a", 60_000)
    said = await desk.ask(method, path, body=body)
    assert said.code == code
    if reason:
        assert said.json()["detail"].startswith(reason)
    assert (await desk.store.state()).plan == V1
    assert await desk.store.take_lease("dispatch", "b", 1) == Lease(0, "a", lease.left_ms)
    assert await desk.store.frozen() is None


async def test_a_body_that_is_too_long_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "MAX_BODY", 10)
    assert (await Desk().ask("POST", "/v1/plans", body=b"x" * 11)).code == 413


async def test_the_faults_of_a_plan_are_told_one_by_one() -> None:
    data, _ = published.write(V1)
    said = await Desk().ask("POST", f"/v1/plans?sha256={'0' * 64}", body=data)
    assert said.json()["faults"] == [{"key": "sha256", "reason": "differs from that of the data"}]


async def test_leases_and_a_freeze() -> None:
    desk = Desk(store=MemoryStore(Clock()))
    wanted = json.dumps({"holder": "a", "lasting_ms": 60_000})
    said = await desk.ask("PUT", "/v1/leases/dispatch", body=wanted)
    assert (said.code, said.json()) == (200, {"token": BEGIN, "holder": "a", "left_ms": 60_000})
    order = json.dumps({"until_ms": BEGIN + 5000, "author": "ana", "reason": "match"})
    assert (await desk.ask("PUT", "/v1/freeze", body=order)).json() == {"accepted": True}
    assert await desk.store.frozen() == Freeze(BEGIN + 5000, "ana", "match")
    frozen = (await desk.ask("GET", "/v1/plans")).json()["frozen"]
    assert frozen == {"until_ms": BEGIN + 5000, "author": "ana", "reason": "match"}
    assert (await desk.ask("DELETE", "/v1/leases/dispatch?holder=a")).json() == {"accepted": True}
    assert await desk.store.drop_lease("dispatch", "a") == Outcome(False, "lease 'dispatch': nobody holds it")


async def test_while_the_store_is_away() -> None:
    store = open_store("redis://127.0.0.1:1", StoreState())
    desk = Desk(store=store)
    bodies = {
        "/v1/plans": DATA, "/v1/leases/dispatch": b'{"holder": "a", "lasting_ms": 1}',
        "/v1/freeze": b'{"until_ms": 0, "author": "a", "reason": "b"}',
    }  # fmt: skip
    for method, path in ASKED:
        asked = f"/v1/plans?sha256={SHA256}" if method == "POST" else path
        said = await desk.ask(method, asked, body=bodies.get(path, b""))
        assert said.code == 503, (method, path, said)
        assert said.json()["detail"].startswith("redis://127.0.0.1:1: ")
    await store.close()
