"""From what edges say they served to bits by minute, service and view."""

from __future__ import annotations

from typing import Final

import ibis

from gslb.model import records
from gslb.tables import leaving
from gslb.tables.places import located
from gslb.tables.queries import FIRST_TIME_S, MAX_AHEAD_S
from gslb.tables.schemas import Table
from gslb.tables.shaping import CLIENT, MINUTE_S, VIEW, Kept, beyond, hashed, one_of_each, shaped, split, uncut

REASONS: Final = ("null", "time", "client", "number", "service", "edge")
"""Why a row is rejected, by what is wrong with it; of several the first."""

MAX_LABELS: Final = 128
_KEY: Final = ("minute_s", "edge", "service", *CLIENT)
_LIMITS: Final = {"bytes": (0, 1 << 50), "sessions_started": (0, 1 << 40)}  # 150 Tbps for a minute


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
    tests = (
        null,
        time,
        uncut(rows, CLIENT),
        beyond(rows, _LIMITS),
        rows.known_service.isnull(),
        rows.known_edge.isnull(),
    )
    return rows.select(*records.DELIVERIES, reject=ibis.cases(*zip(tests, REASONS, strict=True), else_=""))


def doubled(deliveries: Table) -> Table:
    """Numbers (``alike``) of minutes, edges, services and clients of which there is more than one row, and hardly of
    others."""
    keys = deliveries.select(alike=hashed(deliveries, _KEY))
    keys = keys.group_by("alike").agg(rows=keys.count())
    return keys.filter(keys["rows"] > 1).select("alike")


def excess(judged: Table, again: Table) -> Table:
    """Of rows with their verdicts those that do not count, with the ``reject`` of each. Of those of one minute, edge,
    service and client, of which `doubled` tells (``again``), the one with most bytes counts, of equals that with the
    most sessions, of equals the first that came in: an edge that sends a minute again sends it whole, and more of it.
    The others are a `leaving.DUPLICATE`."""
    found = leaving.suspects(judged.mutate(alike=hashed(judged, _KEY)), again, ["alike"])
    order = [found["bytes"].desc(), found.sessions_started.desc(), found.received_s]
    return leaving.excess(found, _KEY, order, list(records.DELIVERIES))


def delivered(deliveries: Table, left_out: Table | None, places: Table, hosts: Table, *, kept: Kept) -> Table:
    """`DELIVERED`: bytes by minute, edge, service and view, of all rows but those of ``left_out``, each of which is one
    of them. Those of no known service are left out. The rows should be kept: they are read more than once."""
    known = hosts.select("host", own="service")
    rows = leaving.signed(deliveries, left_out, "minute_s", "edge", "service", *CLIENT, *_LIMITS)
    named = rows.join(known, rows.service == known.host)
    sums = {name: leaving.counted(named, name, limits) for name, limits in _LIMITS.items()}
    named = named.select("minute_s", "edge", *CLIENT, "sign", service="own", **sums)
    there = located(named, places, kept)
    found = there.group_by("minute_s", "edge", "service", *VIEW).agg(
        bytes=there["bytes"].sum(), sessions_started=there.sessions_started.sum(), clients=there.sign.sum()
    )
    return shaped(found.filter(found.clients > 0), records.DELIVERED)
