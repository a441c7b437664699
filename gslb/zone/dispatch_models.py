"""What may stand in `dispatch.yaml` and `events.yaml`, key by key, as in `gslb.zone.models`.

The keys of dispatch.yaml that are numbers are named as the fields of `gslb.model.dispatch.DispatchRules`, which has
their defaults.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field

from gslb.model.dispatch import DispatchRules
from gslb.model.plan import MAX_EDGES
from gslb.zone.fields import (
    Country,
    Fraction,
    Identifier,
    Identifiers,
    Instant,
    IspName,
    OrEmpty,
    OrNone,
    Rate,
    Region,
    Seconds,
    Word,
    number,
    whole,
)
from gslb.zone.models import Model
from gslb.zone.nodes import Text

_RULES = DispatchRules()
MAX_COST = 1_000_000
"""The most that one Mbps may cost in a month, but for overload."""

_Cost = Annotated[float, number(0, MAX_COST)]


def _rule(name: str, description: str) -> Any:
    default = getattr(_RULES, name)
    return Field(default=default, description=f"{description}; default: {default:g}")


class RootRulesModel(Model):
    """Limits of the whole network."""

    capacity: Rate | None = Field(default=None, description="all that may be served at once; default: no limit")
    minimum: Rate | None = Field(default=None, description="traffic that is paid for anyway; default: none")


class NodeRulesModel(RootRulesModel):
    """An edge or a PoP, where it differs."""

    capacity: Rate | None = Field(
        default=None, description="a limit of its own, beside those of what it lies in and holds; default: none"
    )
    price: _Cost | None = Field(
        default=None, description="per Mbps·month; default: an edge's as its PoP has it, a PoP's as all have it"
    )


class RegionRulesModel(RootRulesModel):
    """PoPs with a limit together."""

    PLACEHOLDERS: ClassVar[dict[str, Any]] = {"pops": Text("x")}

    pops: Identifiers = Field(description="its PoPs; one PoP is in one region at most")


class DispatchModel(Model):
    """dispatch.yaml: how published plans are made."""

    round_s: Annotated[int, whole(10, 3600)] = _rule("round_s", "seconds of a round: so often a plan is made")
    solve_limit_s: Annotated[float, number(0.1, 3600)] = _rule(
        "solve_limit_s", "seconds that a solution may take; then the last plan stays; at most round_s"
    )
    candidates: Annotated[int, whole(1, MAX_EDGES)] = _rule(
        "candidates", "edges that are looked at for a group, the best first"
    )
    backups: Annotated[int, whole(0, 8)] = _rule("backups", "edges named in a row to take over from dead ones")
    alpha: _Cost = _rule("alpha", "cost of each ms of round trip, per Mbps·month")
    mismatch_home: _Cost = _rule(
        "mismatch_home", "cost of an edge outside the viewers' ISP but in their country, per Mbps·month"
    )
    mismatch_abroad: _Cost = _rule(
        "mismatch_abroad", "cost of an edge outside the viewers' ISP and country, per Mbps·month"
    )
    price: _Cost = _rule("price", "cost of traffic where neither edge nor PoP has a price, per Mbps·month")
    rtt_base_ms: Annotated[float, number(0, 1000)] = _rule(
        "rtt_base_ms", "round trip at no distance, where none is known"
    )
    rtt_ms_per_1000_km: Annotated[float, number(0, 1000)] = _rule(
        "rtt_ms_per_1000_km", "that is added for each 1000 km, where no round trip is measured"
    )
    knee: Fraction = _rule("knee", "part of a capacity that is free of extra cost")
    hard: Fraction = _rule("hard", "part of a capacity above which is overload; not below knee")
    beta: _Cost = _rule("beta", "extra cost between knee and hard, per Mbps·month")
    overload: Annotated[float, number(0, 100 * MAX_COST)] = _rule(
        "overload", "extra cost above hard, per Mbps·month; above beta"
    )
    shortfall: _Cost = _rule("shortfall", "cost of what is missing to a minimum, per Mbps·month")
    churn: _Cost = _rule("churn", "cost of moving a viewer's edge against leaving it, per Mbps·month")
    move_share: Fraction = _rule("move_share", "part of all demand that one round may move unforced")
    small_group_bps: Rate = Field(
        default=_RULES.small_group_bps,
        description="groups below this move whole; default: 20Mbps",
    )
    deadband: Fraction = _rule("deadband", "a share that would change by less stays as it is")
    demand_late_s: Annotated[int, whole(60, 86400)] = _rule(
        "demand_late_s", "seconds since the newest bucket of demand ended after which it is refused"
    )
    live_late_s: Annotated[int, whole(60, 86400)] = _rule(
        "live_late_s", "seconds since the newest bucket of live demand ended after which it is not used"
    )
    edges: Annotated[dict[Identifier, Annotated[NodeRulesModel, OrEmpty]], OrEmpty] = Field(
        default={}, description="edges that differ, by name"
    )
    pops: Annotated[dict[Identifier, Annotated[NodeRulesModel, OrEmpty]], OrEmpty] = Field(
        default={}, description="PoPs that differ, by name"
    )
    regions: Annotated[dict[Identifier, RegionRulesModel], OrEmpty] = Field(
        default={}, description="PoPs with a limit together, by a name of your own"
    )
    network: Annotated[RootRulesModel, OrEmpty] = Field(
        default=RootRulesModel(), description="limits of the whole network"
    )


class ViewersModel(Model):
    """Which viewers; what is not said is any."""

    country: Country | None = Field(default=None, description="ISO 3166-1 alpha-2; default: any")
    region: Region | None = Field(
        default=None, description="ISO 3166-2 subdivision without the country, beside a country; default: any"
    )
    isp: IspName | None = Field(default=None, description="a name of isps.yaml, or AS<number>; default: any")


class StreamModel(Model):
    """A scheduled stream."""

    PLACEHOLDERS: ClassVar[dict[str, Any]] = {
        "name": Text("x"),
        "service": Text("x"),
        "from": Text("2000-01-01T00:00:00Z"),
        "until": Text("2000-01-01T00:00:01Z"),
        "demand": Text("1bps"),
    }

    name: Identifier = Field(description="what people call it; each name once")
    service: Word = Field(description="the service it is watched on, as a whole name")
    from_: Instant = Field(alias="from", description="when it begins: RFC 3339, with its zone")
    until: Instant = Field(description="when it ends; after from")
    demand: Rate = Field(description="what it adds to the demand of its service")
    view: Annotated[ViewersModel, OrEmpty] = Field(
        default=ViewersModel(), description="whose demand; default: all viewers'"
    )
    ramp: Seconds = Field(default=0, description="how long it takes to rise, and to fall after its end; default: 0")


class MaintenanceModel(Model):
    """A window in which an edge, or all edges of a PoP, are not to be used."""

    PLACEHOLDERS: ClassVar[dict[str, Any]] = {
        "name": Text("x"),
        "from": Text("2000-01-01T00:00:00Z"),
        "until": Text("2000-01-01T00:00:01Z"),
    }

    name: Identifier = Field(description="what people call it; each name once")
    edge: Identifier | None = Field(default=None, description="the edge; this or pop")
    pop: Identifier | None = Field(default=None, description="the PoP, all its edges; this or edge")
    from_: Instant = Field(alias="from", description="when it begins: RFC 3339, with its zone")
    until: Instant = Field(description="when it ends; after from")
    drain: Seconds = Field(
        default=1800, description="how long before it viewers are led away, bit by bit; default: 1800"
    )


class EventsModel(Model):
    """events.yaml: what is known to come. Published plans alone act on it."""

    streams: Annotated[tuple[StreamModel, ...], OrNone] = Field(default=(), description="scheduled streams")
    maintenance: Annotated[tuple[MaintenanceModel, ...], OrNone] = Field(
        default=(), description="windows in which edges are not to be used"
    )
