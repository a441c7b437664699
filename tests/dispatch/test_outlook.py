"""What a round plans for, of demand and live demand together; and any bytes at all as demand."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from gslbtest.examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from gslb.dispatch import demand, manifest
from gslb.dispatch.outlook import Outlook, look
from gslb.errors import FaultyError
from gslb.geo.isps import IspNames
from gslb.model.dispatch import DispatchRules
from gslb.model.events import Events, Stream
from gslb.plan.forecast import LAST, LIVE
from gslb.plan.problem import GroupKey

T0 = 1_767_225_600
KEY = GroupKey("a.example.", "DE", "", "")
HEADER = "time,service,country,region,isp,demand_bps\n"


def table(path: Path, first_s: int, bucket_s: int, rates: list[int | str]) -> Path:
    lines = [
        f"{datetime.fromtimestamp(first_s + at * bucket_s, UTC).isoformat()},a.example.,DE,,,{bps}\n"
        for at, bps in enumerate(rates)
    ]
    path.write_text(HEADER + "".join(lines))
    return path


def seen(tmp_path: Path, live: list[int | str] | None, now_s: int, rates: list[int | str] | None = None) -> Outlook:
    path = table(tmp_path / "demand.csv", T0, 300, rates or [5_000_000] * 3)
    live_path = table(tmp_path / "live.csv", T0 + 900, 60, live) if live is not None else None
    return look(path, live_path, IspNames([]), {"a.example.": True}, DispatchRules(), Events(), now_s)


GOOD = [
    pytest.param(None, T0 + 960, 5_000_000, LAST, [], id="no live demand"),
    pytest.param([7_000_000] * 2, T0 + 1050, 7_000_000, LIVE, [], id="live demand"),
    pytest.param([7_000_000] * 2, T0 + 1110, 7_000_000, LIVE, [], id="live demand of 90 s ago"),
    pytest.param(
        [7_000_000] * 2,
        T0 + 1111,
        5_000_000,
        LAST,
        ["live.csv:0:0: not used: its newest bucket ended 91 s ago; at most 90 s are taken"],
        id="live demand of 91 s ago",
    ),
]


@pytest.mark.parametrize(("live", "now_s", "bps", "word", "warnings"), GOOD)
def test_what_is_planned_for(
    tmp_path: Path, live: list[int | str] | None, now_s: int, bps: int, word: str, warnings: list[str]
) -> None:
    found = seen(tmp_path, live, now_s)
    assert found.findings.errors == []
    assert [str(each).removeprefix(f"{tmp_path}/") for each in found.findings.warnings] == warnings
    assert found.forecast is not None
    assert found.forecast.keys == (KEY,)
    assert (found.forecast.demand_bps.tolist(), found.forecast.made_of) == ([bps], (word,))
    assert found.forecast.at_s == now_s + 90
    assert found.inputs["demand"].age_s == now_s - T0 - 900
    assert set(found.inputs) == ({"demand"} if live is None else {"demand", "demand_live"})


BAD = [
    pytest.param(None, [5_000_000, "nan"], "demand.csv:3:43: demand_bps: 'nan' is not a number", id="demand"),
    pytest.param([5_000_000, -1], None, "live.csv:3:43: demand_bps: '-1' is negative, or not a number", id="live"),
    pytest.param(
        [5_000_000_000] * 2,
        None,
        "live.csv:0:0: all live demand, 5 Gbps, is 1000 × that of the buckets before",
        id="live beside demand",
    ),
]


@pytest.mark.parametrize(("live", "rates", "reason"), BAD)
def test_what_is_not(tmp_path: Path, live: list[int | str] | None, rates: list[int | str] | None, reason: str) -> None:
    found = seen(tmp_path, live, T0 + 1050, rates)
    assert [str(each).removeprefix(f"{tmp_path}/") for each in found.findings.errors] == [reason]
    assert found.forecast is None


@pytest.mark.parametrize(("planned", "keys"), [(False, [KEY]), (True, [KEY, KEY._replace(service="b.example.")])])
def test_streams_of_services_that_are_not_planned_ask_for_nothing(
    tmp_path: Path, planned: bool, keys: list[GroupKey]
) -> None:
    path = table(tmp_path / "demand.csv", T0, 300, [5_000_000] * 3)
    services = {"a.example.": True, "b.example.": planned}
    events = Events(streams=(Stream("final", "b.example.", T0, T0 + 7200, 9_000_000),))
    found = look(path, None, IspNames([]), services, DispatchRules(), events, T0 + 960)
    assert found.forecast is not None
    assert list(found.forecast.keys) == keys


PIECES = st.sampled_from([
    *HEADER.strip().split(","), ",", "\n", "2026-01-01T00:00:00Z", "2026-01-01T00:05:00Z", "a.example.", "DE",
    "5", "-1", "nan", '"', "\r", " ", "\x00", "é", "PAR1", HEADER, "2026-01-01T00:00:00Z,a.example.,DE,,,5\n",
])  # fmt: skip


@settings(max_examples=examples(200), deadline=None)
@given(text=st.lists(PIECES, max_size=30).map("".join))
def test_any_text_is_demand_or_has_faults(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(text.encode())
    found = look(path, None, IspNames([]), {"a.example.": True}, DispatchRules(), Events(), T0 + 660)
    assert (found.forecast is None) == bool(found.findings.errors)
    if found.forecast is not None:
        assert found.forecast.demand_bps.min() >= 0


@pytest.mark.no_cover
@settings(max_examples=examples(200), deadline=None)
@given(content=st.recursive(st.none() | st.integers() | st.text(), lambda part: st.lists(part), max_leaves=5))
def test_any_value_is_a_manifest_or_has_faults(content: object) -> None:
    written = {"format": 1, "table": "demand", "run": "r", "bucket_s": 300, "from": content, "until": content}
    text = json.dumps(written | {"buckets": content, "files": content}).encode()
    with pytest.raises(FaultyError):
        manifest.read(text, demand.DEMAND, 300)
