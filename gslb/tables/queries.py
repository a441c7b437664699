"""From the query log to questions by minute, and to who asks behind which resolver.

All steps take rows of `QUERIES`. They scan it more than once rather than keep it: of a columnar file each scan reads
only what it needs.
"""

from __future__ import annotations

from typing import Any, Final

import ibis

from gslb.model import records
from gslb.tables.places import located
from gslb.tables.schemas import Table
from gslb.tables.shaping import (
    CLIENT,
    MINUTE_S,
    RESOLVER,
    bit,
    instant,
    one_of_each,
    packed,
    shaped,
    split,
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

_NUMBERED: Final = 8  # numbers of a block: so few that of scattered duplicates most blocks have none
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
    number = ibis.or_(*((rows[name] < low) | (rows[name] > high) for name, (low, high) in _LIMITS.items()))
    service = (rows.service != "") & rows.known_service.isnull()
    edge = (rows.edge != "") & (rows.known_edge.isnull() | (rows.service == ""))
    tests = (null, time, identity, uncut(rows, CLIENT), uncut(rows, RESOLVER), view, number, service, edge)
    reject = ibis.cases(*zip(tests, REASONS, strict=True), else_="")
    return rows.select(*records.QUERIES, reject=reject)


def deduplicated(queries: Table) -> Table:
    """One row per (server, boot_id, seq), the same one whatever the order in which rows come.

    Duplicates are few and rows many, so that only the rows of blocks in which a number is there again are sorted. Those
    who can keep tables keep `doubted` and `settled`, and put the rest together as this does.
    """
    blocks = doubted(queries)
    return undoubted(queries, blocks).union(settled(queries, blocks))


def doubted(queries: Table) -> Table:
    """The blocks of 8 numbers in which one is there again, by server, boot_id and block. That shows in the sum of the
    numbers' bits: it has as many ones as there are rows only if all are different."""
    rows = _blocked(queries)
    own = bit(rows.seq & (_NUMBERED - 1))
    blocks = rows.group_by(*_BLOCK).agg(total=own.sum(), rows=rows.count())
    again = (blocks.total >= 1 << _NUMBERED) | (_ones(blocks.total) != blocks.rows)
    return blocks.filter(again).select(*_BLOCK)


def undoubted(queries: Table, blocks: Table) -> Table:
    """The rows of all blocks but the `doubted` ones."""
    return _blocked(queries).anti_join(blocks, _BLOCK).select(*queries.columns)


def settled(queries: Table, blocks: Table) -> Table:
    """Of the rows of `doubted` blocks one of each number."""
    rows = _blocked(queries).semi_join(blocks, _BLOCK).select(*queries.columns)
    return one_of_each(rows, _KEY, [rows[name] for name in queries.columns if name not in _KEY])


def noted(judged: Table) -> Table:
    """What `asked_of` and `behind_of` need of rows that were judged, and ``reject``: narrow, so that it can be kept.
    ``server, boot_id, seq`` are only of rejected rows."""
    address = judged.qtype.isin(_ADDRESS_TYPES) & (judged.service != "")
    is_bad = judged.reject != ""
    return judged.select(
        "service",
        "edge",
        "view",
        "weight",
        "reject",
        minute_s=start_of(judged.time, MINUTE_S),
        client=packed(judged, CLIENT),
        resolver=packed(judged, RESOLVER),
        address=address,
        answered=address & (judged.rcode == 0) & (judged.edge != ""),
        server=is_bad.ifelse(judged.server, ""),
        boot_id=is_bad.ifelse(judged.boot_id, ""),
        seq=is_bad.ifelse(judged.seq, 0),
    )


def rejected(queries: Table, notes: Table) -> Table:
    """Of rows those that are rejected by ``notes`` (`noted`), with their ``reject``; none of them has nulls."""
    keys = notes.filter(notes.reject != "").select(*_KEY, "reject")
    return queries.join(keys, _KEY).select(*queries.columns, "reject")


def asked(queries: Table) -> Table:
    """`ASKED`: questions for addresses that an edge was answered to, by rows that are good."""
    return asked_of(noted(queries.mutate(reject=ibis.literal(""))))


def asked_of(notes: Table) -> Table:
    """The same by what was `noted`."""
    rows = notes.filter(notes.answered, notes.reject == "")
    found = rows.group_by("service", "edge", "view", "minute_s", ecs=(rows.client != 0).cast("int64")).agg(
        questions=rows.weight.sum(), rows=rows.count()
    )
    parts = split(found["view"] + "||", "|")
    found = found.mutate(country=parts[0], region=parts[1], isp=parts[2])
    return shaped(found, records.ASKED)


def behind(queries: Table, places: Table) -> Table:
    """`BEHIND`: the client prefixes for which resolvers asked for addresses of a service, with their questions, by rows
    that are good."""
    return behind_of(noted(queries.mutate(reject=ibis.literal(""))), places)


def behind_of(notes: Table, places: Table) -> Table:
    """The same by what was `noted`."""
    rows = notes.filter(notes.address, notes.client != 0, notes.resolver != 0, notes.reject == "")
    found = rows.group_by("resolver", "client", slice_s=start_s(rows.minute_s, records.SLICE_S)).agg(
        questions=rows.weight.sum()
    )
    found = found.mutate(**unpacked(found.client, CLIENT), **unpacked(found.resolver, RESOLVER))
    return shaped(located(found.drop("client", "resolver"), places), records.BEHIND)


def _blocked(queries: Table) -> Table:
    """The rows with their block."""
    return queries.mutate(block=queries.seq >> ibis.literal(3, "int32"))


def _ones(bits: Any) -> Any:
    """How many of 8 bits are set, added up in pairs and in fours."""
    pairs = bits - ((bits >> ibis.literal(1, "int32")) & 0x55)
    fours = (pairs & 0x33) + ((pairs >> ibis.literal(2, "int32")) & 0x33)
    return (fours + (fours >> ibis.literal(4, "int32"))) & 0xF
