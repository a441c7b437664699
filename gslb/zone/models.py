"""What may stand in the YAML files of `zones/`, key by key, as pydantic models.

The models take the tree of `gslb.zone.nodes`. A field holds the value in the unit its key is named for; a text whose
meaning depends on other keys or files keeps its place (`gslb.zone.nodes.Text`). None is "not written": what holds then
is said by the description and decided where the model is turned into `gslb.model`. ``PLACEHOLDERS`` stand for required
keys that are missing or wrong, so that the rest of the same mapping is still checked; each must be sound itself.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from gslb.zone.fields import (
    Addresses4,
    Addresses6,
    Affinity,
    Asns,
    Boolean,
    CapacityForm,
    Countries,
    Country,
    Filled,
    Fraction,
    Identifier,
    Isps,
    OrEmpty,
    OrNone,
    Prefixes,
    Rate,
    Rdatas,
    RecordForm,
    Region,
    Seconds,
    Weight,
    Word,
    Words,
    number,
    one_of,
    whole,
)
from gslb.zone.nodes import Keys, Text

MAX_SLOW_START_S = 900
"""The longest slow start: no longer than an override is kept after its end, which gives weight back by it."""


class Model(BaseModel):
    """A mapping whose every key is known."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    PLACEHOLDERS: ClassVar[dict[str, Any]] = {}


class HashLengths(Model):
    """Bits of a client's address."""

    v4: Annotated[int | None, whole(0, 32)] = Field(default=None, description="for IPv4 clients; default: 20")
    v6: Annotated[int | None, whole(0, 64)] = Field(default=None, description="for IPv6 clients; default: 40")


class FallbackModel(Model):
    """Addresses outside the inventory."""

    v4: Addresses4 = Field(default=(), description="IPv4 addresses, answered to A")
    v6: Addresses6 = Field(default=(), description="IPv6 addresses, answered to AAAA")


class DefaultsModel(Model):
    """The keys of a service that `defaults:` may hold for all services of the zone."""

    pool: Identifier | None = Field(
        default=None, description="the pool whose edges serve this name; required in the end"
    )
    ttl: Seconds | None = Field(default=None, description="TTL of the answers; default: 20")
    changing_ttl: Seconds | None = Field(
        default=None,
        description="TTL within changing_s of a transition, ahead of a drain and when failing open; default: 5",
    )
    affinity: Affinity | None = Field(
        default=None,
        description="levels of nearness, best first, or nearest; default: all seven levels from isp+region to any",
    )
    hash_len: HashLengths | None = Field(
        default=None, description="how much of a client's address the draw looks at; the scope is at least as long"
    )
    answers: Annotated[int | None, whole(1, 16)] = Field(default=None, description="edges in one answer; default: 1")
    spread: Annotated[int | None, whole(0, 255)] = Field(
        default=None, description="edges of each level that one name uses, chosen by its hash; default: 0 (all)"
    )
    max_records: Annotated[int | None, whole(1, 32)] = Field(
        default=None, description="addresses of one edge in an answer, at most; default: 4"
    )
    panic: Fraction | None = Field(
        default=None, description="availability below which the service fails open; default: 0.2"
    )
    on_all_down: Annotated[str | None, one_of("open", "closed")] = Field(
        default=None, description="open: fail open; closed: give no address; default: open"
    )
    fallback: FallbackModel | None = Field(
        default=None, description="addresses for clients whom no edge may serve; default: none"
    )
    dispatch: Boolean | None = Field(
        default=None, description="whether published plans steer this service; default: false"
    )
    max_change: Fraction | None = Field(
        default=None,
        description="share of the known IPv4 /24s that one reload may move without apply --force; default: 0.3",
    )


class ServiceModel(DefaultsModel):
    """A dynamic name. What it does not say comes from the service it is `like`, then from `defaults`."""

    like: Word | None = Field(
        default=None, description="a service of this zone whose keys hold where this one has none"
    )


class SoaModel(Model):
    """The SOA record; every key may be left out."""

    mname: Word | None = Field(default=None, description="the primary server; default: the zone's first NS")
    rname: Word | None = Field(
        default=None, description="mail address of the person in charge, written as a name; default: hostmaster"
    )
    serial: Annotated[int | None, whole(0, 2**32 - 1)] = Field(
        default=None, description="default: made from the content"
    )
    refresh: Seconds = Field(default=3600, description="for secondaries; default: 1h")
    retry: Seconds = Field(default=600, description="for secondaries; default: 10m")
    expire: Seconds = Field(default=604800, description="for secondaries; default: 7d")
    negative_ttl: Seconds = Field(
        default=60, description="how long a resolver remembers that something does not exist; default: 60"
    )
    ttl: Seconds | None = Field(default=None, description="TTL of the SOA record itself; default: the zone's ttl")


class RecordModel(Model):
    """The records of one owner and type."""

    PLACEHOLDERS: ClassVar[dict[str, Any]] = {"data": Text("?")}

    ttl: Seconds | None = Field(default=None, description="TTL; default: the zone's ttl")
    data: Rdatas = Field(description="rdata in presentation form, or a list of it")


class ZoneModel(Model):
    """A zone: every *.yaml in zones/ whose name is not reserved."""

    PLACEHOLDERS: ClassVar[dict[str, Any]] = {"zone": Text("?")}

    zone: Word = Field(description="the zone's name, such as live.example.")
    ttl: Seconds = Field(default=300, description="TTL of static records; default: 300")
    soa: Annotated[SoaModel, OrEmpty] = Field(default=SoaModel(), description="the SOA record")
    include: Annotated[Words, OrNone] = Field(default=(), description="RFC 1035 master files beside this one")
    records: Annotated[dict[Word, Annotated[dict[Word, Annotated[RecordModel, RecordForm]], Filled]], OrEmpty] = Field(
        default={}, description="static records: owner, then type, then rdata"
    )
    defaults: Annotated[DefaultsModel, OrEmpty] = Field(
        default=DefaultsModel(), description="keys that hold for all services"
    )
    services: Annotated[dict[Word, Annotated[ServiceModel, OrEmpty]], OrEmpty] = Field(
        default={}, description="dynamic names; each key is a name of this zone, @ its apex"
    )
    pools: Annotated[dict[Identifier, dict[Identifier, Weight]], OrEmpty] = Field(
        default={},
        description="the edges a service may use, each with its weight; 0 = never. Names of pools are global",
    )


class AddressesModel(Model):
    """The addresses on which an edge serves viewers."""

    v4: Addresses4 = Field(default=(), description="IPv4 addresses")
    v6: Addresses6 = Field(default=(), description="IPv6 addresses")


class LocationModel(Model):
    """Where an edge stands. Its continent follows from the country."""

    PLACEHOLDERS: ClassVar[dict[str, Any]] = {"country": Text("US"), "lat": Text("0"), "lon": Text("0")}

    country: Country = Field(description="ISO 3166-1 alpha-2")
    region: Region = Field(default="", description="ISO 3166-2 subdivision without the country; default: unknown")
    lat: Annotated[float, number(-90, 90)] = Field(description="degrees north")
    lon: Annotated[float, number(-180, 180)] = Field(description="degrees east")


class CapacityModel(Model):
    """What an edge can carry."""

    bps: Rate | None = Field(default=None, description="bits per second, such as 40Gbps; default: unknown")
    sessions: Annotated[int | None, whole(1, 2**53)] = Field(
        default=None, description="viewers at once; default: unlimited"
    )


class EdgeModel(Model):
    """A cluster that serves viewers."""

    PLACEHOLDERS: ClassVar[dict[str, Any]] = {"pop": Text("x"), "addresses": Keys(), "location": None}

    pop: Identifier = Field(description="the site it stands in")
    addresses: AddressesModel = Field(description="where viewers connect; at least one")
    location: LocationModel | None = Field(description="where it stands")
    isps: Isps = Field(default=(), description="networks it is inside of: names of isps.yaml, AS<number>, or any")
    capacity: Annotated[CapacityModel | None, CapacityForm] = Field(
        default=None, description="40Gbps, or {bps: 40Gbps, sessions: 20000}; default: unknown"
    )
    fence: Countries = Field(default=(), description="the only countries whose clients it may serve; default: all")


class HealthModel(Model):
    """How reports of edges age."""

    stale_s: Annotated[float, number(0.1, 3600)] = Field(
        default=3.0, description="seconds after which a report is stale; default: 3"
    )
    hold_s: Annotated[float, number(0, 86400)] = Field(
        default=7.0,
        description="seconds for which a stale edge is treated as its last state, before it counts as down; default: 7",
    )
    changing_s: Annotated[float, number(0, 86400)] = Field(
        default=60.0, description="seconds after a transition for which changing_ttl is answered; default: 60"
    )
    silence_share: Fraction = Field(
        default=0.3,
        description="share of a continent's capacity whose common silence is held and not believed; default: 0.3",
    )
    silence_edges: Annotated[int, whole(1, 65535)] = Field(
        default=3, description="that is meant, and at least so many edges; default: 3"
    )
    slow_start_s: Annotated[int, whole(0, MAX_SLOW_START_S)] = Field(
        default=90,
        description="whole seconds over which an edge that comes back regains its weight; 0 = at once; default: 90",
    )


class RateLimitModel(Model):
    """Response rate limiting of errors and NXDOMAIN; off where `rrl` is absent."""

    PLACEHOLDERS: ClassVar[dict[str, Any]] = {"per_second": Text("1")}

    per_second: Annotated[int, whole(1, 1_000_000)] = Field(
        description="such answers a second to one client prefix (/24, /56)"
    )
    slip: Annotated[int, whole(0, 10)] = Field(
        default=2, description="every so many-th is answered TC; 0 = none; default: 2"
    )
    window_s: Annotated[int, whole(1, 3600)] = Field(
        default=15, description="seconds over which is counted; default: 15"
    )
    allow: Prefixes = Field(default=(), description="prefixes never limited; default: none beside loopback")


class EdgesModel(Model):
    """edges.yaml: the inventory, and the rules that hold for all of it."""

    PLACEHOLDERS: ClassVar[dict[str, Any]] = {"edges": Keys()}

    edges: dict[Identifier, EdgeModel] = Field(description="each edge by its name")
    health: Annotated[HealthModel, OrEmpty] = Field(default=HealthModel(), description="how reports age")
    rrl: RateLimitModel | None = Field(default=None, description="response rate limiting; default: off")


class IspModel(Model):
    """An ISP: at least one of its AS numbers and names."""

    asns: Asns = Field(default=(), description="its AS numbers")
    names: Words = Field(default=(), description="what geographic databases call it")


class IspsModel(Model):
    """isps.yaml: short names of ISPs. Every other network is AS<number>."""

    PLACEHOLDERS: ClassVar[dict[str, Any]] = {"isps": Keys()}

    isps: Annotated[dict[Identifier, IspModel], OrEmpty] = Field(description="each ISP by its short name")
