"""What a watching pipeline tells Prometheus. Labels are bounded: sources, tables, steps, levels and codes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gslb.measure.bronze import SOURCES
from gslb.measure.done import Done
from gslb.measure.follow import Counts
from gslb.measure.quality import LEVELS
from gslb.measure.receiving import Received

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
OK, FAILED, STANDBY = "ok", "failed", "standby"
OUTCOMES: Final = (OK, FAILED, STANDBY)


@dataclass(slots=True)
class Told:
    """What happened so far. `ended` is called after each run, `exposition` from any thread."""

    runs: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)
    duplicates: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    table_bytes: Mapping[str, int] = field(default_factory=dict)
    levels: Mapping[str, int] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    last_success_s: float = 0.0
    demand_until_s: int = 0
    live_until_s: int = 0
    lease_held: bool = False
    fault: str = ""
    followed: Counts = field(default_factory=Counts)
    received: Received = field(default_factory=Received)

    def ended(self, done: Done, now_s: float) -> None:
        """A run ended at ``now_s``, seconds since 1970."""
        self.runs[OK if done.ok else FAILED] += 1
        for source, intake in done.intake.items():
            self.rows[source] += intake.rows
            self.bytes[source] += intake.bytes
            self.rejected[source] += sum(intake.rejected.values())
            self.refused[source] += len(intake.refused)
        for built in done.built:
            self.duplicates[built.source] += built.duplicates
            self.rejected[built.source] += sum(built.rejected.values())
        self.seconds = dict(done.seconds)
        self.demand_until_s, self.live_until_s = done.demand_until_s, done.live_until_s
        if done.ok:
            self.last_success_s = now_s


def exposition(told: Told, now_s: float) -> bytes:
    """All metrics in Prometheus' text form, as of ``now_s``."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Once(told, now_s))
    return generate_latest(registry)


class _Once(Collector):
    def __init__(self, told: Told, now_s: float) -> None:
        self._told = told
        self._now_s = now_s

    def describe(self) -> list[Metric]:
        """Nothing: no other collector shares the registry."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All metrics."""
        told = self._told
        yield _counter("runs", "Runs by what became of them.", "outcome", {each: told.runs[each] for each in OUTCOMES})
        yield _gauge("lease_held", "1 while this process measures.", told.lease_held)
        yield _gauge(
            "last_success_timestamp_seconds",
            "When a run went well last, in seconds since 1970; 0 none yet.",
            told.last_success_s,
        )
        ages = GaugeMetricFamily(
            "gslb_measure_age_seconds", "How long ago the newest bucket of a table ended.", labels=("table",)
        )
        for table, until_s in (("demand", told.demand_until_s), ("demand_live", told.live_until_s)):
            if until_s:
                ages.add_metric((table,), self._now_s - until_s)
        yield ages
        for name, text, counts in (
            ("rows", "Rows that were taken in, duplicates and rejected ones among them.", told.rows),
            ("bytes", "Bytes of files that were taken.", told.bytes),
            ("duplicates", "Rows that were there already.", told.duplicates),
            ("rejected", "Rows that were left out.", told.rejected),
            ("refused_files", "Files that were refused as a whole.", told.refused),
        ):
            yield _counter(name, text, "source", {source: counts[source] for source in SOURCES})
        for name, text, label, values in (
            (
                "gates",
                "Verdicts that hold now, by level.",
                "level",
                {each: told.levels.get(each, 0) for each in LEVELS},
            ),
            ("step_seconds", "How long a step of the last run took.", "step", told.seconds),
            ("table_bytes", "Bytes of a table as it counts now.", "table", told.table_bytes),
        ):
            found = GaugeMetricFamily(f"gslb_measure_{name}", text, labels=(label,))
            for key, value in values.items():
                found.add_metric((key,), value)
            yield found
        yield from _of_reports(told.followed)
        yield from _of_port(told.received)


def _of_reports(counts: Counts) -> Iterator[Metric]:
    for name, text, value in (
        ("reports", "Reports that were read from the store and written.", counts.reports),
        ("reports_rejected", "Entries of the store that cannot be read.", counts.rejected),
        ("reports_lost", "Entries that the store had forgotten before they were read.", counts.lost),
    ):
        yield CounterMetricFamily(f"gslb_measure_{name}", text, value)


def _of_port(received: Received) -> Iterator[Metric]:
    replies = {str(code): count for code, count in sorted(received.replies.items())}
    yield _counter("delivery_replies", "Replies to delivery logs that were sent, by code.", "code", replies)
    for name, text, value in (
        ("delivery_rows", "Rows of them that were taken.", received.accepted),
        ("delivery_rows_rejected", "Rows of them that were not.", received.rejected),
    ):
        yield CounterMetricFamily(f"gslb_measure_{name}", text, value)


def _counter(name: str, text: str, label: str, values: Mapping[str, int]) -> Metric:
    found = CounterMetricFamily(f"gslb_measure_{name}", text, labels=(label,))
    for key, value in values.items():
        found.add_metric((key,), value)
    return found


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"gslb_measure_{name}", text, value)
