"""What operators order of dispatch: the content of `zones/dispatch.yaml`, each constant with its unit and effect.

Money is in one currency, whichever the operator pays in; costs are per Mbps carried through a month.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class NodeRules:
    """One edge, PoP, region or the whole network, where it differs: ``capacity_bps`` None is no limit of its own (an
    edge has its inventory's), ``minimum_bps`` a soft minimum (bits that are paid for anyway), ``price`` per Mbps·month
    None as the level above has it; only edges and PoPs have one."""

    capacity_bps: int | None = None
    minimum_bps: int = 0
    price: float | None = None


@dataclass(frozen=True, slots=True)
class RegionRules:
    """PoPs with a limit together."""

    pops: tuple[str, ...]
    node: NodeRules = field(default_factory=NodeRules)


@dataclass(frozen=True, slots=True)
class DispatchRules:
    """All of `zones/dispatch.yaml`; every key has a default.

    **What a route costs** (per Mbps·month): ``alpha`` per millisecond of round-trip time; ``mismatch_home`` and
    ``mismatch_abroad`` where the edge is not in the viewers' ISP, in their country and outside it; ``price`` of an edge
    whose PoP and itself have none. **Where nothing is measured** a round trip is taken to be ``rtt_base_ms`` +
    ``rtt_ms_per_1000_km``, in ms.

    **Capacity**: free up to ``knee`` of it, ``beta`` per Mbps·month more up to ``hard``, ``overload`` above; parts of
    1. What is missing to a soft minimum costs ``shortfall`` per Mbps·month. **Churn**: what stays where it is costs
    ``churn`` / 2 less, what moves ``churn`` / 2 more.

    **Limits of a round**, which takes ``round_s`` seconds: unforced moves up to ``move_share`` of all demand; groups of
    less than ``small_group_bps`` move whole; a share that would change by less than ``deadband`` stays.
    ``candidates`` edges are looked at for a group, ``backups`` named in a row. ``solve_limit_s`` is the most that the
    solver may take.

    **Demand** whose newest bucket ended more than ``demand_late_s`` ago is refused; live demand that ended more than
    ``live_late_s`` ago is not used.
    """

    round_s: int = 60
    solve_limit_s: float = 20.0
    candidates: int = 12
    backups: int = 2
    alpha: float = 0.02
    mismatch_home: float = 0.3
    mismatch_abroad: float = 1.2
    price: float = 1.0
    rtt_base_ms: float = 14.8
    rtt_ms_per_1000_km: float = 17.3
    knee: float = 0.80
    hard: float = 0.95
    beta: float = 2.0
    overload: float = 1000.0
    shortfall: float = 0.5
    churn: float = 1.0
    move_share: float = 0.02
    small_group_bps: int = 20_000_000
    deadband: float = 0.03
    demand_late_s: int = 900
    live_late_s: int = 90
    edges: Mapping[str, NodeRules] = field(default_factory=dict)
    pops: Mapping[str, NodeRules] = field(default_factory=dict)
    regions: Mapping[str, RegionRules] = field(default_factory=dict)
    network: NodeRules = field(default_factory=NodeRules)
