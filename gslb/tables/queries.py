"""From the query log to questions by minute, and to who asks behind which resolver.

Rows are many, and those that do not count are few: these are found first (`numbers`, `suspects`, `excess`), and what is
summed up is summed up over all rows and less these. Rows are scanned for each step rather than kept: of a columnar file
a scan reads only what it needs.
"""

from __future__ import annotations

from typing import Final

import ibis

from gslb.model import records
from gslb.tables import caching, leaving
from gslb.tables.places import located
from gslb.tables.schemas import Table
from gslb.tables.shaping import (
    CLIENT,
    MINUTE_S,
    RESOLVER,
    beyond,
    bit,
    bit_or,
    instant,
    packed,
    parted,
    shaped,
    start_of,
    start_s,
    uncut,
    unpacked,
)

NULL: Final = "null"
REASONS: Final = (NULL, "time", "identity", "client", "resolver", "view", "number", "service", "edge")
"""Why a row is rejected, by what is wrong with it; of several the first."""

FIRST_TIME_S: Final = 1_577_836_800  # 2020-01-01: no server kept a log before
MAX_AHEAD_S: Final = 300
"""How far a server's clock may be ahead of ours, in seconds."""

BLOCK: Final = 32
"""Numbers of a block: as many as make few blocks, and so few that of scattered duplicates most blocks have none."""

_KEY: Final = ("server", "boot_id", "seq")
_BLOCK: Final = ("server", "boot_id", "block")
_ADDRESS_TYPES: Final = (1, 28)  # A, AAAA
_LIMITS: Final = {
    "qname_crc": (0, 0xFFFFFFFF),
    "qtype": (0, 0xFFFF),
    "rcode": (0, 0xFFF),
    "level": (-1, 0xFF),
    "scope": (0, 128),
    "ttl_s": (0, 0x7FFFFFFF),
    "weight": (1, 1 << 20),
}


def verdicts(queries: Table, services: Table, edges: Table, *, now_s: int | None = None) -> Table:
    """The rows with a column ``reject``: empty, or one of `REASONS`. ``now_s`` says what is in the future, in seconds
    since 1970."""
    names = services.select(known_service="service").distinct()
    ids = edges.select(known_edge="edge").distinct()
    rows = queries.left_join(names, queries.service == names.known_service)
    rows = rows.left_join(ids, rows.edge == ids.known_edge)
    null = ibis.or_(*(rows[name].isnull() for name in records.QUERIES))
    time = rows.time < instant(FIRST_TIME_S)
    if now_s is not None:
        time |= rows.time > instant(now_s + MAX_AHEAD_S)
    identity = (rows.server == "") | (rows.boot_id.length() != 16) | (rows.seq < 1)
    view = ~rows["view"].like("%|%|%") | rows["view"].like("%|%|%|%")
    number = beyond(rows, _LIMITS)
    service = (rows.service != "") & rows.known_service.isnull()
    edge = (rows.edge != "") & (rows.known_edge.isnull() | (rows.service == ""))
    tests = (null, time, identity, uncut(rows, CLIENT), uncut(rows, RESOLVER), view, number, service, edge)
    reject = ibis.cases(*zip(tests, REASONS, strict=True), else_="")
    return rows.select(*records.QUERIES, reject=reject)


def numbers(queries: Table) -> Table:
    """Which numbers of each boot are there: by server, boot_id and ``block`` of 32 numbers that follow each other the
    ``rows``; ``bits``, in which each number that is there sets its bit; and ``total``, the sum of the bits of all rows,
    which is the same unless a number is there again."""
    rows = _blocked(queries)
    own = bit(rows.seq & (BLOCK - 1))
    return rows.group_by(*_BLOCK).agg(bits=bit_or(own), total=own.sum(), rows=rows.count())


def counted(found: Table) -> Table:
    """Of all `numbers` together: ``rows``, and blocks that are ``doubted``."""
    again = (found.total != found.bits).fill_null(False)  # rows without a number have no bits
    return found.agg(rows=found.rows.sum().fill_null(0), doubted=again.cast("int64").sum().fill_null(0))


def doubted(found: Table) -> Table:
    """Of the blocks of `numbers` those in which a number is there again: server, boot_id and block."""
    return found.filter(found.total != found.bits).select(*_BLOCK)


def suspects(judged: Table, blocks: Table | None) -> Table:
    """Of rows with their verdicts those that are rejected, and all of ``blocks``, the `doubted` ones, if there are any:
    these are ``again``."""
    return leaving.suspects(_blocked(judged), blocks, _BLOCK)


def excess(found: Table) -> Table:
    """Of `suspects` the rows that do not count, with the ``reject`` of each: of rows with the same server, boot_id and
    seq all but one, the same one whatever the order in which rows come, are a `leaving.DUPLICATE`."""
    rest = [found[name] for name in records.QUERIES if name not in _KEY]
    return leaving.excess(found, _KEY, rest, list(records.QUERIES))


def answered(queries: Table, left_out: Table | None = None) -> Table:
    """Questions for addresses that an edge was answered to, by all rows but those of ``left_out``, each of which is one
    of them: by ``service, edge, view, minute_s, ecs`` and name (``qname_crc``) the ``questions``, the ``rows``, and the
    sum of their TTLs, ``ttl_s``."""
    columns = ("service", "edge", "view", "time", "client_family", "qtype", "rcode", "qname_crc", "ttl_s")
    rows = _counted(queries, left_out, *columns)
    rows = rows.filter(rows.qtype.isin(_ADDRESS_TYPES), rows.service != "", rows.rcode == 0, rows.edge != "")
    ecs = (rows.client_family != 0).cast("int64")
    ttl_s = leaving.counted(rows, "ttl_s", _LIMITS["ttl_s"])
    found = rows.group_by("service", "edge", "view", "qname_crc", minute_s=start_of(rows.time, MINUTE_S), ecs=ecs).agg(
        questions=rows.weight.sum(), rows=rows.sign.sum(), ttl_s=ttl_s.sum()
    )
    return found.filter(found.rows > 0)


def asked(found: Table, pairs: Table) -> Table:
    """`ASKED`, by what was `answered`, and by who asked (`pairs`). Both are read more than once."""
    told = found.filter(found.ecs == 1)
    names = told.group_by("service", "view", "qname_crc", slice_s=start_s(told.minute_s, records.SLICE_S)).agg(
        questions=told.questions.sum(), rows=told.rows.sum(), ttl_s=told.ttl_s.sum().cast("float64")
    )
    names = names.mutate(ttl_s=names.ttl_s / names.rows.cast("float64"))
    entries = pairs.group_by("slice_s", "view").agg(entries=pairs.count())
    unheard = caching.arrivals(names, entries).mutate(ecs=ibis.literal(1, "int64"))
    rows = found.group_by("service", "edge", "view", "minute_s", "ecs").agg(
        questions=found.questions.sum(), rows=found.rows.sum()
    )
    rows = rows.mutate(slice_s=start_s(rows.minute_s, records.SLICE_S))
    rows = rows.left_join(unheard, ["slice_s", "service", "view", "ecs"])
    arrivals = rows.questions.cast("float64") * rows.arrivals.fill_null(1.0)
    rows = rows.select("service", "edge", "view", "minute_s", "ecs", "questions", "rows", arrivals=arrivals)
    return shaped(rows.mutate(**parted(rows["view"])), records.ASKED)


def pairs(queries: Table, left_out: Table | None = None) -> Table:
    """Which clients asked behind which resolvers for addresses of a service, by the same rows: ``slice_s``, both
    networks `packed`, the ``view`` that servers took the client to be in, and ``questions``."""
    rows = _counted(queries, left_out, "service", "view", "time", *CLIENT, *RESOLVER, "qtype")
    rows = rows.filter(
        rows.qtype.isin(_ADDRESS_TYPES), rows.service != "", rows.client_family != 0, rows.resolver_family != 0
    )
    slice_s = start_of(rows.time, records.SLICE_S)
    resolver, client = packed(rows, RESOLVER), packed(rows, CLIENT)
    found = rows.group_by("view", slice_s=slice_s, resolver=resolver, client=client).agg(
        questions=rows.weight.sum(), rows=rows.sign.sum()
    )
    return found.filter(found.rows > 0).drop("rows")


def behind(found: Table, places: Table) -> Table:
    """`BEHIND`: `pairs` with the places of their clients."""
    rows = found.group_by("slice_s", "resolver", "client").agg(questions=found.questions.sum())
    rows = rows.mutate(**unpacked(rows.client, CLIENT), **unpacked(rows.resolver, RESOLVER))
    return shaped(located(rows.drop("client", "resolver"), places), records.BEHIND)


def _counted(queries: Table, left_out: Table | None, *columns: str) -> Table:
    """Rows to be summed up, each with its ``sign`` and a ``weight`` of that sign; one that cannot be is 0."""
    rows = leaving.signed(queries, left_out, *columns, "weight")
    return rows.mutate(weight=leaving.counted(rows, "weight", _LIMITS["weight"]))


def _blocked(queries: Table) -> Table:
    """The rows with their block."""
    return queries.mutate(block=queries.seq >> ibis.literal(BLOCK.bit_length() - 1, "int32"))
