"""The servers of a simulated world: the project's own catalog, steering and draw, asked for many clients at once.

One `Servers` stands for all servers of one policy, which agree: they hold the same files and read the same store. Each
view of the world has an IPv4 /16 of its own and each of its client prefixes a /24 in it, so that classes and seeds are
made as for any network.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from gslb.errors import Findings
from gslb.geo import resolvers, tables
from gslb.geo.isps import IspNames
from gslb.geo.layers import Layers
from gslb.geo.view import Geography, merge
from gslb.model.intent import Intent, Pool, RRset, Service, Zone
from gslb.model.plan import Plan
from gslb.model.report import StoreState
from gslb.model.rtt import Rtt, RttTable
from gslb.policy import draw
from gslb.simulate.policies import Kind
from gslb.simulate.world import World
from gslb.snapshot import catalog, layout, lookups, planning, steering
from gslb.snapshot.layout import STEERING_WIDTH
from gslb.zone.names import owner

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
U64 = npt.NDArray[np.uint64]

SERVICE: Final = "live.example."
"""The one service of a world, of which streams are names."""
HASH_LEN: Final = 24
PREFIXES: Final = 256
"""Client prefixes of a view that rendezvous tells apart."""
START_MS: Final = 1_800_000_000_000
"""The store's clock at second 0 of a run."""

_FIRST: Final = 16 << 24  # 16.0.0.0: a /16 for each view from here on, none of it special
_MAX_WEIGHT: Final = 10_000
_LOOKED_AT: Final = ("verdict4", "headroom_milli", "planned_milli", "ramp_milli", "changing", "reported")


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers to some questions: the edge of each, -1 for none, and for how many seconds it may be kept."""

    edge: I64
    ttl_s: I64


class Servers:
    """All servers of one policy in a world. `steer` before the first question.

    ``sections`` are those of the steering snapshot, ``row_of_view`` its row for IPv4 clients of each view; ``builds``
    counts how often it was made.
    """

    def __init__(self, world: World, kind: Kind, ttl_s: int, changing_ttl_s: int, streams: int) -> None:
        """``streams`` names are asked for, numbered from 0."""
        self._kind = kind
        self._names = [owner(f"s{number}.{SERVICE}", b"\0") for number in range(streams)]
        geography = _geography(world)
        intent = _intent(world, kind, ttl_s, changing_ttl_s)
        self._arrays: dict[str, npt.NDArray[Any]] = catalog.build(
            intent, geography, resolvers.build([], geography), _rtt(world)
        ).arrays()
        edges = lookups.edge_ids(self._arrays)
        number = {edge.id: at for at, edge in enumerate(world.edges)}
        self._edge_of_row = np.array([number[edge] for edge in edges], dtype=np.int64)
        self._hashes = self._arrays["edge"]["hash"].astype(np.uint64)
        views = geography.v4.views_of(
            _addresses(np.arange(len(world.views)), np.zeros(len(world.views), dtype=np.int64)).astype(np.uint32),
            np.full(len(world.views), 16),
        )
        first = int(self._arrays["policy"]["row"][0])
        self.row_of_view = 2 * (first + lookups.view_classes(self._arrays, 0)[views].astype(np.int64))
        self._seeds: dict[int, U64] = {}
        self._ttl_s = np.array([ttl_s, min(ttl_s, changing_ttl_s)])
        self._states: npt.NDArray[Any] | None = None
        self._planned: planning.Planned | None = None
        self.sections: dict[str, npt.NDArray[Any]] = {}
        self._settled = False
        self._due_ms = 0
        self.builds = 0

    def accept(self, plan: Plan) -> None:
        """Go by a plan from its time on."""
        self._planned = planning.resolve(self._arrays, plan)
        self._states = None

    @property
    def plan(self) -> Plan | None:
        """The plan that is held."""
        return self._planned.plan if self._planned is not None else None

    @property
    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The catalog's sections."""
        return self._arrays

    def steer(self, state: StoreState, now_ms: int) -> None:
        """Bring weights up to what the store says.

        What has the same verdicts and headroom as before, with no headroom lost anywhere, makes the same rows: loads
        count in nothing else. Then nothing is built.
        """
        if self._planned is not None:
            state = dataclasses.replace(state, plan=self._planned.plan)
        states = steering.edge_state(self._arrays, state, now_ms)
        settled = bool(((states["headroom_milli"] == 1000) & (states["verdict4"] == layout.VERDICT_UP)).all())
        same = (
            self._states is not None
            and now_ms < self._due_ms
            and settled
            and self._settled
            and all(np.array_equal(states[column], self._states[column]) for column in _LOOKED_AT)
        )
        if same:
            return
        self._states, self._settled = states, settled
        due_ms = steering.next_due_ms(self._arrays, state, now_ms)
        self._due_ms = due_ms if due_ms is not None else now_ms + (1 << 50)
        self.sections = steering.from_states(self._arrays, states, state, now_ms, self._planned)
        self.builds += 1

    def ask(self, view: I64, prefix: I64, stream: I64, chance: U64) -> Answers:
        """Answers to questions from clients of ``view``; ``prefix`` is their prefix in it, or -1 where no Client
        Subnet says it: then ``chance`` is the random number of the query."""
        if not len(view):
            return Answers(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
        row = self.row_of_view[view]
        count = self.sections["count"][row].astype(np.int64)
        width = max(1, int(count.max(initial=1)))
        at = row[:, None] * STEERING_WIDTH + np.arange(width)
        edges, reciprocals = self.sections["edge"][at], self.sections["reciprocal"][at].astype(np.uint64)
        empty = np.arange(width) >= count[:, None]
        # Beyond its end a row repeats its first edge, which ties with itself and so never wins.
        edges = np.where(empty, edges[:, :1], edges)
        reciprocals = np.where(empty, reciprocals[:, :1], reciprocals)
        seeds = np.where(prefix >= 0, self._seeds_of(view, np.maximum(prefix, 0), stream), chance)
        if not self._kind.hashed:
            seeds = chance
        drawn = draw.picks(self._hashes[edges].T, reciprocals.T, seeds)
        chosen = self._edge_of_row[edges[np.arange(len(row)), drawn]]
        changing = (self.sections["flags"][row] & layout.ROW_CHANGING) > 0
        return Answers(np.where(count > 0, chosen, -1), self._ttl_s[changing.astype(np.int64)])

    def shares(self) -> F64:
        """What part of its clients each view gives to each edge of the world, shape (views, edges)."""
        row = self.row_of_view
        at = row[:, None] * STEERING_WIDTH + np.arange(STEERING_WIDTH)
        weight = self.sections["weight"][at].astype(np.float64)
        total = weight.sum(axis=1, keepdims=True)
        found = np.zeros((len(row), len(self._edge_of_row)))
        edges = self._edge_of_row[self.sections["edge"][at]]
        np.add.at(found, (np.arange(len(row))[:, None], edges), weight / np.where(total > 0, total, 1.0))
        return found

    def _seeds_of(self, view: I64, prefix: I64, stream: I64) -> U64:
        """Seeds by rendezvous, each made once."""
        found = np.zeros(len(view), dtype=np.uint64)
        for number in np.unique(stream).tolist():
            mine = np.flatnonzero(stream == number)
            known = self._seeds.setdefault(number, np.zeros(len(self.row_of_view) * PREFIXES, dtype=np.uint64))
            key = view[mine] * PREFIXES + prefix[mine]
            missing = np.unique(key[known[key] == 0])
            addresses = _addresses(missing // PREFIXES, missing % PREFIXES)
            known[missing] = [draw.seed_of(self._names[number], 4, each, HASH_LEN) for each in addresses.tolist()]
            found[mine] = known[key]
        return found


def _addresses(view: I64, prefix: I64) -> I64:
    found: I64 = _FIRST + (view << 16) + (prefix << 8)
    return found


def _geography(world: World) -> Geography:
    lines = ["prefix,isp,country,region,lat,lon"]
    for at, view in enumerate(world.views):
        address = _FIRST + (at << 16)
        prefix = f"{address >> 24}.{address >> 16 & 255}.0.0/16"
        place = f"{view.country},{view.region},{world.lat[at]:.4f},{world.lon[at]:.4f}"
        lines.append(f"{prefix},{view.isp},{place}")
    findings = Findings()
    facts = tables.read_networks("world", "\n".join(lines).encode() + b"\n", IspNames.unknown(), findings)
    findings.raise_if_any()
    return merge(Layers(networks=facts), findings)


def pop_rtt_ms(world: World) -> F64:
    """What measuring each view to each PoP finds, (V, P): the least of its edges' round trips, which is the way without
    what a foreign network adds."""
    found = np.full((len(world.views), len(world.pops)), np.inf)
    for edge, pop in enumerate(world.pop_of_edge.tolist()):
        found[:, pop] = np.minimum(found[:, pop], world.rtt_ms[:, edge])
    return found


def _rtt(world: World) -> RttTable:
    rtt_ms = pop_rtt_ms(world)
    return RttTable(
        tuple(
            Rtt(view.country, view.region, view.isp, pop, float(rtt_ms[at, column]))
            for at, view in enumerate(world.views)
            for column, pop in enumerate(world.pops)
            if np.isfinite(rtt_ms[at, column])
        )
    )


def _intent(world: World, kind: Kind, ttl_s: int, changing_ttl_s: int) -> Intent:
    """One service whose pool is all edges, weighed by their capacity."""
    largest = max(edge.capacity_bps for edge in world.edges)
    edges = tuple(
        dataclasses.replace(edge, v4=(b"\xc0\x00\x02\x01",), v6=(bytes(15) + b"\x01",))
        for edge in sorted(world.edges, key=lambda edge: edge.id)
    )
    pool = Pool("all", tuple((edge.id, max(1, round(edge.capacity_bps / largest * _MAX_WEIGHT))) for edge in edges))
    service = Service(
        name=owner(SERVICE, b"\0"),
        pool="all",
        affinity=kind.affinity,
        ttl_s=ttl_s,
        changing_ttl_s=changing_ttl_s,
        hash_len_v4=HASH_LEN,
        dispatch=kind.planned,
    )
    soa = RRset(owner("example.", b"\0"), 6, 300, (b"\0\0" + bytes(20),))
    zone = Zone(owner("example.", b"\0"), "world.yaml", soa, 60, (), (service,))
    return Intent(zones=(zone,), edges=edges, pools=(pool,))
