"""From what edges say they served to bits by minute, service and view."""

from __future__ import annotations

from typing import Final

import ibis

from gslb.model import records
from gslb.tables.places import located
from gslb.tables.queries import FIRST_TIME_S, MAX_AHEAD_S
from gslb.tables.schemas import Table
from gslb.tables.shaping import CLIENT, MINUTE_S, VIEW, Kept, one_of_each, shaped, split, uncut

REASONS: Final = ("null", "time", "client", "number", "service", "edge")
"""Why a row is rejected, by what is wrong with it; of several the first."""

MAX_LABELS: Final = 128
_KEY: Final = ("minute_s", "edge", "service", *CLIENT)
_MAX_BYTES: Final = 1 << 50  # 150 Tbps for a minute


def hosts_of(deliveries: Table, services: Table) -> Table:
    """The distinct hosts (``host``, as it stands there) that lie at or below a service, with the nearest ``service``:
    of a name itself, else of the fewest labels up, there ``*`` before the name without."""
    hosts = deliveries.select(host="service").distinct()
    hosts = hosts.filter(hosts.host.notnull())
    lower = hosts.host.lower()
    hosts = hosts.mutate(name=lower.endswith(".").ifelse(lower, lower + "."))
    labels = split(hosts.name, ".").length() - 1
    ups = hosts.mutate(up=ibis.range(0, ibis.least(labels, MAX_LABELS)).unnest())
    ups = ups.mutate(suffix=split(ups.name, ".")[ups.up :].join("."), up=ups.up.cast("int64"))
    names = services.select("service").distinct()
    wild = names.filter(names.service.startswith("*."))
    below = wild.mutate(suffix=wild.service.substr(2), kind=ibis.literal(0, "int64"))
    above = names.mutate(suffix=names.service, kind=ibis.literal(1, "int64"))
    points = below.union(above)
    found = ups.join(points, "suffix")
    found = found.filter((found.up > 0) | (found.kind == 1))
    return one_of_each(found, ["host"], [found.up, found.kind, found.service]).select("host", "service")


def verdicts(deliveries: Table, hosts: Table, edges: Table) -> Table:
    """The rows with a column ``reject``: empty, or one of `REASONS`. ``hosts`` are `hosts_of` these rows at least."""
    known = hosts.select("host", known_service="service")
    ids = edges.select(known_edge="edge").distinct()
    rows = deliveries.left_join(known, deliveries.service == known.host)
    rows = rows.left_join(ids, rows.edge == ids.known_edge)
    null = ibis.or_(*(rows[name].isnull() for name in records.DELIVERIES))
    time = (
        (rows.minute_s < FIRST_TIME_S)
        | (rows.minute_s % MINUTE_S != 0)
        | (rows.minute_s > rows.received_s + MAX_AHEAD_S)
    )
    number = ibis.or_(
        rows["bytes"] < 0, rows["bytes"] > _MAX_BYTES, rows.sessions_started < 0, rows.sessions_started > 1 << 40
    )
    tests = (null, time, uncut(rows, CLIENT), number, rows.known_service.isnull(), rows.known_edge.isnull())
    return rows.select(*records.DELIVERIES, reject=ibis.cases(*zip(tests, REASONS, strict=True), else_=""))


def deduplicated(deliveries: Table) -> Table:
    """One row per minute, edge, service and client: the one with the most bytes, of equals that with the most sessions,
    of equals the first that came in. An edge that sends a minute again sends it whole, and more of it."""
    order = [deliveries["bytes"].desc(), deliveries.sessions_started.desc(), deliveries.received_s]
    return one_of_each(deliveries, _KEY, order)


def delivered(deliveries: Table, places: Table, hosts: Table, *, kept: Kept) -> Table:
    """`DELIVERED`: bytes by minute, edge, service and view, of rows that are there once each. Those of no known service
    are left out."""
    known = hosts.select("host", own="service")
    named = deliveries.join(known, deliveries.service == known.host)
    named = named.select("minute_s", "edge", *CLIENT, "bytes", "sessions_started", service="own")
    there = located(named, places, kept)
    found = there.group_by("minute_s", "edge", "service", *VIEW).agg(
        bytes=there["bytes"].sum(), sessions_started=there.sessions_started.sum(), clients=there.count()
    )
    return shaped(found, records.DELIVERED)
