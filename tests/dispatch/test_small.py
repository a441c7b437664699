"""The smaller parts of a dispatcher: settings, what it keeps, its pages and metrics, and comparing plans."""

from __future__ import annotations

import dataclasses
import http.client
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from gslb.dispatch import page, solver
from gslb.dispatch.comparing import difference
from gslb.dispatch.keeping import PLANS, ROUNDS, Keeper, read_plan, text_of
from gslb.dispatch.link import linked
from gslb.dispatch.metrics import Told, exposition
from gslb.dispatch.rounds import FAILED, PUBLISHED, STANDBY, Done, version_at
from gslb.dispatch.settings import Settings, load
from gslb.dispatch.solver import check_installed
from gslb.errors import ConfigErrors, GslbError, UsageError
from gslb.model.plan import PLAN_SUM, Plan, PlannedEdge, PlanRow
from gslb.model.report import StoreState
from gslb.plan.published import is_version
from gslb.store.page import serving

NOWHERE = Path("/nonexistent/dispatch.toml")
HALF = PLAN_SUM // 2


def row(country: str, demand_bps: int, *primaries: tuple[str, int]) -> PlanRow:
    return PlanRow("pull.live.example.", country, "", "", primaries, (), demand_bps)


def test_flags_win_over_variables_and_these_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "dispatch.toml"
    file.write_text('zones = "a"\ndata = "b"\nstate = "c"\nmetrics = "[::1]:9"\n')
    found = load({"zones": Path("x"), "data": None}, {"GSLB_DATA": "y", "GSLB_STORE": "redis://h/0"}, file)
    assert found == Settings(Path("x"), Path("y"), Path("c"), "redis://h/0", metrics=("::1", 9))
    assert found.demand_path == Path("y/demand.csv")
    assert load({}, {"GSLB_METRICS": "none", "GSLB_DEMAND": "d"}, default=NOWHERE).demand_path == Path("d")
    assert load({}, {}, default=NOWHERE) == Settings()


@pytest.mark.parametrize(
    ("flags", "environ", "told"),
    [
        ({"metrics": "8054"}, {}, "--metrics: '8054' is not ADDRESS:PORT, such as 127.0.0.1:8054 or [::1]:8054"),
        ({"metrics": "::1:80"}, {}, "--metrics: '::1:80' is not ADDRESS:PORT, such as 127.0.0.1:8054 or [::1]:8054"),
        ({}, {"GSLB_METRICS": "127.0.0.1:70000"}, "GSLB_METRICS: '127.0.0.1:70000': the port is not a number"),
        ({"store": "ftp://x"}, {}, "--store: the URL of a store is"),
    ],
)
def test_faulty_settings_are_named(flags: dict[str, object], environ: dict[str, str], told: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(flags, environ, default=NOWHERE)
    assert str(caught.value).startswith(told)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("zonse = 'x'\n", "unknown setting 'zonse'; did you mean 'zones'?"),
        ("zones = \n", "Invalid value"),
        (None, "No such file or directory"),
    ],
)
def test_a_faulty_file_is_located(tmp_path: Path, text: str | None, told: str) -> None:
    file = tmp_path / "dispatch.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigErrors) as caught:
        load({}, {}, file)
    assert str(caught.value).startswith(f"{file}:")
    assert told in str(caught.value)


def test_a_number_where_a_text_should_be_is_a_fault(tmp_path: Path) -> None:
    file = tmp_path / "dispatch.toml"
    file.write_text("metrics = 8054\n")
    with pytest.raises(UsageError, match=re.escape(f"{file}: metrics: 8054 is not a text")):
        load({}, {}, file)


def test_the_newest_plans_are_kept(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path)
    assert keeper.newest() is None
    plans = [Plan(f"v{number}", rows=(row("DE", number, ("e", PLAN_SUM)),)) for number in range(PLANS + 2)]
    for at, plan in enumerate(plans):
        keeper.keep(plan)
        os.utime(tmp_path / "dispatch" / "plans" / f"{plan.version}.plan", ns=(at, at))
    keeper.keep(plans[-1])
    assert keeper.versions() == [plan.version for plan in reversed(plans[2:])]
    assert keeper.plan("v1") is None
    assert keeper.plan("../v5") is None
    assert keeper.plan("v5") == plans[5]
    torn = tmp_path / "dispatch" / "plans" / f"{plans[-1].version}.plan"
    torn.write_bytes(torn.read_bytes()[:-1])
    with pytest.raises(GslbError, match="sha256"):
        keeper.plan(plans[-1].version)
    assert keeper.newest() == plans[-2]


def test_a_plan_is_read_from_json_too(tmp_path: Path) -> None:
    plan = Plan("v", rows=(row("DE", 5, ("e", PLAN_SUM)),), edges={"e": PlannedEdge(5)})
    path = tmp_path / "plan.json"
    path.write_text(text_of(plan))
    assert read_plan(path) == plan
    path.write_text("{}")
    with pytest.raises(GslbError, match=re.escape(str(path))):
        read_plan(path)
    with pytest.raises(GslbError, match="cannot be read: No such file"):
        read_plan(tmp_path / "none")


def test_the_last_rounds_are_kept(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path)
    for number in range(2 * ROUNDS + 1):
        keeper.note({"at_ms": number})
    lines = (tmp_path / "dispatch" / "rounds.jsonl").read_text().splitlines()
    assert [json.loads(line)["at_ms"] for line in lines] == list(range(ROUNDS + 1, 2 * ROUNDS + 1))


def test_versions_are_times_and_sort_as_such() -> None:
    found = [version_at(at_ms) for at_ms in (1_800_000_000_005, 1_800_000_000_040, 1_800_000_001_000)]
    assert found[0] == "20270115T080000.005Z"
    assert found == sorted(found)
    assert all(map(is_version, found))


def test_metrics_before_the_first_plan_and_of_failures() -> None:
    told = Told()
    told.ended(Done(FAILED, "no demand"), 5.0, lease_held=True)
    told.ended(Done(STANDBY, "other has it", demand_age_s=3.0), 6.0, lease_held=False)
    text = exposition(told).decode()
    assert 'gslb_dispatch_rounds_total{outcome="failed"} 1.0' in text
    assert 'gslb_dispatch_rounds_total{outcome="published"} 0.0' in text
    assert "gslb_dispatch_last_success_timestamp_seconds 0.0" in text
    assert "gslb_dispatch_demand_age_seconds 3.0" in text
    assert "gslb_dispatch_plan_info" not in text


@pytest.mark.parametrize(
    ("last", "path", "code", "text"),
    [
        (None, "/livez", 200, "ok\n"),
        (None, "/readyz", 503, "no round has ended yet\n"),
        (Done(FAILED, "no demand"), "/readyz?x", 503, "the last round failed: no demand\n"),
        (Done(STANDBY, "other"), "/readyz", 200, "standby\n"),
        (Done(PUBLISHED), "/readyz", 200, "published\n"),
        (None, "/", 404, "not found\n"),
    ],
)
def test_pages(last: Done | None, path: str, code: int, text: str) -> None:
    told = Told(last=last)
    with serving(("127.0.0.1", 0), lambda path: page.reply(path, told)) as port:
        asked = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        asked.request("GET", path)
        reply = asked.getresponse()
        assert (reply.status, reply.read().decode()) == (code, text)
        asked.close()


def test_a_port_that_is_taken_is_told() -> None:
    def nothing(path: str) -> tuple[int, str, bytes]:
        raise AssertionError(path)

    with (
        serving(("127.0.0.1", 0), nothing) as port,
        pytest.raises(GslbError, match=f"127.0.0.1 port {port}: metrics cannot be told there"),
        serving(("127.0.0.1", port), nothing),
    ):
        raise AssertionError
    with serving(None, nothing) as port:
        assert port == 0


def test_a_comparison_tells_who_moves_where() -> None:
    former = Plan(
        "v1",
        rows=(
            row("DE", 99, ("a", HALF), ("b", PLAN_SUM - HALF)),
            row("FR", 100, ("a", PLAN_SUM)),
            row("IT", 100, ("a", PLAN_SUM)),
        ),
    )
    later = Plan(
        "v2", rows=(row("DE", 1000, ("a", PLAN_SUM)), row("FR", 100, ("a", PLAN_SUM)), row("ES", 1, ("c", PLAN_SUM)))
    )
    found = difference(former, later)
    assert (found.former, found.later, found.demand_bps, found.moved_bps) == ("v1", "v2", 1101, 500)
    assert (found.added, found.gone) == (1, 1)
    assert found.edges == {"a": (600, 1100), "b": (500, 0)}
    assert [(each.key[1], round(each.moved_bps)) for each in found.groups] == [("DE", 500)]
    assert difference(later, later).groups == ()
    assert dataclasses.asdict(found)["groups"][0]["after"] == {"a": 1.0}


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    check_installed()
    monkeypatch.setattr(solver, "NEEDED", ("numpy", "no_such_solver"))
    with pytest.raises(GslbError, match=re.escape("no_such_solver cannot be imported: install gslb[dispatch]")):
        check_installed()
    assert np.__version__


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("memory://", "no store to publish to: "),
        ("http://127.0.0.1:1", r"the admin token .*/admin\.token: No such file or directory; set GSLB_ADMIN_TOKEN"),
    ],
)
async def test_a_store_that_cannot_be_one_is_told(tmp_path: Path, url: str, told: str) -> None:
    with pytest.raises(GslbError, match=told):
        async with linked(url, "", tmp_path):
            raise AssertionError


async def test_who_publishes_nothing_needs_no_store(tmp_path: Path) -> None:
    async with linked("memory://", "", tmp_path, dry=True) as link:
        assert await link.state(["fra-1"]) == StoreState()
        assert await link.writer.plan_versions() == ()
