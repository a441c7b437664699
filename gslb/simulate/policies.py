"""The policies that are compared in one world, each made of the project's own parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gslb.model.intent import NEAREST


@dataclass(frozen=True, slots=True)
class Kind:
    """One way of answering. ``affinity`` is the service's; ``loaded``: it knows the load of edges; ``hashed``: the draw
    is by rendezvous where a Client Subnet says who asks, else each query draws anew; ``planned``: plans decide."""

    name: str
    title: str
    affinity: tuple[str, ...]
    loaded: bool = False
    hashed: bool = True
    planned: bool = False


NEAREST_EDGE: Final = Kind("nearest", "nearest", (NEAREST,))
ROUND_ROBIN: Final = Kind("geo-round-robin", "geo-weighted round robin", ("country", "continent", "any"), hashed=False)
LOCAL_SPILL: Final = Kind("local-spill", "local spill", (NEAREST,), loaded=True)
OURS: Final = Kind("ours", "ours", (NEAREST,), loaded=True, planned=True)

KINDS: Final = {kind.name: kind for kind in (NEAREST_EDGE, ROUND_ROBIN, LOCAL_SPILL, OURS)}
"""By name, in the order in which they are shown.

- ``nearest``: the band of least round-trip time that has a living edge, by capacity inside it; blind to load.
- ``geo-round-robin``: edges of the country, else of the continent, by capacity, drawn anew for each query; blind to
  load. What many networks begin with.
- ``local-spill``: as nearest, with headroom and spill from what edges report: each view for itself.
- ``ours``: a plan each round, and local spill where it says nothing.
"""
