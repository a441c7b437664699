"""What events.yaml means. What is refused stands in tests/zone/bad/9-dispatch.txt."""

from __future__ import annotations

import pytest

from gslb.model.events import Events, Maintenance, Stream
from gslb.zone.check import check

FILES = {
    "zones/edges.yaml": b"""\
edges:
  e1: {pop: fra, addresses: {v4: 192.0.2.1, v6: "2001:db8::1"}, location: {country: DE, lat: 50.1, lon: 8.7}}
  e2: {pop: lhr, addresses: {v4: 192.0.2.2}, location: {country: GB, lat: 51.5, lon: 0}}
""",
    "zones/isps.yaml": b"isps: {ct: {asns: [4134]}}",
    "zones/base.yaml": b"""\
zone: base.example.
records: {"@": {NS: ns.other.example.}}
services: {pull: {pool: p}}
pools: {p: {e1: 1, e2: 1}}
""",
}
TIMES = "from: 2026-01-01T00:00:00Z, until: 2026-01-01T02:00:00+01:00"
FROM_S, UNTIL_S = 1767225600, 1767229200


def events_of(text: str) -> Events:
    found = check({**FILES, "zones/events.yaml": text.encode()})
    assert found.findings.errors == found.findings.warnings == []
    assert found.intent is not None
    return found.intent.events


def test_no_file_is_no_event() -> None:
    intent = check(FILES).intent
    assert intent is not None
    assert intent.events == Events() == events_of("streams: ")


STREAMS = [
    ("service: pull.base.example.", {}),
    ("service: PULL.Base.example", {}),
    ("service: pull.base.example., ramp: 5m", {"ramp_s": 300}),
    ("service: pull.base.example., view: ", {}),
    ("service: pull.base.example., view: {country: de}", {"country": "DE"}),
    ("service: pull.base.example., view: {country: no, region: 03}", {"country": "NO", "region": "03"}),
    ("service: pull.base.example., view: {isp: ct}", {"isp": "ct"}),
    ("service: pull.base.example., view: {isp: as4134}", {"isp": "ct"}),
    ("service: pull.base.example., view: {isp: AS64500}", {"isp": "AS64500"}),
]


@pytest.mark.parametrize(("keys", "fields"), STREAMS)
def test_streams(keys: str, fields: dict[str, str | int]) -> None:
    wanted = Stream("final", "pull.base.example.", FROM_S, UNTIL_S, 2 * 10**12, **fields)  # type: ignore[arg-type]  # by name
    assert events_of(f"streams: [{{name: final, demand: 2Tbps, {TIMES}, {keys}}}]") == Events(streams=(wanted,))


WINDOWS = [
    ("edge: e1", Maintenance("work", "e1", "", FROM_S, UNTIL_S, 1800)),
    ("pop: lhr, drain: 1h", Maintenance("work", "", "lhr", FROM_S, UNTIL_S, 3600)),
    ("pop: fra, drain: 0", Maintenance("work", "", "fra", FROM_S, UNTIL_S, 0)),
]


@pytest.mark.parametrize(("keys", "window"), WINDOWS)
def test_maintenance(keys: str, window: Maintenance) -> None:
    assert events_of(f"maintenance: [{{name: work, {TIMES}, {keys}}}]") == Events(maintenance=(window,))


def test_a_name_may_stand_in_both_lists_and_the_order_is_the_files() -> None:
    stream = f"service: pull.base.example., demand: 1Gbps, {TIMES}"
    found = events_of(
        f"streams: [{{name: b, {stream}}}, {{name: a, {stream}}}]\nmaintenance: [{{name: a, edge: e1, {TIMES}}}]"
    )
    assert [each.name for each in found.streams] == ["b", "a"]
    assert [each.name for each in found.maintenance] == ["a"]
