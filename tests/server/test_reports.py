"""Reports over the admin port: what is taken, what is refused and with which code, and what each token is good for."""

from __future__ import annotations

import json

import pytest
from gslbtest.desk import REPORT_TOKEN, TOKEN, Desk, call
from gslbtest.process import free_port
from gslbtest.world import world

from gslb.model.report import DOWN, DRAIN, UP, Report, StoreState
from gslb.server.reports import BURST, MAX_BODY, PER_SECOND
from gslb.snapshot.catalog import Catalog
from gslb.store.interface import Outcome
from gslb.store.memory import MemoryStore
from gslb.store.opening import open_store

PATH = "/v1/edges/sha/report"
WHOLE = {"epoch": 5, "seq": 7, "health4": "up", "health6": "down", "load_bps": 4, "capacity_bps": 10, "sessions": 3}


@pytest.fixture
def catalog(small: dict[str, str]) -> Catalog:
    return world({f"zones/{name}": text for name, text in small.items()}).catalog


@pytest.fixture
def desk(catalog: Catalog) -> Desk:
    return Desk(catalog)


async def held(desk: Desk, edge: str = "sha") -> Report:
    found = await desk.store.latest(edge)
    assert found is not None
    return found


async def test_a_whole_report(desk: Desk) -> None:
    said = await desk.ask("PUT", PATH, REPORT_TOKEN, json.dumps(WHOLE))
    assert (said.code, said.json()) == (200, {"accepted": True, "epoch": 5, "seq": 7})
    assert said.headers["content-type"] == "application/json"
    found = await held(desk)
    assert (found.epoch, found.seq, found.health4, found.health6) == (5, 7, UP, DOWN)
    assert (found.load_bps, found.capacity_bps, found.sessions) == (4, 10, 3)
    told = (await desk.ask("GET", PATH, REPORT_TOKEN)).json()
    assert (told["edge"], told["received_ms"]) == ("sha", found.received_ms)
    assert {key: told[key] for key in WHOLE} == WHOLE


async def test_measurements_go_on_from_what_is_held(desk: Desk) -> None:
    """What is not measured stays; the numbering goes on; a transition is dated."""
    assert (await desk.ask("PUT", PATH, TOKEN, json.dumps(WHOLE))).code == 200
    said = await desk.ask("PUT", PATH, TOKEN, '{"health": "drain", "load_bps": 9}')
    assert said.json() == {"accepted": True, "epoch": 5, "seq": 8}
    found = await held(desk)
    assert (found.health4, found.health6, found.load_bps, found.capacity_bps) == (DRAIN, DRAIN, 9, 10)
    assert 0 < found.since_ms <= found.received_ms
    said = await desk.ask("PUT", PATH, TOKEN, '{"health6": "up", "sessions": 70}')
    found = await held(desk)
    assert (found.health4, found.health6, found.sessions, found.seq) == (DRAIN, UP, 70, 9)


async def test_the_first_measurement_of_an_edge(desk: Desk) -> None:
    said = await desk.ask("PUT", PATH, TOKEN, '{"health": "down"}')
    assert (said.code, said.json()) == (200, {"accepted": True, "epoch": 0, "seq": 1})


async def test_a_rival_that_writes_in_between(catalog: Catalog) -> None:
    """A measurement is made upon the report of the rival once more."""

    class Raced(MemoryStore):
        async def latest(self, edge: str) -> Report | None:
            found = await super().latest(edge)
            if found is None:
                await self.report(Report("sha", 1, 1, 0, load_bps=5, sessions=50))
            return found

    desk = Desk(catalog, Raced())
    said = await desk.ask("PUT", PATH, TOKEN, '{"load_bps": 6}')
    assert said.json() == {"accepted": True, "epoch": 1, "seq": 2}
    assert (await held(desk)).sessions == 50


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ("", [("", "not JSON: Expecting value: line 1 column 1 (char 0)")]),
        ("[1]", [("", "not a JSON object")]),
        ("{}", [("", "nothing is said; the keys are health, health4, health6, load_bps, capacity_bps, sessions,"
                     " valid_ms")]),
        (
            '{"health": "fine", "load_bps": -1, "lod_bps": 3}',
            [
                ("lod_bps", "is not known; did you mean load_bps?"),
                ("health", "'fine' is not one of up, down, drain"),
                ("load_bps", "'-1' is not a decimal number from 0 to 1000000000000000"),
            ],
        ),
        ('{"epoch": 1, "health4": "x"}', [("seq", "is missing"), ("health4", "'x' is not one of up, down, drain")]),
        ('{"epoch": 1, "seq": 1, "edge": "fra"}', [("edge", "'fra' is another edge")]),
    ],
)  # fmt: skip
async def test_faults_come_all_at_once_with_their_keys(desk: Desk, body: str, faults: list[tuple[str, str]]) -> None:
    said = await desk.ask("PUT", PATH, TOKEN, body)
    assert said.code == 400
    assert [(each["key"], each["reason"]) for each in said.json()["faults"]] == faults
    assert said.json()["detail"].startswith("report of edge 'sha': ")
    assert await desk.store.latest("sha") is None


async def test_older_than_what_is_held(desk: Desk) -> None:
    assert (await desk.ask("PUT", PATH, TOKEN, json.dumps(WHOLE))).code == 200
    for older in (WHOLE, WHOLE | {"seq": 6}, WHOLE | {"epoch": 4, "seq": 99}):
        said = await desk.ask("PUT", PATH, TOKEN, json.dumps(older))
        assert said.code == 409
        assert "is not newer than epoch 5, seq 7" in said.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path", "code", "detail"),
    [
        ("PUT", "/v1/edges/nyc/report", 404, "edge 'nyc' is not in the catalog"),
        ("GET", "/v1/edges/nyc/report", 404, "edge 'nyc' is not in the catalog"),
        ("GET", PATH, 404, "no report of edge 'sha' is held"),
        ("PUT", f"/v1/edges/{'x' * 200}/report", 404, f"edge '{'x' * 63}' is not in the catalog"),
        ("PUT", "/v1/edges//report", 404, "Not Found"),
        ("POST", PATH, 405, None),
    ],
)
async def test_edges_that_are_not_there(desk: Desk, method: str, path: str, code: int, detail: str | None) -> None:
    said = await desk.ask(method, path, TOKEN, json.dumps(WHOLE))
    assert said.code == code
    if detail is not None:
        assert said.json()["detail"] == detail


async def test_before_anything_is_served() -> None:
    assert (await Desk(None).ask("PUT", PATH, TOKEN, json.dumps(WHOLE))).code == 404


async def test_the_rate_of_an_edge(desk: Desk) -> None:
    """A burst, then so many a second; other edges have a rate of their own."""
    seq = 0

    async def push(edge: str = "sha") -> int:
        nonlocal seq
        seq += 1
        said = await desk.ask("PUT", f"/v1/edges/{edge}/report", TOKEN, json.dumps({"epoch": 1, "seq": seq}))
        assert said.headers.get("retry-after") == ("1" if said.code == 429 else None)
        return said.code

    assert [await push() for _ in range(int(BURST) + 2)] == [200] * int(BURST) + [429, 429]
    assert await push("fra") == 200
    desk.clock_s += 1 / PER_SECOND
    assert [await push(), await push()] == [200, 429]
    desk.clock_s += 3600
    assert [await push() for _ in range(int(BURST) + 1)] == [200] * int(BURST) + [429]
    said = await desk.ask("PUT", PATH, TOKEN, "{}")
    assert said.json()["detail"] == "edge 'sha' reports more often than 5 times a second"


async def test_bodies_that_are_too_long_or_break_off(desk: Desk) -> None:
    long = json.dumps(WHOLE) + " " * (MAX_BODY - len(json.dumps(WHOLE)))
    assert (await desk.ask("PUT", PATH, TOKEN, long)).code == 200
    said = await desk.ask("PUT", PATH, TOKEN, long + " ")
    assert (said.code, said.json()) == (413, {"detail": f"the body has more than {MAX_BODY} bytes"})
    said = await call(desk.app, "PUT", PATH, TOKEN, [b'{"health": ', b'"down"'], whole=False)
    assert (said.code, said.json()) == (400, {"detail": "the body ends before it is whole"})
    said = await call(desk.app, "PUT", PATH, TOKEN, [b'{"health": ', b'"down"', b"}"])
    assert (said.code, (await held(desk)).health4) == (200, DOWN)


async def test_a_store_that_is_away(catalog: Catalog) -> None:
    store = open_store(f"redis://:secret@127.0.0.1:{free_port()}", StoreState())
    desk = Desk(catalog, store)
    try:
        for method, body in (("PUT", json.dumps(WHOLE)), ("PUT", '{"health": "up"}'), ("GET", "")):
            said = await desk.ask(method, PATH, TOKEN, body)
            assert said.code == 503
            assert "redis://127.0.0.1:" in said.json()["detail"]
            assert "secret" not in said.body.decode()
    finally:
        await store.close()


async def test_a_store_that_takes_no_more(catalog: Catalog) -> None:
    desk = Desk(catalog, MemoryStore(max_edges=1))
    assert (await desk.ask("PUT", "/v1/edges/fra/report", TOKEN, json.dumps(WHOLE))).code == 200
    said = await desk.ask("PUT", PATH, TOKEN, '{"health": "up"}')
    assert (said.code, said.json()["detail"]) == (409, "report of edge 'sha': 1 edges have reported already")


@pytest.mark.parametrize(
    ("method", "path", "token", "code"),
    [
        ("PUT", PATH, REPORT_TOKEN, 200),
        ("PUT", PATH, TOKEN, 200),
        ("PUT", PATH, None, 401),
        ("PUT", PATH, "", 401),
        ("PUT", PATH, REPORT_TOKEN[:-1], 401),
        ("GET", PATH, None, 401),
        ("PUT", "/v1/edges/nyc/report", None, 401),
        ("GET", "/v1/status", REPORT_TOKEN, 401),
        ("GET", "/v1/edges", REPORT_TOKEN, 401),
        ("GET", "/v1/services", REPORT_TOKEN, 401),
        ("GET", "/v1/explain?name=a", REPORT_TOKEN, 401),
        ("POST", "/v1/reload", REPORT_TOKEN, 401),
        ("POST", "/v1/apply", REPORT_TOKEN, 401),
        ("GET", "/v1/overrides", REPORT_TOKEN, 401),
        ("POST", "/v1/overrides", REPORT_TOKEN, 401),
        ("DELETE", "/v1/overrides/a", REPORT_TOKEN, 401),
        ("GET", "/v1/status", TOKEN, 200),
    ],
)
async def test_what_each_token_is_good_for(desk: Desk, method: str, path: str, token: str | None, code: int) -> None:
    said = await desk.ask(method, path, token, json.dumps(WHOLE))
    assert said.code == code
    if code == 401:
        assert said.headers["www-authenticate"] == "Bearer"
        assert await desk.store.latest("sha") is None


async def test_a_closed_store(desk: Desk) -> None:
    await desk.store.close()
    assert await desk.store.report(Report("sha", 1, 1, 0)) == Outcome(False, "the store is closed")
    assert (await desk.ask("PUT", PATH, TOKEN, json.dumps(WHOLE))).code == 409
