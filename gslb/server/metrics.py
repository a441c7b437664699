"""Prometheus metrics: the workers' cells are read when somebody scrapes, and cost nothing in between.

Labels are bounded: never a name, a prefix or a client. Check with ``promtool check metrics``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from gslb.server import cells, live_metrics
from gslb.server.durations import Durations
from gslb.server.live_metrics import Moment
from gslb.server.querylog.link import NOTHING, Told
from gslb.server.status import Status

CONTENT_TYPE = CONTENT_TYPE_LATEST


class Scrape(NamedTuple):
    """What there is to tell at one moment: the workers' cells, the cell of each edge, packets lost in sockets, how long
    things took, what is live (None before anything is served), and what the query log on disk comes to."""

    status: Status
    counters: Sequence[memoryview]
    edge_slots: Mapping[str, int]
    drops: int
    reloads: Durations
    steering: Durations
    live: Callable[[], Moment | None]
    query_log: Told = NOTHING


def exposition(scrape: Scrape) -> bytes:
    """All metrics in Prometheus' text form; may be called in a thread."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Once(scrape))
    return generate_latest(registry)


class _Once(Collector):
    """The metrics of one scrape."""

    def __init__(self, scrape: Scrape) -> None:
        self._scrape = scrape

    def describe(self) -> list[Metric]:
        """Nothing: no other collector shares the registry, and to collect at registration would be to do it twice."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All metrics, from the cells of all workers and the status of the control process."""
        scrape = self._scrape
        sums = _Sums(scrape.counters)
        yield from _traffic(sums)
        yield from _edges(sums, scrape.edge_slots)
        yield from _trouble(sums)
        yield _counter(
            "gslb_udp_receive_drops", "Packets lost because a socket's receive buffer was full.", scrape.drops
        )
        yield from _control(scrape.status)
        yield _histogram("gslb_reload_seconds", "How long readings of zones and data took.", scrape.reloads)
        yield _histogram("gslb_steering_build_seconds", "How long steering snapshots took to build.", scrape.steering)
        yield from _query_log(scrape.query_log)
        yield from live_metrics.of_store(scrape.status)
        if moment := scrape.live():
            yield from live_metrics.of_moment(moment)


class _Sums:
    """Cells added up over the workers."""

    def __init__(self, counters: Sequence[memoryview]) -> None:
        self._counters = counters

    def __getitem__(self, at: int) -> int:
        return sum(each[at] for each in self._counters)

    def scalar(self, name: str) -> int:
        return self[cells.SCALAR[name]]


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=value)


def _histogram(name: str, text: str, durations: Durations) -> Metric:
    return HistogramMetricFamily(name, text, buckets=list(durations.buckets()), sum_value=durations.sum_s)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _traffic(sums: _Sums) -> Iterator[Metric]:
    queries = CounterMetricFamily("gslb_queries", "Messages that came in.", labels=("transport", "family", "qtype"))
    for t, transport in enumerate(cells.TRANSPORTS):
        for f, family in enumerate(cells.FAMILIES):
            for q, qtype in enumerate(cells.QTYPE_LABELS):
                if (value := sums[cells.queries_at(t, f) + q]) or qtype in ("A", "AAAA"):
                    queries.add_metric((transport, family, qtype), value)
    yield queries
    replies = CounterMetricFamily(
        "gslb_replies", "Replies sent; rcode dropped where a message got none.", labels=("transport", "rcode")
    )
    for t, transport in enumerate(cells.TRANSPORTS):
        for r, rcode in enumerate(cells.RCODE_LABELS):
            replies.add_metric((transport, rcode), sums[cells.replies_at(t) + r])
    yield replies
    outcomes = CounterMetricFamily("gslb_outcomes", "Replies by what they were made from.", labels=("outcome",))
    for o, outcome in enumerate(cells.OUTCOMES):
        outcomes.add_metric((outcome,), sums[cells.OUTCOME + o])
    yield outcomes


def _edges(sums: _Sums, edge_slots: Mapping[str, int]) -> Iterator[Metric]:
    edges = CounterMetricFamily("gslb_edge_answers", "Answers that named this edge first.", labels=("edge",))
    for edge, slot in edge_slots.items():
        if slot:
            edges.add_metric((edge,), sums[cells.EDGES + slot])
    if other := sums[cells.EDGES]:
        edges.add_metric((cells.OTHER,), other)
    yield edges
    yield _counter("gslb_fail_open_answers", "Answers given although nothing is healthy.", sums.scalar("fail_open"))


def _trouble(sums: _Sums) -> Iterator[Metric]:
    limited = CounterMetricFamily(
        "gslb_rate_limited", "What rate limiting did; counted: a positive answer over the rate.", labels=("action",)
    )
    for row, action in enumerate(cells.LIMITED):
        limited.add_metric((action,), sums[cells.LIMIT + row])
    yield limited
    yield _counter("gslb_udp_compiled", "Messages that the compiled path dealt with by itself.", sums.scalar("fast"))
    missed = CounterMetricFamily(
        "gslb_udp_missed", "Messages that the compiled path left to the reference path.", labels=("reason",)
    )
    for row, reason in enumerate(cells.MISSED):
        missed.add_metric((reason,), sums[cells.MISS + row])
    yield missed
    yield _counter(
        "gslb_udp_missed_dropped", "Of these, dropped because too many waited.", sums.scalar("missed_dropped")
    )
    yield _counter("gslb_engine_errors", "Questions that met a fault of this program.", sums.scalar("engine_errors"))
    yield _counter("gslb_cookies_valid", "Questions with a valid server cookie.", sums.scalar("cookies_valid"))
    yield _counter("gslb_udp_receive_errors", "Failed reads of a UDP socket.", sums.scalar("receive_errors"))
    yield _counter("gslb_udp_send_errors", "UDP replies that could not be sent.", sums.scalar("send_errors"))
    yield _counter("gslb_tcp_connections", "TCP connections accepted.", sums.scalar("tcp_accepted"))
    yield _gauge("gslb_tcp_connections_open", "TCP connections open.", sums.scalar("tcp_open"))
    closed = CounterMetricFamily("gslb_tcp_closed", "TCP connections that we closed, by reason.", labels=("reason",))
    for reason in ("refused_client", "evicted", "idle_closed", "bad_frames"):
        closed.add_metric((reason.removesuffix("_closed"),), sums.scalar(f"tcp_{reason}"))
    yield closed


def _query_log(told: Told) -> Iterator[Metric]:
    yield _counter("gslb_query_log_records", "Records written to segments of the query log.", told.records)
    lost = CounterMetricFamily("gslb_query_log_lost", "Records of the query log that were lost.", labels=("reason",))
    for reason, count in told.lost.items():
        lost.add_metric((reason,), count)
    yield lost
    yield _counter("gslb_query_log_segments", "Segments of the query log written.", told.segments)
    yield _counter("gslb_query_log_bytes", "Bytes of these segments.", told.size)
    yield _counter("gslb_query_log_removed", "Files of the query log removed for want of room.", told.removed)
    yield _counter("gslb_query_log_failures", "Attempts to write the query log that failed.", told.failures)
    yield _gauge("gslb_query_log_failing", "1 while the query log cannot be written.", float(told.failing))
    yield _gauge("gslb_query_log_waiting", "Records that wait to be written.", told.waiting)
    yield _counter("gslb_query_log_restarts", "Deaths of the process that writes the query log.", told.restarts)


def _control(status: Status) -> Iterator[Metric]:
    info = GaugeMetricFamily("gslb_build_info", "Version of this program.", labels=("version",))
    info.add_metric((status.version,), 1)
    yield info
    catalog = GaugeMetricFamily(
        "gslb_catalog_info", "The catalog that answers: the first 16 digits of its generation.", labels=("generation",)
    )
    if status.generation:
        catalog.add_metric((status.generation[:16],), 1)
    yield catalog
    yield _gauge("gslb_catalog_applied_timestamp_seconds", "When the catalog was applied.", status.applied_s)
    yield _gauge("gslb_catalog_zones", "Zones in the catalog.", len(status.zones))
    yield _gauge("gslb_catalog_services", "Services in the catalog.", status.services)
    yield _gauge("gslb_ready", "1 while a snapshot answers and the server is not ending.", float(status.ready))
    reload = status.reload
    results = CounterMetricFamily(
        "gslb_reloads", "Readings of zones and data, by what came of them.", labels=("result",)
    )
    for result, count in sorted(reload.counts.items()):
        results.add_metric((result,), count)
    yield results
    yield _gauge("gslb_reload_failed", "1 while the files on disk have errors.", float(reload.state == "failed"))
    yield _gauge("gslb_reload_pending", "1 while a change waits for apply --force.", float(reload.state == "pending"))
    yield _gauge(
        "gslb_reload_not_remembered",
        "1 while what is served could not be remembered for the next start.",
        float(reload.state == "ok" and bool(reload.errors)),
    )
    yield _gauge("gslb_reload_duration_seconds", "How long the last reload took.", reload.seconds)
    yield _gauge("gslb_reload_timestamp_seconds", "When the last reload ended.", reload.at_s)
    yield _counter("gslb_steering_builds", "Steering snapshots built.", status.steering.builds)
    yield _gauge("gslb_steering_build_duration_seconds", "How long the last one took.", status.steering.seconds)
    yield _gauge("gslb_workers", "Worker processes wanted.", len(status.workers))
    yield _gauge("gslb_workers_answering", "Worker processes that answer.", sum(w.answering for w in status.workers))
    yield _counter(
        "gslb_worker_restarts", "Worker processes that died and were replaced.", sum(w.restarts for w in status.workers)
    )
