"""Questions that no server heard, because a cache answered them.

A cache that was told an answer keeps it for its time to live, and asks for nothing meanwhile, as a detector is blind
for a while after each particle that it counts. Of λ questions a second for an entry of a cache servers hear
r = λ / (1 + λ·TTL), so that there were r / (1 − r·TTL): the correction for dead time (Knoll, Radiation Detection and
Measurement, chapter 4, the nonparalyzable model). Where few ask it is next to nothing; in a flash crowd it is a quarter
and more.
"""

from __future__ import annotations

from typing import Final

import ibis

from gslb.model import records
from gslb.tables.schemas import Table

MOST_BUSY: Final = 0.5
"""The part of the time at most that an entry is taken to be kept. Where a resolver is a farm of caches they ask oftener
than one could, and say nothing of what was not heard."""

_KEY: Final = ("slice_s", "service", "view")


def arrivals(names: Table, entries: Table) -> Table:
    """By ``slice_s, service, view`` how many questions with Client Subnet there were for each that was heard,
    ``arrivals``, 1 or more.

    ``names`` are what was heard by ``slice_s, service, view`` and name (``qname_crc``): ``rows`` of the log, the
    ``questions`` that they stand for, and the mean ``ttl_s`` of the answers. ``entries`` are the pairs of a client and
    a resolver, by ``slice_s, view``: a cache keeps a name once for each. All of a view are taken to ask alike.
    """
    found = names.join(entries, ["slice_s", "view"])
    kept_s = found.rows.cast("float64") / found.entries.cast("float64") * found.ttl_s
    questions = found.questions.cast("float64")
    found = found.mutate(heard=questions, all=questions / (1.0 - ibis.least(kept_s / records.SLICE_S, MOST_BUSY)))
    return found.group_by(*_KEY).agg(arrivals=found["all"].sum() / found.heard.sum())
