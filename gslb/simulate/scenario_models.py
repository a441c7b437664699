"""What may stand in a scenario's file, key by key, over the tree of `gslb.zone.nodes`."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field

from gslb.simulate.policies import KINDS
from gslb.simulate.resolvers import ResolverRules
from gslb.simulate.rtt import RttRules
from gslb.simulate.world import GREEDY, RANDOM, WorldRules
from gslb.zone import fields, scalars
from gslb.zone.dispatch_models import DispatchModel
from gslb.zone.fields import Boolean, Countries, Fraction, Identifier, OrEmpty, OrNone, Reads, Seconds, ShortForm, Word
from gslb.zone.models import Model
from gslb.zone.nodes import Text

WORLD, RTT, RESOLVERS = WorldRules(), RttRules(), ResolverRules()

_Ms = Annotated[float, fields.number(0, 10_000)]
_Days = Annotated[int, Reads(lambda value: _within(scalars.seconds(value), 1, 7 * 86_400), {"type": "string"})]
_Rates = Annotated[tuple[int, ...], fields.Several(Reads(scalars.rate, {"type": "string"}), lambda values: values)]
MAPPING_POPS = (20, 40, 80, 160)
_Counts = Annotated[tuple[int, ...], fields.Several(fields.whole(1, 1000), empty="an empty list names no number")]
_Policies = Annotated[
    tuple[str, ...], fields.Several(fields.one_of(*KINDS), empty="an empty list names no policy; leave the key out")
]


def _within(seconds: int, low: int, high: int) -> int:
    if not low <= seconds <= high:
        raise ValueError(f"{seconds} s is not from {low} s to {high} s")
    return seconds


class RttModel(Model):
    """How long round trips take, in milliseconds."""

    base_ms: _Ms = Field(default=RTT.base_ms, description="median of a path of no length; default: 14.8")
    ms_per_1000_km: _Ms = Field(default=RTT.ms_per_1000_km, description="what 1000 km add to it; default: 17.3")
    log_sd: Annotated[float, fields.number(0, 2)] = Field(
        default=RTT.log_sd, description="log-sd of paths about their median; default: 0.39"
    )
    fixed_ms: _Ms = Field(default=RTT.fixed_ms, description="access over a fixed line; default: 8")
    mobile_ms: _Ms = Field(default=RTT.mobile_ms, description="access over a mobile network; default: 35")
    mismatch_home_ms: _Ms = Field(
        default=RTT.mismatch_home_ms, description="added where the edge is in another ISP of the country; default: 15"
    )
    mismatch_abroad_ms: _Ms = Field(
        default=RTT.mismatch_abroad_ms, description="added where it is in another ISP abroad; default: 60"
    )


class ResolversModel(Model):
    """Parts of all demand by the resolver it comes through; what is left is behind ISPs' resolvers in between."""

    public: Fraction = Field(default=RESOLVERS.public, description="public resolvers; default: 0.08")
    local: Fraction = Field(default=RESOLVERS.local, description="the ISP's, in the same city; default: 0.54")
    far: Fraction = Field(default=RESOLVERS.far, description="an ISP's, beyond 1000 miles; default: 0.06")
    ecs: Fraction = Field(
        default=RESOLVERS.ecs, description="part of the public ones' demand with Client Subnet; default: 0.5"
    )
    sites: Annotated[int, fields.whole(1, 200)] = Field(
        default=RESOLVERS.sites, description="sites of a public resolver; default: 16"
    )
    detour: Fraction = Field(
        default=RESOLVERS.detour, description="part of its clients led to another site than the nearest; default: 0.4"
    )


class WorldModel(Model):
    """The world: viewers, PoPs, round trips, resolvers."""

    metros: Annotated[int, fields.whole(1, 1000)] = Field(
        default=WORLD.metros, description="metros, the most populous ones; default: 120"
    )
    countries: Annotated[Countries, OrNone] = Field(default=(), description="only of these countries; default: all")
    pops: Annotated[int, fields.whole(1, 1000)] = Field(default=WORLD.pops, description="PoPs; default: 40")
    edges_per_pop: Annotated[int, fields.whole(1, 5)] = Field(
        default=WORLD.edges_per_pop, description="edges of a PoP; the last is in every network; default: 2"
    )
    placement: Annotated[str, fields.one_of(GREEDY, RANDOM)] = Field(
        default=WORLD.placement, description="greedy: where they help most viewers; default: greedy"
    )
    capacity_ratio: Annotated[float, fields.number(0.1, 100)] = Field(
        default=WORLD.capacity_ratio, description="all capacity over mean demand; default: 2.2"
    )
    rtt: Annotated[RttModel, OrEmpty] = Field(default=RttModel(), description="round-trip times")
    resolvers: Annotated[ResolversModel, OrEmpty] = Field(default=ResolversModel(), description="resolvers")


class ImportModel(Model):
    """Outside data, as files beside the scenario."""

    pops: Word | None = Field(
        default=None, description="CSV of PoPs: code,city,country_code,latitude,longitude[,capacity_bps]"
    )
    rtt: Word | None = Field(default=None, description="CSV of round trips: country,region,isp,pop,rtt_ms")
    rtt_matrix: Word | None = Field(
        default=None, description="matrix of round trips between anonymous nodes: only their distribution is used"
    )
    rtt_matrix_unit: Annotated[str, fields.one_of("ms", "s")] = Field(
        default="ms", description="what its numbers count; default: ms"
    )
    demand: Word | None = Field(default=None, description="CSV of demand: time,service,country,region,isp,demand_bps")


class DemandModel(Model):
    """How people watch."""

    sessions: Annotated[int, fields.whole(1, 10_000_000)] = Field(
        default=20_000, description="viewers at once, in the mean of a day; default: 20000"
    )
    mean: _Days = Field(default=600, description="mean length of a session; default: 10m")
    sigma: Annotated[float, fields.number(0, 3)] = Field(default=1.0, description="log-sd of its length; default: 1")
    rates: _Rates = Field(
        default=(1_000_000, 2_000_000, 3_000_000, 5_000_000),
        description="rates of sessions, equally likely; default: 1, 2, 3 and 5 Mbps",
    )
    streams: Annotated[int, fields.whole(1, 10_000)] = Field(default=20, description="streams; default: 20")
    zipf: Annotated[float, fields.number(0, 3)] = Field(
        default=1.0, description="exponent of their popularity; default: 1"
    )
    peak_to_trough: Annotated[float, fields.number(1, 100)] = Field(
        default=3.5, description="busiest over quietest time of a day; default: 3.5; 1 = always alike"
    )
    start_hour: Annotated[float, fields.number(0, 24)] = Field(
        default=12.0, description="hour of UTC at which the run begins; default: 12"
    )
    regional: Fraction = Field(
        default=0.0, description="part of sessions that go by another order of streams, their country's; default: 0"
    )
    uneven: Annotated[float, fields.number(0, 2)] = Field(
        default=0.0, description="log-sd by which rates of streams differ; default: 0"
    )
    uneven_networks: Annotated[float, fields.number(0, 2)] = Field(
        default=0.0, description="log-sd by which rates of networks differ; default: 0"
    )


class FlashModel(Model):
    """A flash crowd."""

    PLACEHOLDERS: ClassVar[dict[str, Any]] = {"at": Text("0")}

    at: Seconds = Field(description="when it begins")
    factor: Annotated[float, fields.number(1, 1000)] = Field(
        default=10.0, description="arrivals at its height over the usual ones; default: 10"
    )
    rise: Seconds = Field(default=300, description="until its height; default: 5m")
    hold: Seconds = Field(default=600, description="how long it stays there; default: 10m")
    fall: Seconds = Field(default=600, description="until it is over; default: 10m")
    countries: Annotated[Countries, OrNone] = Field(default=(), description="whose viewers come; default: all")
    stream: Annotated[int, fields.whole(0, 9_999)] = Field(
        default=0, description="number of the stream that they watch, by popularity from 0; default: 0"
    )
    announced: Boolean = Field(default=False, description="whether dispatch knows of it beforehand; default: false")


class FailureModel(Model):
    """Something that breaks."""

    PLACEHOLDERS: ClassVar[dict[str, Any]] = {"kind": Text("pop"), "at": Text("0")}

    kind: Annotated[str, fields.one_of("pop", "link", "grey", "stale")] = Field(
        description="pop: all its edges go down, and say so; link: they lose a part of their capacity, and say so;"
        " grey: they lose it and say nothing; stale: their reports do not arrive"
    )
    at: Seconds = Field(description="when")
    lasts: Seconds | None = Field(default=None, description="for how long; default: to the end")
    pop: Identifier | None = Field(default=None, description="the PoP, or largest; default: largest")
    edge: Identifier | None = Field(default=None, description="one edge, in place of a PoP")
    loss: Fraction = Field(default=0.5, description="link, grey: the part of capacity that is lost; default: 0.5")


class MappingModel(Model):
    """A static comparison of mapping with Client Subnet and without, beside the run."""

    pops: _Counts = Field(default=MAPPING_POPS, description="numbers of PoPs, rising; default: 20, 40, 80 and 160")
    worlds: Annotated[int, fields.whole(1, 100)] = Field(
        default=4, description="worlds of which the mean is taken, of seeds that count on from seed; default: 4"
    )
    estimate_log_sd: Annotated[float, fields.number(0, 2)] = Field(
        default=0.05, description="log-sd of the error of measured round trips; default: 0.05"
    )


class ScenarioModel(Model):
    """A scenario."""

    PLACEHOLDERS: ClassVar[dict[str, Any]] = {"seed": Text("0")}

    name: Word | None = Field(default=None, description="what it is about; default: the file's name")
    seed: Annotated[int, fields.whole(0, 2**32 - 1)] = Field(description="of all that is drawn")
    duration: _Days = Field(default=3600, description="what is simulated and measured; default: 1h")
    warmup: Seconds = Field(default=600, description="simulated before it and not measured; default: 10m")
    world: Annotated[WorldModel, OrEmpty] = Field(default=WorldModel(), description="the world")
    imports: Annotated[ImportModel, OrEmpty] = Field(
        default=ImportModel(), description="outside data in place of what is drawn"
    )
    demand: Annotated[DemandModel, OrEmpty] = Field(default=DemandModel(), description="viewers")
    flashes: Annotated[tuple[FlashModel, ...], ShortForm(scalars.listed, ()), OrNone] = Field(
        default=(), description="flash crowds"
    )
    failures: Annotated[tuple[FailureModel, ...], ShortForm(scalars.listed, ()), OrNone] = Field(
        default=(), description="what breaks"
    )
    mapping: MappingModel | None = Field(default=None, description="comparison of ways of mapping; default: none")
    policies: _Policies = Field(default=tuple(KINDS), description="what is compared; default: all")
    ttl: Annotated[int, fields.whole(1, 86_400)] = Field(default=20, description="TTL of answers, s; default: 20")
    changing_ttl: Annotated[int, fields.whole(1, 86_400)] = Field(
        default=5, description="TTL within a minute of a transition, s; default: 5"
    )
    violators: Fraction = Field(
        default=0.07, description="part of demand behind resolvers that keep answers for too long; default: 0.07"
    )
    violators_ecs: Boolean = Field(
        default=True, description="whether resolvers that send Client Subnet are among them; default: true"
    )
    violators_keep: Seconds = Field(default=3600, description="for how long they keep them; default: 1h")
    caches: Annotated[int, fields.whole(1, 1000)] = Field(
        default=8, description="caches of a resolver that sends no Client Subnet, each for itself; default: 8"
    )
    prefixes: Annotated[int, fields.whole(1, 256)] = Field(
        default=8, description="client prefixes of a view behind a resolver that sends Client Subnet; default: 8"
    )
    report_delay: Seconds = Field(
        default=2, description="from a measurement of an edge to servers that go by it; default: 2"
    )
    dispatch: Annotated[DispatchModel, OrEmpty] = Field(
        default=DispatchModel(), description="rules of plans, as in zones/dispatch.yaml"
    )
    limits: Annotated[str, fields.one_of("on", "off")] = Field(
        default="on", description="whether a round's moves are limited; default: on"
    )
