"""Metrics of what is true this minute: the store, each edge, each service. Labels are ids of edges, names of services
and of levels as the files have them, never what somebody asked for, and never a service with an edge."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from gslb.model.override import KINDS
from gslb.policy.override import STATES, state_of
from gslb.server.live import EdgeLive, Served, ServiceLive, Tables
from gslb.server.status import Live, Status
from gslb.snapshot import acceptance

HEALTH: Final = {"down": 0, "up": 1, "unknown": 2, "drain": 3}
"""How `gslb_edge_health` says a word."""
MAX_SERVICES: Final = 1000
"""Services with metrics of their own, the first by name; all are in `gslb_services_failing_open`."""


class Moment(NamedTuple):
    """What answers, its tables, and how answers of the last minute were spread over edges."""

    served: Served
    tables: Tables
    drawn: Mapping[str, float]


def of_store(status: Status) -> Iterator[Metric]:
    """The store, as the server sees it."""
    store = status.live
    yield _gauge("gslb_store_connected", "1 while the store can be reached.", float(store.connected))
    yield _gauge("gslb_state_age_seconds", "How long the store has been away; 0 while it is there.", store.age_s)
    yield _gauge("gslb_store_faults", "Keys of the store that cannot be read.", len(store.faults))
    lag_s = max(0.0, (store.clock_ms - store.now_ms) / 1000) if store.now_ms else 0.0
    yield _gauge("gslb_store_time_lag_seconds", "How long ago by the store's clock its newest entry was made.", lag_s)
    yield _gauge(
        "gslb_state_not_saved", "1 while the state could not be written to disk.", float(bool(store.not_saved))
    )
    yield _gauge("gslb_state_saved_timestamp_seconds", "When the state was last written to disk.", store.saved_s)
    yield from _plans(store)


def _plans(store: Live) -> Iterator[Metric]:
    """Plans as they come: how old the newest is that was accepted, and which are refused."""
    age = GaugeMetricFamily(
        "gslb_plan_age_seconds", "How long ago, by this server's clock, the newest accepted plan was issued."
    )
    if store.plan_age_s is not None:
        age.add_metric((), store.plan_age_s)
    yield age
    refused = CounterMetricFamily("gslb_plan_refused", "Plans that were refused, by why.", labels=("reason",))
    for reason in acceptance.REASONS:
        refused.add_metric((reason,), store.plan_refusals.get(reason, 0))
    yield refused
    info = _labelled(
        "gslb_plan_refused_info", "The plan in the store that may not count: the former holds.", "version", "reason"
    )
    for each in store.plan_refused:
        info.add_metric((each.version, each.reason), 1)
    yield info


def of_moment(moment: Moment) -> Iterator[Metric]:
    """Edges, services, overrides and the plan."""
    yield from _edges(moment.tables.edges(), moment.drawn)
    yield from _services(moment.tables.services())
    yield from _overrides(moment.served)
    yield from _plan(moment.served)


def _edges(edges: Sequence[EdgeLive], drawn: Mapping[str, float]) -> Iterator[Metric]:
    health = _labelled(
        "gslb_edge_health", "Health as answers see it: 0 down, 1 up, 2 unknown, 3 drained.", "edge", "family"
    )
    age = _labelled("gslb_edge_report_age_seconds", "Age of the edge's report in store time.", "edge")
    headroom = _labelled("gslb_edge_headroom_ratio", "Part of its weight that its load leaves.", "edge")
    ramp = _labelled("gslb_edge_ramp_ratio", "Part of its weight that slow start and overrides leave.", "edge")
    meant = _labelled(
        "gslb_edge_computed_share", "Part of the known clients that weights give it, mean of services.", "edge"
    )
    counted = _labelled("gslb_edge_drawn_share", "Part of the last minute's answers that named it first.", "edge")
    held = _labelled(
        "gslb_edge_silence_held", "1 while silent with much of its continent, and believed to live.", "edge"
    )
    for each in edges:
        for family, word in (("ipv4", each.health_v4), ("ipv6", each.health_v6)):
            if word:
                health.add_metric((each.edge, family), HEALTH[word])
        if each.age_s is not None:
            age.add_metric((each.edge,), each.age_s)
        headroom.add_metric((each.edge,), each.headroom_milli / 1000)
        ramp.add_metric((each.edge,), each.ramp_milli / 1000)
        meant.add_metric((each.edge,), each.share)
        counted.add_metric((each.edge,), drawn.get(each.edge, 0.0))
        held.add_metric((each.edge,), float(each.held))
    yield from (health, age, headroom, ramp, meant, counted, held)
    yield _gauge("gslb_edges_reported", "Edges that have ever reported.", sum(each.reported for each in edges))


def _services(services: Sequence[ServiceLive]) -> Iterator[Metric]:
    levels = _labelled(
        "gslb_service_level_share",
        "Part of the known clients that edges of this level, a plan or a pin answer.",
        "service",
        "level",
    )
    opened = _labelled(
        "gslb_service_fail_open_ratio",
        "Part of the known clients that are answered although nothing is healthy.",
        "service",
    )
    none = _labelled(
        "gslb_service_no_edge_ratio",
        "Part of the known clients that get no edge although the pool has one for them.",
        "service",
    )
    for each in itertools.islice(services, MAX_SERVICES):
        for level, share in each.level_shares:
            levels.add_metric((each.service, level), share)
        opened.add_metric((each.service,), each.fail_open)
        none.add_metric((each.service,), each.no_edge)
    yield from (levels, opened, none)
    yield _gauge(
        "gslb_services_failing_open",
        "Services that fail open for a client.",
        sum(each.fail_open > 0 for each in services),
    )


def _overrides(served: Served) -> Iterator[Metric]:
    counts = Counter((each.kind, state_of(each, served.now_ms // 1000)) for each in served.state.overrides.values())
    found = _labelled(
        "gslb_overrides", "Overrides that are kept, by whether they are to come, act or have ended.", "kind", "state"
    )
    for pair in itertools.product(KINDS, STATES):
        found.add_metric(pair, counts[pair])
    yield found


def _plan(served: Served) -> Iterator[Metric]:
    plan = served.state.plan
    info = _labelled("gslb_plan_info", "The published plan that counts, or did until it ended.", "version")
    if plan is not None:
        info.add_metric((plan.version,), 1)
    yield info
    note = served.steering.note
    yield _gauge("gslb_plan_acting", "1 while a plan gives weights, in full or fading.", float(bool(note.get("plan"))))
    yield _gauge(
        "gslb_plan_faded_ratio", "Part of the plan that has passed into local policy.", float(note.get("faded", 0.0))
    )
    yield _gauge(
        "gslb_plan_hold_until_timestamp_seconds", "Until when the plan counts in full; 0 without one.",
        plan.hold_until_ms / 1000 if plan else 0.0,
    )  # fmt: skip
    yield _gauge("gslb_plan_rows", "Rows of the plan.", len(plan.rows) if plan else 0)
    skipped = float(note.get("skipped", 0))
    yield _gauge("gslb_plan_rows_skipped", "Rows of the plan that cannot be used here.", skipped)


def _labelled(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=labels)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)
