"""The rules of steering, said once more in plain Python: for one client, one service, one family at a time.

Nothing is shared with the code but the vocabulary. A network is plain facts; what follows for its clients is compared
with what is steered.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import NamedTuple

from gslb.model.override import Override
from gslb.model.plan import PLAN_SUM, PlanRow
from gslb.model.report import StoreState

T = 1_800_000_000
NOW_MS = T * 1000
G = 10**9
STALE_MS, HOLD_MS, CHANGING_S, SLOW_S = 3000, 7000, 60, 90
FADE_S, FADE_STEP_S = 600, 10
TTL_S = {"live": 20, "play": 60}
CONTINENT = {"DE": "EU", "FR": "EU", "US": "NA", "": ""}
LEVELS = ["isp+region", "isp+country", "isp", "region", "country", "continent", "any"]

View = tuple[str, str, str]
# The networks of the world: country, region, ISP. The last is that of everybody else.
BERLIN, MUNICH, VODA = ("DE", "BE", "dtag"), ("DE", "BY", "dtag"), ("DE", "BE", "voda")
VIEWS: list[View] = [BERLIN, MUNICH, VODA, ("FR", "IDF", "dtag"), ("US", "", ""), ("", "", "")]


class Edge(NamedTuple):
    """An edge, and its weight in the one pool there is. A PoP is named like its country."""

    id: str
    country: str
    region: str
    isp: str
    weight: int
    families: str
    capacity: int
    fence: str


class Net(NamedTuple):
    """A network; of its services ``live`` may be dispatched, ``play`` is not."""

    edges: list[Edge]
    affinity: list[str]
    panic: float
    closed: bool
    dispatch: bool


class Words:
    """What the rules make of a network and a state for the clients of one view, one service and one family."""

    def __init__(self, net: Net, state: StoreState, clock_s: int, service: str, view: View, family: str) -> None:
        self.net, self.state, self.clock_s, self.service, self.family = net, state, clock_s, service, family
        self.view = view
        self.level = levels(net, view)
        told_apart = net.dispatch and service == "live"
        self.alike = [each for each in VIEWS if levels(net, each) == self.level and (not told_apart or each == view)]
        self.orders = [each for _, each in sorted(state.overrides.items()) if self.concerns(each)]
        self.row: dict[str, Fraction] = {}
        self.levels: dict[str, int] = {}
        self.flags = set[str]()
        self.decide()

    def concerns(self, order: Override) -> bool:
        """Whether an order means these clients. One for a view acts on all who are treated like it."""
        wanted = (order.target.view or "||").split("|")
        here = any(all(want in ("", has) for want, has in zip(wanted, each, strict=True)) for each in self.alike)
        return here and order.target.service in ("", f"{self.service}.x.test.")

    def verdict(self, edge: Edge) -> str:
        if self.family not in edge.families:
            return "absent"
        if not self.factor(edge):
            return "drain"
        report = self.state.reports.get(edge.id)
        last = getattr(report, f"health{self.family}") if report else "up"
        if last != "up" or not self.silent(edge):
            return last
        return "down" if self.over(edge) and not self.held(edge) else "unknown"

    def heard_ms(self, edge: Edge) -> int | None:
        report = self.state.reports.get(edge.id)
        return report.received_ms if report else self.state.seen.get(edge.id)

    def valid_ms(self, edge: Edge) -> int:
        report = self.state.reports.get(edge.id)
        return (report.valid_ms if report else 0) or STALE_MS + HOLD_MS

    def stale_at_ms(self, edge: Edge) -> int:
        """A report that is valid for longer than usual is held as long as usual at the end."""
        valid = self.valid_ms(edge)
        return (self.heard_ms(edge) or 0) + max(valid - HOLD_MS, min(STALE_MS, valid))

    def silent(self, edge: Edge) -> bool:
        return self.heard_ms(edge) is not None and self.stale_at_ms(edge) < NOW_MS

    def over(self, edge: Edge) -> bool:
        heard = self.heard_ms(edge)
        return heard is not None and heard + self.valid_ms(edge) < NOW_MS

    def missed(self, edge: Edge) -> bool:
        report = self.state.reports.get(edge.id)
        return self.silent(edge) and (report is None or "up" in (report.health4, report.health6))

    def held(self, edge: Edge) -> bool:
        """Whether much of its continent fell silent together with it."""
        there = [each for each in self.net.edges if CONTINENT[each.country] == CONTINENT[edge.country]]
        known = [each.capacity for each in there if each.capacity]
        size = {each.id: Fraction(each.capacity or (sum(known) // len(known) if known else 1)) for each in there}
        missed = [each for each in there if self.missed(each)]
        for first in missed:
            times = {each.id: self.stale_at_ms(each) - self.stale_at_ms(first) for each in missed}
            group = [each for each, late_ms in times.items() if 0 <= late_ms <= STALE_MS]
            lost = sum(size[each] for each in group)
            if edge.id in group and len(group) >= 3 and lost > Fraction(3, 10) * sum(size.values()):
                return True
        return False

    def living(self, edge: Edge) -> bool:
        return edge.weight > 0 and self.verdict(edge) in ("up", "unknown")

    def acts_on(self, edge: Edge) -> Iterable[Override]:
        for order in self.orders:
            if edge.id == order.target.edge or edge.country.lower() == order.target.pop:
                yield order

    def factor(self, edge: Edge) -> int:
        """Thousandths that drains and ramps leave: first those that act everywhere, then those limited to here."""
        found = 1000
        for order in sorted(self.acts_on(edge), key=lambda each: bool(each.target.service or each.target.view)):
            found = found * factor_milli(order, self.clock_s) // 1000
        return found

    def ramp(self, edge: Edge) -> Fraction:
        report = self.state.reports.get(edge.id)
        slow = 1000
        if report and report.slow_since_ms:
            slow = min(1000, 100 + 900 * (self.clock_s - report.slow_since_ms // 1000) // SLOW_S)
        return Fraction(slow * self.factor(edge), 10**6)

    def capacity(self, edge: Edge) -> int:
        report = self.state.reports.get(edge.id)
        return min((each for each in (edge.capacity, report.capacity_bps if report else 0) if each), default=0)

    def load(self, edge: Edge) -> int | None:
        report = self.state.reports.get(edge.id)
        return report.load_bps if report else None

    def headroom(self, edge: Edge, full: float, none: float) -> Fraction:
        """Of bits; 1 where nothing is known."""
        capacity, load = self.capacity(edge), self.load(edge) or 0
        if not capacity:
            return Fraction(1)
        left = (Fraction(str(none)) - Fraction(load, capacity)) / (Fraction(str(none)) - Fraction(str(full)))
        return Fraction(min(1000, max(0, int(left * 1000))), 1000)

    def local_headroom(self, edge: Edge) -> Fraction:
        report = self.state.reports.get(edge.id)
        if report and report.headroom_milli >= 0:
            return Fraction(report.headroom_milli, 1000)
        return self.headroom(edge, 0.80, 0.95)

    def effective(self, edge: Edge) -> Fraction:
        return self.living(edge) * edge.weight * self.local_headroom(edge) * self.ramp(edge)

    def changing(self, edge: Edge) -> bool:
        report = self.state.reports.get(edge.id)
        turned_ms = min(report.since_ms, report.received_ms) if report else 0
        if self.missed(edge):
            if not self.over(edge) or self.held(edge):
                return True
            turned_ms = max(turned_ms, (self.heard_ms(edge) or 0) + self.valid_ms(edge))
        recent = turned_ms > 0 and NOW_MS - turned_ms < CHANGING_S * 1000
        return recent or any(is_near(order, self.clock_s) for order in self.acts_on(edge))

    def decide(self) -> None:
        if not (self.pinned() or self.planned()):
            self.local(self.level, self.net.panic, self.net.closed)

    def pinned(self) -> bool:
        pool = {edge.id for edge in self.net.edges}
        pins = [each for each in self.orders if each.kind == "pin" and pool & set(each.edges)]
        if any(is_near(pin, self.clock_s) for pin in pins):
            self.flags.add("changing")
        pins = [each for each in pins if each.from_s <= self.clock_s < each.until_s]
        if not pins:
            return False
        edges = max(pins, key=lambda each: (each.from_s, each.id)).edges
        named = {
            edge.id: 0
            for edge in self.net.edges
            if edge.id in edges and edge.weight and all(edge.fence in ("", country) for country, _, _ in self.alike)
        }
        if not any(self.living(edge) for edge in self.net.edges if edge.id in named):
            return False
        self.local(named, 0, closed=True)
        self.flags.add("pinned")
        return True

    def planned(self) -> bool:
        plan, by_id = self.state.plan, {edge.id: edge for edge in self.net.edges}
        if plan is None or not self.net.dispatch or self.service != "live":
            return False
        local = Fraction(max(0, self.clock_s * 1000 - plan.hold_until_ms) // (FADE_STEP_S * 1000) * FADE_STEP_S, FADE_S)
        if not plan.effective_at_ms <= self.clock_s * 1000 or local >= 1:
            return False
        rows = {"|".join(row[1:4]): row for row in plan.rows if all(usable(by_id, row, each) for each in named(row))}
        country, region, isp = self.view
        keys = (f"{country}|{region}|{isp}", f"{country}||{isp}", f"{country}||")
        row = next((rows[key] for key in keys if key in rows), None)
        if row is None:
            return False
        keep = {edge.id: self.headroom(edge, 0.95, 1.05) * self.ramp(edge) for edge in self.net.edges}
        living = {edge.id for edge in self.net.edges if self.living(edge)}
        heir = next((each for each in row.backups if each in living and keep[each]), None)
        asked = {edge for edge, weight in row.primaries if weight}
        left: dict[str, Fraction] = {}
        for edge, weight in row.primaries:
            taker = edge if edge in living else heir
            if taker:
                left[taker] = left.get(taker, Fraction(0)) + weight * keep[taker]
        if not asked <= living:
            asked |= set(row.backups[: row.backups.index(heir) + 1] if heir else row.backups)
        if any(self.changing(by_id[edge]) for edge in asked if self.family in by_id[edge].families):
            self.flags.add("changing")
        if 2 * sum(left.values()) < PLAN_SUM:
            return False
        ours = shares({edge: weight for edge, weight in left.items() if weight})
        below: dict[str, int] = {}
        if local:
            self.local(self.level, self.net.panic, self.net.closed)
            below = {edge: level + 1 for edge, level in self.levels.items()}
        theirs = self.row or ours
        self.row = {
            edge: (1 - local) * ours.get(edge, 0) + local * theirs.get(edge, 0)
            for edge in (ours | theirs if local else ours)
        }
        self.levels = below | dict.fromkeys(ours, 0)
        self.flags.add("planned")
        return True

    def local(self, level: dict[str, int], panic: float, closed: bool) -> None:
        pool = [edge for edge in self.net.edges if edge.weight and edge.id in level and self.family in edge.families]
        ranked = [[edge for edge in pool if level[edge.id] == at] for at in sorted({level[edge.id] for edge in pool})]
        weights = {edge.id: self.effective(edge) for edge in pool}
        available = sum(availability(edges, weights) for edges in ranked)
        if pool and (not available or available < Fraction(str(panic))):
            self.flags.add("open")
            for verdict in ("up", "unknown") if closed else ("up", "unknown", "down"):
                weights = {edge.id: Fraction(edge.weight * (self.verdict(edge) == verdict)) for edge in pool}
                if any(weights.values()):
                    break
            placed = spill(ranked, weights, [None] * len(ranked))
        else:
            placed = spill(ranked, weights, [self.room(*two) for two in zip([[], *ranked], ranked, strict=False)])
        self.row = shares({edge: weight for edge, weight in placed.items() if weight})
        self.levels = {edge: level[edge] for edge in self.row}
        last = max(self.levels.values(), default=99)
        if any(self.changing(edge) for edge in pool if level[edge.id] <= last):
            self.flags.add("changing")

    def room(self, upper: list[Edge], edges: list[Edge]) -> Fraction | None:
        """Spare bits over the load of the level above; None: no limit."""
        loads = [self.load(edge) for edge in upper]
        if None in loads or not sum(each or 0 for each in loads):
            return None
        spare = Fraction(0)
        for edge in filter(self.living, edges):
            load, capacity = self.load(edge), self.capacity(edge)
            if load is None or not capacity:
                return None
            spare += max(Fraction(0), Fraction(95, 100) * capacity - load)
        return spare / sum(each or 0 for each in loads)


def levels(net: Net, view: View) -> dict[str, int]:
    """The best level of each edge that may serve a view."""
    country, region, isp = view
    permitted = [edge for edge in net.edges if edge.weight and edge.fence in ("", country)]

    def place(edge: Edge, where: str) -> bool:
        in_country = edge.country == country != ""
        return {
            "region": in_country and edge.region == region != "",
            "country": in_country,
            "continent": CONTINENT[edge.country] == CONTINENT[country] != "",
        }.get(where, True)

    found: dict[str, int] = {}
    for at, level in enumerate(net.affinity):
        where = level.removeprefix("isp+")
        members = [edge for edge in permitted if place(edge, where)]
        if level.startswith("isp"):
            by_name = [edge for edge in members if edge.isp == isp != ""]
            members = by_name or [edge for edge in members if edge.isp == "any" and isp]
        for edge in members:
            found.setdefault(edge.id, at)
    return found


def factor_milli(order: Override, clock_s: int) -> int:
    if order.kind == "pin" or order.until_s <= order.from_s or clock_s < order.from_s:
        return 1000
    last = 0 if order.kind == "drain" else order.value_milli
    passed_s = min(clock_s, order.until_s) - order.from_s
    begun = last
    if passed_s < order.over_s:
        begun = int(1000 - Fraction(1000 - last) * passed_s / order.over_s)
    if clock_s < order.until_s:
        return begun
    return min(1000, max(begun, 100) + 900 * (clock_s - order.until_s) // SLOW_S)


def is_near(order: Override, clock_s: int) -> bool:
    """Whether TTLs are short for it: the longest TTL there is, before; changing_s, after."""
    ttl_s = max(TTL_S.values())
    if order.until_s <= order.from_s:
        return False
    whole_s = order.from_s if order.kind == "pin" else min(order.from_s + order.over_s, order.until_s)
    end_s = order.until_s - (ttl_s if order.kind == "pin" else 0)
    return order.from_s - ttl_s <= clock_s < whole_s + CHANGING_S or end_s <= clock_s < order.until_s + CHANGING_S


def named(row: PlanRow) -> list[str]:
    return [*(edge for edge, _ in row.primaries), *row.backups]


def usable(by_id: dict[str, Edge], row: PlanRow, edge: str) -> bool:
    return edge in by_id and by_id[edge].weight > 0 and by_id[edge].fence in ("", row.country)


def availability(edges: list[Edge], weights: dict[str, Fraction]) -> Fraction:
    return Fraction(sum(weights[edge.id] for edge in edges)) / sum(edge.weight for edge in edges)


def spill(ranked: list[list[Edge]], weights: dict[str, Fraction], rooms: list[Fraction | None]) -> dict[str, Fraction]:
    """The part of the clients that each edge gets; all short where all levels together are."""
    rest = Fraction(1)
    found: dict[str, Fraction] = {}
    for edges, room in zip(ranked, rooms, strict=True):
        able = availability(edges, weights)
        taken = min(rest, able, room if room is not None else able)
        rest -= taken
        whole = sum(weights[edge.id] for edge in edges) or Fraction(1)
        found |= {edge.id: taken * weights[edge.id] / whole for edge in edges}
    if any(weights.values()) and not any(found.values()):
        return spill(ranked, weights, [None] * len(ranked))
    return found


def shares(weights: dict[str, Fraction]) -> dict[str, Fraction]:
    whole = sum(weights.values())
    return {edge: weight / whole for edge, weight in weights.items()}
