"""Whose questions reach the server by which resolver.

An ISP's viewers ask its resolver in their own city, in another city of the same network nearby, or far off
(more than `FAR_KM`); some ask a public resolver at the site to which anycast leads them. The parts are exact: each
view's demand is split among its resolvers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

FAR_KM: Final = 1609.344
"""1000 miles: beyond this a resolver says nothing useful about its clients."""
LOCAL, FAR, PUBLIC, NEAR = 0, 1, 2, 3
"""Kinds of resolvers: of the viewers' ISP in their city; of an ISP, beyond `FAR_KM`; public; of an ISP in another city,
within `FAR_KM` where there is one."""
_FAR_CHOICES: Final = 5


@dataclass(frozen=True, slots=True)
class ResolverRules:
    """Parts of all demand: behind public resolvers, behind an ISP's in the same city, behind one beyond 1000 miles; the
    rest is behind resolvers in between. ``ecs`` is the part of the public ones' demand whose resolver sends Client
    Subnet. A public resolver has ``sites`` sites, in the most populous cities; ``detour`` is the part of its clients
    whom anycast leads to another than the nearest. Sites and detours are set so that half of the
    clients of public resolvers are more than about 1000 miles from them, as Akamai found (SIGCOMM 2015)."""

    public: float = 0.08
    local: float = 0.54
    far: float = 0.06
    ecs: float = 0.5
    sites: int = 16
    detour: float = 0.4


@dataclass(frozen=True, slots=True)
class Places:
    """Views as the columns that matter here. ``network`` numbers the ISPs (each of one country)."""

    km: F64  # (V, V) between views
    network: I64
    metro: I64
    demand_share: F64


@dataclass(frozen=True, slots=True)
class Resolvers:
    """Resolvers, as columns R, and who uses them, as columns C: ``client_share`` of all demand comes from
    ``client_view`` through ``client_resolver``."""

    view: I64
    kind: I64
    sends_ecs: Mask
    client_resolver: I64
    client_view: I64
    client_share: F64


def assign(
    rules: ResolverRules, places: Places, public_views: Sequence[I64], ecs: Sequence[bool], rng: np.random.Generator
) -> Resolvers:
    """The resolvers of a world.

    ``public_views`` are the views where each public resolver's sites stand; of those that send Client Subnet (``ecs``)
    each has an equal part of ``rules.ecs``, of the others of the rest. Raises ValueError where the parts exceed 1.
    """
    near_part = 1.0 - rules.public - rules.local - rules.far
    if near_part < -1e-9:
        raise ValueError("public, local and far are more than all demand together")
    viewers = np.flatnonzero(places.demand_share > 0)
    parts = [
        (LOCAL, viewers, viewers, rules.local, False),
        (FAR, viewers, _far(places, viewers, rng), rules.far, False),
        (NEAR, viewers, _near(places, viewers, rng), max(0.0, near_part), False),
    ]
    for provider, (sites, sends) in enumerate(zip(public_views, ecs, strict=True)):
        alike = sum(other == sends for other in ecs)
        one = all(other == sends for other in ecs)
        part = rules.public * (1.0 if one else rules.ecs if sends else 1.0 - rules.ecs) / alike
        nearest, other = _anycast(places, viewers, sites, rng)
        parts.append((PUBLIC + (provider << 8), viewers, nearest, part * (1.0 - rules.detour), sends))
        parts.append((PUBLIC + (provider << 8), viewers, other, part * rules.detour, sends))
    kind = np.concatenate([np.full(len(who), kind) for kind, who, _, _, _ in parts])
    at = np.concatenate([where for _, _, where, _, _ in parts])
    who = np.concatenate([who for _, who, _, _, _ in parts])
    share = np.concatenate([part * places.demand_share[who] for _, who, _, part, _ in parts])
    ecs_of = np.concatenate([np.full(len(who), sends) for _, who, _, _, sends in parts])
    kept = share > 0
    kind, at, who, share, ecs_of = kind[kept], at[kept], who[kept], share[kept], ecs_of[kept]
    keys, first, resolver = np.unique(np.column_stack([kind, at]), axis=0, return_index=True, return_inverse=True)
    rows = np.unique(np.column_stack([resolver.reshape(-1), who]), axis=0, return_inverse=True)
    total = np.bincount(rows[1].reshape(-1), weights=share)
    return Resolvers(
        view=keys[:, 1].astype(np.int64),
        kind=(keys[:, 0] & 255).astype(np.int64),
        sends_ecs=ecs_of[first],
        client_resolver=rows[0][:, 0].astype(np.int64),
        client_view=rows[0][:, 1].astype(np.int64),
        client_share=total / total.sum(),
    )


def _near(places: Places, viewers: I64, rng: np.random.Generator) -> I64:
    """For each view one in another city within `FAR_KM`: of the same network, else any, else the nearest at all."""
    found = viewers.copy()
    for at, view in enumerate(viewers.tolist()):
        others = viewers[places.metro[viewers] != places.metro[view]]
        near = others[places.km[view, others] <= FAR_KM]
        own = near[places.network[near] == places.network[view]]
        if len(own):
            # ISPs gather their resolvers where most of their viewers are.
            weight = places.demand_share[own]
            found[at] = rng.choice(own, p=weight / weight.sum())
        elif len(near):
            found[at] = near[np.argmin(places.km[view, near])]
        elif len(others):
            found[at] = others[np.argmin(places.km[view, others])]
    return found


def _far(places: Places, viewers: I64, rng: np.random.Generator) -> I64:
    """For each view one beyond `FAR_KM`, of the same network where it has one there; else one of the next ones."""
    found = viewers.copy()
    for at, view in enumerate(viewers.tolist()):
        far = viewers[places.km[view, viewers] > FAR_KM]
        own = far[places.network[far] == places.network[view]]
        choices = own if len(own) else far[np.argsort(places.km[view, far], kind="stable")[:_FAR_CHOICES]]
        if len(choices):
            found[at] = rng.choice(choices)
    return found


def _anycast(places: Places, viewers: I64, sites: I64, rng: np.random.Generator) -> tuple[I64, I64]:
    """For each view the nearest site, and where anycast leads those whom it does not lead there: any other site, near
    ones more often (by 1 / km²)."""
    km = places.km[np.ix_(viewers, sites)]
    nearest = np.argmin(km, axis=1)
    weight = 1.0 / np.maximum(km, 100.0) ** 2
    weight[np.arange(len(viewers)), nearest] = 0.0
    total = np.cumsum(weight, axis=1)
    drawn = rng.random(len(viewers)) * total[:, -1]
    other = np.minimum((total <= drawn[:, None]).sum(axis=1), len(sites) - 1)
    return sites[nearest], sites[np.where(total[:, -1] > 0, other, nearest)]
