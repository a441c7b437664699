"""What is known to come: how much scheduled streams add, and what maintenance leaves of the edges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from gslb.model.events import Events, Maintenance, Stream
from gslb.plan.problem import F64, GroupKey, Sites


def maintenance_capacity(events: Events, sites: Sites, now_s: float) -> F64:
    """The part of its capacity that each edge (E,) keeps at ``now_s``: 1, falling to 0 over ``drain_s`` before a window
    in a straight line, 0 within it. Of several windows the one that leaves least counts."""
    kept = np.ones(len(sites.edges), dtype=np.float64)
    edge_at = {name: at for at, name in enumerate(sites.edges)}
    pop_at = {name: at for at, name in enumerate(sites.pops)}
    for window in events.maintenance:
        part = kept_part(window, now_s)
        if window.edge in edge_at:
            at = edge_at[window.edge]
            kept[at] = min(kept[at], part)
        elif window.pop in pop_at:
            inside = sites.pop_of_edge == pop_at[window.pop]
            kept[inside] = np.minimum(kept[inside], part)
    return kept


def kept_part(window: Maintenance, now_s: float) -> float:
    """What one window leaves at ``now_s``, 0 to 1."""
    if now_s >= window.until_s:
        return 1.0
    if now_s >= window.from_s:
        return 0.0
    return min(1.0, (window.from_s - now_s) / window.drain_s) if window.drain_s else 1.0


def stream_part(stream: Stream, at_s: float) -> float:
    """How much of its demand a stream has at a time, 0 to 1: rising over ``ramp_s`` from its beginning, falling over
    ``ramp_s`` from its end."""
    if at_s < stream.from_s:
        return 0.0
    ramp_s = max(stream.ramp_s, 1e-9)
    risen = min(1.0, (min(at_s, stream.until_s) - stream.from_s) / ramp_s) if stream.ramp_s else 1.0
    return risen * max(0.0, 1.0 - max(0.0, at_s - stream.until_s) / ramp_s)


def during(stream: Stream, from_s: float, until_s: float) -> bool:
    """Whether a stream has demand at some time between the two."""
    return stream.from_s < until_s and from_s < stream.until_s + stream.ramp_s


def seen_together(one: Stream, other: Stream) -> bool:
    """Whether two streams may have viewers of one view."""
    pairs = ((one.country, other.country), (one.region, other.region), (one.isp, other.isp))
    return all(not left or not right or left == right for left, right in pairs)


def spread(stream: Stream, bps: float, demand: Mapping[GroupKey, float]) -> dict[GroupKey, float]:
    """``bps`` of a stream over the groups of its service, in proportion to the ``demand`` that is known of them.

    Only those of its view count. Where its service has none there, the proportions of all services together are taken;
    where nobody has, all of it goes to the group that the stream's own view names.
    """
    for service in (stream.service, ""):
        weights: dict[GroupKey, float] = {}
        for key, known in demand.items():
            if known > 0 and (not service or key.service == service) and seen_by(stream, key):
                mine = key._replace(service=stream.service)
                weights[mine] = weights.get(mine, 0.0) + known
        if weights:
            whole = sum(weights.values())
            return {key: bps * weight / whole for key, weight in weights.items()}
    return {GroupKey(stream.service, stream.country, stream.region, stream.isp): bps}


def seen_by(stream: Stream, key: GroupKey) -> bool:
    """Whether a stream has viewers of a group's view."""
    wanted: Sequence[tuple[str, str]] = (
        (stream.country, key.country),
        (stream.region, key.region),
        (stream.isp, key.isp),
    )
    return all(not asked or asked == has for asked, has in wanted)
