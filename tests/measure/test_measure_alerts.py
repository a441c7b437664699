"""The sample alerts of measuring: each fires in its case and in no other, and asks for metrics that there are."""

from __future__ import annotations

from pathlib import Path

from gslbtest.alerts import DEPLOY, each_fires_in_its_case_alone, exposed, unit_is_sound

from gslb.measure.metrics import Told, exposition

ALERTS = DEPLOY / "alerts-measure.yml"
A = {"instance": "a"}
WELL = {
    'gslb_measure_age_seconds{instance="a",table="demand"}': "600",
    'gslb_measure_age_seconds{instance="a",table="demand_live"}': "100",
    'gslb_measure_runs_total{instance="a",outcome="ok"}': "0+1",
    'gslb_measure_runs_total{instance="a",outcome="failed"}': "0",
    'gslb_measure_lease_held{instance="a"}': "1",
    'gslb_measure_lease_held{instance="b"}': "0",
    'gslb_measure_reports_lost_total{instance="a"}': "5",
    'gslb_measure_refused_files_total{instance="a",source="queries"}': "1",
}
CASES: dict[str, tuple[dict[str, str], dict[str, dict[str, str]]]] = {
    "well": ({}, {}),
    "without a store": ({'gslb_measure_lease_held{instance="a"}': "0"}, {}),
    "late": ({'gslb_measure_age_seconds{instance="a",table="demand"}': "700"}, {"GslbMeasureDemandLate": {}}),
    "live is late": (
        {'gslb_measure_age_seconds{instance="a",table="demand_live"}': "200"},
        {"GslbMeasureLiveLate": {}},
    ),
    "runs fail": (
        {'gslb_measure_runs_total{instance="a",outcome="failed"}': "0+0.25"},
        {"GslbMeasureFailing": A | {"outcome": "failed"}},
    ),
    "nobody works": (
        {
            'gslb_measure_lease_held{instance="a"}': "0",
            'gslb_measure_runs_total{instance="a",outcome="ok"}': "7",
        },
        {"GslbMeasureNobodyLeads": {}},
    ),
    "reports are lost": ({'gslb_measure_reports_lost_total{instance="a"}': "0+1"}, {"GslbMeasureReportsLost": A}),
    "files are refused": (
        {'gslb_measure_refused_files_total{instance="a",source="queries"}': "0+1"},
        {"GslbMeasureRefused": A | {"source": "queries"}},
    ),
}


def test_each_fires_in_its_case_alone(tmp_path: Path) -> None:
    each_fires_in_its_case_alone(ALERTS, "gslb-measure", WELL, CASES, tmp_path)


def test_the_metrics_are_sound_and_all_that_is_asked_for_is_there() -> None:
    told = Told(demand_until_s=1, live_until_s=1, seconds={"gold": 1.0}, table_bytes={"demand": 5})
    told.received.replies[200] += 1
    text = exposition(told, 5.0)
    exposed(text, ALERTS)


def test_the_unit_is_sound(tmp_path: Path) -> None:
    unit_is_sound("gslb-measure.service", tmp_path)
