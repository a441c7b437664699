"""The sample alerts of dispatchers: each fires in its case and in no other, and asks for metrics that there are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gslbtest.alerts import DEPLOY, each_fires_in_its_case_alone, exposed, promtool, rules_of, unit_is_sound

from gslb.dispatch.metrics import Told, exposition
from gslb.dispatch.rounds import PUBLISHED, Done
from gslb.model.plan import Plan, PlannedEdge, PlanRow
from gslb.plan.optimize import Level, Parts, Solution
from gslb.plan.round import Made, Report

ALERTS = DEPLOY / "alerts-dispatch.yml"
RULES = rules_of(ALERTS)
WELL = {
    'gslb_dispatch_last_success_timestamp_seconds{instance="a"}': "0+15",
    'gslb_dispatch_last_success_timestamp_seconds{instance="b"}': "0",
    'gslb_dispatch_rounds_total{instance="a",outcome="failed"}': "0",
    'gslb_dispatch_round_seconds{instance="a"}': "60",
    'gslb_dispatch_round_seconds{instance="b"}': "60",
    'gslb_dispatch_frozen{instance="a"}': "0",
    'gslb_dispatch_lease_held{instance="a"}': "1",
    'gslb_dispatch_lease_held{instance="b"}': "0",
    'gslb_dispatch_projection_error_total_ratio{instance="a"}': "0.04",
    'gslb_dispatch_demand_bps{instance="a"}': "1000000",
    'gslb_dispatch_overload_bps{instance="a"}': "99",
    'gslb_dispatch_unserved_ratio{instance="a"}': "0",
    'gslb_dispatch_pop_shortfalls{instance="a"}': "0",
}
A = {"instance": "a"}
LATE = {'gslb_dispatch_last_success_timestamp_seconds{instance="a"}': "0"}
CASES: dict[str, tuple[dict[str, str], dict[str, dict[str, str]]]] = {
    "well": ({}, {}),
    "no plan comes": (LATE, {"GslbDispatchNoPlan": {}}),
    "and is not to": (LATE | {'gslb_dispatch_frozen{instance="a"}': "1"}, {}),
    "and rounds are long": (
        {
            'gslb_dispatch_last_success_timestamp_seconds{instance="a"}': "2000",
            'gslb_dispatch_round_seconds{instance="a"}': "600",
        },
        {},
    ),
    "rounds fail": (
        {'gslb_dispatch_rounds_total{instance="a",outcome="failed"}': "0+0.25"},
        {"GslbDispatchFailing": A | {"outcome": "failed"}},
    ),
    "nobody leads": ({'gslb_dispatch_lease_held{instance="a"}': "0"}, {"GslbDispatchNobodyLeads": {}}),
    "load is elsewhere": (
        {'gslb_dispatch_projection_error_total_ratio{instance="a"}': "0.06"},
        {"GslbDispatchProjectionOff": A},
    ),
    "overload": ({'gslb_dispatch_overload_bps{instance="a"}': "101"}, {"GslbDispatchOverload": A}),
    "unserved": ({'gslb_dispatch_unserved_ratio{instance="a"}': "0.01"}, {"GslbDispatchUnserved": A}),
    "no spare": ({'gslb_dispatch_pop_shortfalls{instance="a"}': "1"}, {"GslbDispatchNoSpare": A}),
}


def test_each_fires_in_its_case_alone(tmp_path: Path) -> None:
    each_fires_in_its_case_alone(ALERTS, "gslb-dispatch", WELL, CASES, tmp_path)


def test_the_metrics_are_sound_and_all_that_is_asked_for_is_there() -> None:
    told = Told()
    told.ended(Done(PUBLISHED, made=_made(), demand_age_s=1.0), 5.0, lease_held=True)
    text = exposition(told)
    page = (DEPLOY.parent / "docs" / "operations.md").read_text()
    named = {name for name in exposed(text, ALERTS) if name.startswith("gslb_dispatch_")}
    assert {name for name in named if f"`{name}`" not in page} == set()


def test_the_unit_is_sound(tmp_path: Path) -> None:
    unit_is_sound("gslb-dispatch.service", tmp_path)
    promtool("check", "rules", str(ALERTS))


def _made() -> Made:
    none = Level(*(np.zeros(0, np.int64),) * 2, *(np.zeros(0),) * 2)
    nothing = np.zeros(0, np.int64)
    solution = Solution(
        nothing, nothing, none, none, none, none, np.zeros(0), 0, Parts(1.0, 0.0, 0.0, 0.0, 0.0), 1.0, 0.1, 0.1
    )
    plan = Plan("v", rows=(PlanRow("a.", "DE", "", "", (("e", 65535),)),), edges={"e": PlannedEdge(5)})
    return Made(plan, solution, Report(9, 1, 2, 3, 0, 0, (), np.array([0.1]), 0.02))


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_each_says_what_to_do(rule: dict[str, Any]) -> None:
    assert set(rule["annotations"]) == {"summary", "description"}
    assert rule["labels"]["severity"] in ("info", "warning", "critical")
