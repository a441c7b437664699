"""Rows of the small tables as the answering code reads them: the fields of `layout`, by name."""

from __future__ import annotations

from typing import NamedTuple


class NameRow(NamedTuple):
    """A row of `layout.NAME`."""

    text: int
    zone: int
    length: int
    flags: int
    rrset: int
    rrset_count: int
    pad: int
    service: int
    wildcard: int
    parent_side: int


class RRsetRow(NamedTuple):
    """A row of `layout.RRSET`."""

    rtype: int
    records: int
    blob: int
    length: int
    glue: int
    glue_count: int


class GlueRow(NamedTuple):
    """A row of `layout.GLUE`."""

    name: int
    name_length: int
    blob: int
    length: int
    records: int


class ZoneRow(NamedTuple):
    """A row of `layout.ZONE`."""

    apex: int
    negative: int
    negative_length: int
    brief: int


class EdgeRow(NamedTuple):
    """A row of `layout.EDGE`."""

    hash: int
    id: int
    pop: int
    capacity_bps: int
    capacity_sessions: int
    rr4: int
    rr4_count: int
    rr6: int
    rr6_count: int
    country: int
    region: int
    continent: int
    fence: int
    isps: int
    pad: int


class ServiceRow(NamedTuple):
    """A row of `layout.SERVICE`."""

    name: int
    policy: int
    ttl_s: int
    changing_ttl_s: int
    fallback4: int
    fallback4_count: int
    fallback6: int
    fallback6_count: int
    answers: int
    spread: int
    max_records: int
    hash_len4: int
    hash_len6: int
    flags: int
    pad: int
    max_change: float


class PolicyRow(NamedTuple):
    """A row of `layout.POLICY`."""

    geometry: int
    edge: int
    edge_count: int
    level: int
    classes: int
    row: int
    panic_milli: int
    pool: int
    affinity: int
    flags: int


class GeometryRow(NamedTuple):
    """A row of `layout.GEOMETRY`."""

    row4: int
    row4_count: int
    row6: int
    row6_count: int
    view: int
    classes: int


class EdgeStateRow(NamedTuple):
    """A row of `layout.EDGE_STATE`."""

    verdict4: int
    verdict6: int
    reported: int
    changing: int
    headroom_milli: int
    planned_milli: int
    ramp_milli: int
    age_ms: int
    since_ms: int
    load_bps: int
    capacity_bps: int
    sessions: int
