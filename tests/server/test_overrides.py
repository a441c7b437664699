"""Overrides as operators order them: checked against what is served and what is held, refused with every reason."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Callable
from typing import Any

import pytest
import structlog.testing
from gslbtest.asking import addresses, ask
from gslbtest.desk import Desk
from gslbtest.process import SOON_S, free_port
from gslbtest.serving import Server
from gslbtest.stores import wait_for
from gslbtest.world import world

from gslb.health.override import time_text
from gslb.model.override import Override, Target
from gslb.model.report import DOWN, Report, StoreState
from gslb.policy.override import state_of
from gslb.server.overrides import MAX_BODY
from gslb.snapshot.catalog import Catalog
from gslb.store.memory import MemoryStore
from gslb.store.opening import open_store

NOW_S = 1_795_530_600
ZONE = """\
zone: live.example.
soa: {mname: ns1, rname: hostmaster}
records:
  "@": {NS: [ns1]}
  ns1: {A: 192.0.2.53}
services:
  pull: {pool: all, ttl: 20, affinity: [country, any]}
  only: {pool: one, affinity: [any]}
pools:
  all: {sha: 100, fra: 100, off: 0}
  one: {sha: 1}
"""
OFF = """\
  off:
    pop: off
    addresses: {v4: [192.0.2.30]}
    location: {country: DE, region: BE, lat: 52.5, lon: 13.4}
"""
NETWORKS = "prefix,country,region\n198.51.100.0/25,CN,SH\n198.51.100.128/25,CN,BJ\n203.0.113.0/24,DE,\n"


@pytest.fixture
def catalog(small: dict[str, str]) -> Catalog:
    files = small | {"live.yaml": ZONE, "networks.csv": NETWORKS, "edges.yaml": small["edges.yaml"] + OFF}
    return world({f"zones/{name}": text for name, text in files.items()}).catalog


class Time:
    """A store's clock that stands until it is set."""

    def __init__(self) -> None:
        self.ms = NOW_S * 1000 + 250

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def desk(catalog: Catalog, clock: Time) -> Desk:
    return Desk(catalog, MemoryStore(clock))


def order(name: str = "d1", **keys: object) -> str:
    """A drain of fra for an hour, but for what ``keys`` say; a None takes a key away."""
    told: dict[str, Any] = {
        "id": name,
        "kind": "drain",
        "target": {"edge": "fra"},
        "from": time_text(NOW_S),
        "until": time_text(NOW_S + 3600),
        "author": "me",
        "reason": "work on it",
    }
    told.update({key.removesuffix("_"): value for key, value in keys.items()})
    return json.dumps({key: value for key, value in told.items() if value is not None})


LATER = {"from_": NOW_S + 600, "until": NOW_S + 1200}


async def states(desk: Desk) -> dict[str, str]:
    said = await desk.ask("GET", "/v1/overrides")
    assert said.code == 200
    return {each["id"]: each["state"] for each in said.json()["overrides"]}


async def test_ordered_read_back_and_called_off(desk: Desk, clock: Time) -> None:
    with structlog.testing.capture_logs() as logs:
        said = await desk.ask("POST", "/v1/overrides?force=true", body=order())
        assert (await desk.ask("POST", "/v1/overrides", body=order("d2", **LATER))).code == 200
    told = {
        "id": "d1", "kind": "drain", "target": {"edge": "fra"}, "from": "2026-11-24T14:30:00Z",
        "until": "2026-11-24T15:30:00Z", "over_s": 0, "value": None, "author": "me", "reason": "work on it",
    }  # fmt: skip
    assert (said.code, said.json()) == (200, told)
    written = {key.removeprefix("override_"): value for key, value in logs[0].items() if key.startswith("override_")}
    assert (logs[0]["event"], logs[0]["forced"], written) == ("override written", True, told)
    kept = (await desk.ask("GET", "/v1/overrides")).json()
    assert (kept["clock_ms"], kept["connected"]) == (clock.ms, True)
    assert kept["overrides"][0] == told | {"state": "active"}
    assert await states(desk) == {"d1": "active", "d2": "scheduled"}
    clock.ms += 60_000
    for name in ("d1", "d2", "d1"):
        said = await desk.ask("DELETE", f"/v1/overrides/{name}")
        assert (said.code, said.json()["until"]) == (200, "2026-11-24T14:31:00Z")
    assert said.json()["from"] == "2026-11-24T14:30:00Z"
    assert await states(desk) == {"d1": "ended", "d2": "ended"}
    clock.ms += 5_000
    assert (await desk.ask("DELETE", "/v1/overrides/d1")).json()["until"] == "2026-11-24T14:31:00Z"
    said = await desk.ask("DELETE", "/v1/overrides/d3")
    assert (said.code, said.json()["detail"]) == (404, "no override 'd3' is kept")


async def test_one_of_the_same_id_takes_the_place_of_the_former(desk: Desk) -> None:
    for over_s in (60, 120):
        assert (await desk.ask("POST", "/v1/overrides", body=order(over_s=over_s))).code == 200
    assert (await desk.store.overrides())[0].over_s == 120
    past = {"from_": NOW_S - 60, "until": NOW_S - 30}
    assert (await desk.ask("POST", "/v1/overrides", body=order(**past))).code == 200, "so can it be ended"
    assert await states(desk) == {"d1": "ended"}


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ("", [("", "not JSON: Expecting value: line 1 column 1 (char 0)")]),
        (
            order("D 1", kind="x", target={}, until=1, reason=None),
            [
                ("id", "'D 1' is not 1 to 63 of a–z, 0–9, dot, hyphen and underscore, not beginning with a sign"),
                ("kind", "'x' is not one of drain, ramp, pin"),
                ("until", "is before from"),
                ("reason", "is missing"),
            ],
        ),
        (order(target={"edge": "nyc"}), [("target.edge", "'nyc' is not in the inventory")]),
        (order(target={"pop": "nyc"}), [("target.pop", "no edge of the inventory stands in 'nyc'")]),
        (
            order(target={"edge": "fra", "view": "JP||", "service": "push.live.example."}),
            [
                ("target.view", "'JP||': no client is known to be there"),
                ("target.service", "'push.live.example.' is no service"),
            ],
        ),
        (
            order(target={"edge": "fra", "service": "only.live.example."}),
            [("target.edge", "'fra' is not in the pool of only.live.example.")],
        ),
        (
            order(kind="pin", target={"service": "pull.live.example"}, value=["nyc", "off"]),
            [
                ("value", "edge 'nyc' is not in the inventory"),
                ("value", "edge 'off' has weight 0 in the pool of pull.live.example."),
            ],
        ),
        (
            order(target={"edge": "nyc"}, from_=NOW_S - 60, until=NOW_S),
            [("target.edge", "'nyc' is not in the inventory"), ("until", "2026-11-24T14:30:00Z has passed")],
        ),
    ],
)
@pytest.mark.parametrize("force", ["false", "true"])
async def test_faults_come_all_at_once_with_their_keys(
    desk: Desk, body: str, faults: list[tuple[str, str]], force: str
) -> None:
    said = await desk.ask("POST", f"/v1/overrides?force={force}", body=body)
    assert said.code == 422
    assert [(each["key"], each["reason"]) for each in said.json()["faults"]] == faults
    assert said.json()["detail"].startswith("override")
    assert await desk.store.overrides() == ()


EMPTIED = "only.live.example. would have no healthy IPv4 and IPv6 edge for clients of "


async def test_what_would_empty_a_service_needs_a_persons_word(desk: Desk) -> None:
    said = await desk.ask("POST", "/v1/overrides", body=order(target={"pop": "sha"}, **LATER))
    assert said.code == 409
    (emptied,) = said.json()["emptied"]
    assert emptied.startswith(EMPTIED)
    assert (said.json()["cut"], said.json()["detail"]) == ([], emptied)
    assert await desk.store.overrides() == ()
    assert (await desk.ask("POST", "/v1/overrides?force=true", body=order(target={"pop": "sha"}))).code == 200


async def test_overrides_that_empty_a_service_together(desk: Desk) -> None:
    """Each is checked against those before it, and against what edges report."""
    pull = {"edge": "sha", "service": "pull.live.example."}
    assert (await desk.ask("POST", "/v1/overrides", body=order("d1"))).code == 200
    said = await desk.ask("POST", "/v1/overrides", body=order("d2", target=pull))
    assert said.code == 409
    assert said.json()["detail"].startswith("pull.live.example. would have no healthy IPv4 and IPv6 edge")
    later = {"from_": NOW_S + 7200, "until": NOW_S + 9000}
    assert (await desk.ask("POST", "/v1/overrides", body=order("d2", target=pull, **later))).code == 200
    await desk.ask("DELETE", "/v1/overrides/d1")
    await desk.ask("DELETE", "/v1/overrides/d2")
    await desk.store.report(Report("fra", 1, 1, 0, health4=DOWN))
    said = await desk.ask("POST", "/v1/overrides", body=order("d3", target=pull))
    assert said.json()["detail"].startswith("pull.live.example. would have no healthy IPv4 edge for clients of")


async def test_two_at_once_are_checked_one_after_the_other(desk: Desk) -> None:
    pull = {"edge": "sha", "service": "pull.live.example."}
    bodies = [order("d1"), order("d2", target=pull)]
    said = await asyncio.gather(*(desk.ask("POST", "/v1/overrides", body=body) for body in bodies))
    assert sorted(each.code for each in said) == [200, 409]


async def test_a_view_that_is_part_of_a_class(desk: Desk) -> None:
    """pull tells countries apart, not regions."""
    body = order("p1", kind="pin", target={"service": "pull.live.example.", "view": "CN|SH|"}, value=["fra"])
    said = await desk.ask("POST", "/v1/overrides", body=body)
    assert said.code == 409
    (cut,) = said.json()["cut"]
    assert cut == "pull.live.example. tells CN|BJ| not from CN|SH|: the override would act there too"
    assert said.json()["emptied"] == []
    assert (await desk.ask("POST", "/v1/overrides?force=true", body=body)).code == 200
    body = order("p2", kind="pin", target={"service": "pull.live.example.", "view": "CN||"}, value=["fra"])
    assert (await desk.ask("POST", "/v1/overrides", body=body)).code == 200


async def test_bodies_that_are_too_long(desk: Desk) -> None:
    said = await desk.ask("POST", "/v1/overrides", body=order() + " " * MAX_BODY)
    assert (said.code, said.json()) == (413, {"detail": f"the body has more than {MAX_BODY} bytes"})


async def test_before_anything_is_served() -> None:
    said = await Desk(None).ask("POST", "/v1/overrides", body=order())
    assert (said.code, said.json()) == (503, {"detail": "nothing is served yet"})


async def test_a_store_that_is_away(catalog: Catalog) -> None:
    """What servers act upon is shown; nothing can be ordered."""
    held = Override("d1", "drain", Target(edge="fra"), 1, 2, author="me", reason="work")
    store = open_store(f"redis://127.0.0.1:{free_port()}", StoreState(now_ms=1, overrides={"d1": held}))
    desk = Desk(catalog, store)
    try:
        said = (await desk.ask("GET", "/v1/overrides")).json()
        assert (said["connected"], [each["id"] for each in said["overrides"]]) == (False, ["d1"])
        until = time_text(store.clock_ms // 1000 + 3600)
        for method, path in (("POST", "/v1/overrides"), ("DELETE", "/v1/overrides/d1")):
            said = await desk.ask(method, path, body=order(until=until))
            assert said.code == 503
            assert "redis://127.0.0.1:" in said.json()["detail"]
    finally:
        await store.close()


async def test_a_store_that_refuses(desk: Desk) -> None:
    await desk.store.close()
    said = await desk.ask("POST", "/v1/overrides", body=order())
    assert (said.code, said.json()) == (422, {"detail": "the store is closed", "faults": []})


@pytest.mark.parametrize(
    ("from_s", "until_s", "clock_s", "state"),
    [
        (10, 20, 9, "scheduled"),
        (10, 20, 10, "active"),
        (10, 20, 19, "active"),
        (10, 20, 20, "ended"),
        (10, 10, 9, "ended"),
        (10, 10, 10, "ended"),
    ],
)
def test_states(from_s: int, until_s: int, clock_s: int, state: str) -> None:
    assert state_of(Override("a", "drain", Target(edge="sha"), from_s, until_s), clock_s) == state


def test_over_http_from_order_to_answer(asked: Server, admin_of: Callable[[Server], Any]) -> None:
    """The catalog, the store and the workers of a real server."""
    token = (asked.state / "admin.token").read_text().strip()

    def call(method: str, path: str, body: str = "") -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", asked.admin, timeout=SOON_S)
        try:
            connection.request(method, path, body, {"Authorization": f"Bearer {token}"})
            response = connection.getresponse()
            assert response.headers["gslb-clock-ms"]
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def edge() -> list[str]:
        return addresses(ask(asked.port, "pull.live.example.", subnet="198.51.100.0/24"))

    assert edge() == ["192.0.2.10"]
    _, kept = call("GET", "/v1/overrides")
    now_s = kept["clock_ms"] // 1000
    code, told = call("POST", "/v1/overrides", order("d1", target={"edge": "sha"}, from_=now_s - 1, until=now_s + 600))
    assert (code, told["author"]) == (200, "me")
    wait_for(lambda: edge() == ["192.0.2.20"])
    code, told = call("POST", "/v1/overrides", order("d2", from_=now_s, until=now_s + 600))
    assert code == 409
    assert "pull.live.example. would have no healthy IPv4 and IPv6 edge" in told["detail"]
    assert admin_of(asked).metrics()['gslb_overrides{kind="drain",state="active"}'] == 1
    assert call("DELETE", "/v1/overrides/d1")[0] == 200
    assert [each["state"] for each in call("GET", "/v1/overrides")[1]["overrides"]] == ["ended"]
    wait_for(lambda: edge() == ["192.0.2.10"])
