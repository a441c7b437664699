"""Small worlds for Hypothesis: zones, services, edges and networks, compiled by the real path, and their states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from gslb.answer.engine import Identity
from gslb.model.override import Override, Target
from gslb.model.plan import PLAN_SUM, Plan, PlanRow
from gslb.model.report import Report, StoreState
from gslbtest.questions import SECRETS
from gslbtest.world import NOW_S, World, world

NOW_MS = NOW_S * 1000
G = 10**9
LEVELS = ["isp+region", "isp+country", "isp", "region", "country", "continent", "any"]
PLACES = ["DE, region: BE", "DE, region: BY", "FR, region: IDF", "US, region: NY"]
PREFIXES = [
    "198.51.100.0/24", "198.51.0.0/16", "198.51.100.128/32", "198.51.100.64/26", "100.0.0.0/8", "192.0.2.0/25",
    "2001:db8:1::/48", "2001:db8::/32", "2a02::/16", "2001:db8:1:8000::/50", "2a02:8000::/17",
]  # fmt: skip
FACTS = ["dtag,DE,BE", "dtag,DE,BY", "voda,DE,", ",FR,IDF", "AS7018,US,NY", ",US,", "voda,,"]
EDGES_MOST = 20  # more than fit in a row of steering

STATIC = """
  "@": {NS: [ns1, ns2.other.test.], MX: [10 mail, 20 mail.y.test.], TXT: hello}
  ns1: {A: 192.0.2.53, AAAA: "2001:db8::53"}
  mail: {A: [192.0.2.25, 192.0.2.26], TXT: ["v=1", two]}
  a.deep.er: {TXT: below empty names}
  h: {HTTPS: "1 . alpn=h2", SRV: 0 0 443 mail, CAA: 0 issue "ca.test"}
  "*.wild": {A: 192.0.2.99, MX: 5 mail}
  sub.wild: {TXT: not wild}
  live: {TXT: beside a service, HTTPS: "1 . alpn=h3"}
  big: {TXT: [BIG]}
  toLive: {CNAME: live}
  toStar: {CNAME: q.live}
  toY: {CNAME: Play.Y.test.}
  toChild: {CNAME: www.sub}
  toDel: {CNAME: host.del}
  out: {CNAME: elsewhere.example.}
  gone: {CNAME: nowhere}
  toBig: {CNAME: big}
  "*.al": {CNAME: toLive}
  c0: {CNAME: c1.y.test.}
  c2: {CNAME: c3.y.test.}
  c4: {CNAME: c5.y.test.}
  c6: {CNAME: c7.y.test.}
  c8: {CNAME: live}
  del: {NS: [ns.del, ns1.other.test.], DS: "12345 13 2 ${DIGEST}"}
  ns.del: {A: 198.51.100.53}
  sub: {NS: [ns1], DS: "12345 13 2 ${DIGEST}"}
""".replace("${DIGEST}", "0123456789abcdef" * 4).replace(
    "BIG", ", ".join(f'"{number:03d} {"x" * 120}"' for number in range(40))
)


def wire(text: str) -> bytes:
    """A name in wire form, in lower case; labels without escapes."""
    return b"".join(bytes((len(label),)) + label.lower().encode() for label in text.split(".") if label) + b"\0"


OWNERS = [
    "ns1", "mail", "deep.er", "a.deep.er", "h", "q.wild", "sub.wild", "big", "toDel", "out", "gone", "toBig", "c0",
    "c1", "del", "host.del", "ns.del", "sub",
]  # fmt: skip
SERVED = [
    "live.x.test", "q.live.x.test", "play.x.test", "far.down.live.x.test", "s.deep.er.x.test", "play.y.test",
    "a.y.test", "toLive.x.test", "toStar.x.test", "toY.x.test", "toChild.x.test", "www.sub.x.test", "z.al.x.test",
    "c2.x.test",
]  # fmt: skip
OTHERS = ["x.test", "y.test", "c1.y.test", "else.example", "test", ""]
KNOWN = [wire(each) for each in (*(f"{owner}.x.test" for owner in OWNERS), *OTHERS, *SERVED, *SERVED, *SERVED)]
"""Names to ask small worlds for, by a chance of which others are made."""


@dataclass(frozen=True)
class Small:
    """The texts of a world, and how its server calls itself."""

    zones: Mapping[str, str]
    tables: Mapping[str, str]
    server_id: bytes
    edges: int

    def compiled(self) -> World:
        """The world, nothing reported yet."""
        return world(self.zones, self.tables, identity=Identity(server_id=self.server_id, cookie_secrets=SECRETS))


@st.composite
def smalls(draw: Any) -> Small:
    """A world."""
    count = draw(st.one_of(st.integers(1, 4), st.integers(1, EDGES_MOST)))
    edges = "".join(f"  e{at}: {{{draw(_edges())}}}\n" for at in range(count))
    pools = []
    for at in range(2):
        chosen = draw(st.sets(st.integers(0, count - 1), min_size=1)) if draw(st.booleans()) else range(count)
        weights = [f"e{edge}: {draw(st.sampled_from([100, 60, 100, 1, 65535, 0]))}" for edge in sorted(chosen)]
        pools.append(f"  p{at}: {{{', '.join(weights)}}}\n")
    return Small(
        {
            "zones/edges.yaml": "edges:\n" + edges,
            "zones/isps.yaml": "isps: {dtag: {asns: [3320]}, voda: {asns: [3209]}}\n",
            "zones/x.yaml": "zone: x.test.\nsoa: {mname: ns1, rname: h, negative_ttl: 60}\nttl: 300\nrecords:"
            + STATIC
            + f"services:\n  live: {{{draw(_services())}}}\n  '*.live': {{{draw(_services())}}}\n"
            f"  play: {{{draw(_services())}}}\n  s.deep.er: {{{draw(_services())}}}\n"
            "pools:\n" + "".join(pools),
            "zones/sub.yaml": "zone: sub.x.test.\nsoa: {mname: ns1, rname: h}\n"
            "records:\n  '@': {NS: ns1.x.test.}\n  www: {CNAME: live.x.test.}\n",
            "zones/y.yaml": "zone: y.test.\nsoa: {mname: ns1, rname: h}\n"
            "records:\n  '@': {NS: ns1.x.test.}\n"
            + "".join(f"  c{link}: {{CNAME: C{link + 1}.X.test.}}\n" for link in (1, 3, 5, 7))
            + f"services:\n  play: {{{draw(_services())}}}\n  '*': {{{draw(_services())}}}\n",
        },
        draw(_tables()),
        draw(st.sampled_from([b"gslb", b"", b"n" * 600, b"n" * 1020])),
        count,
    )


@st.composite
def _edges(draw: Any) -> str:
    families = draw(st.sampled_from(["46", "46", "46", "46", "4", "6"]))
    hosts = sorted(draw(st.sets(st.integers(1, 9), min_size=1, max_size=5)))
    found = [f"v4: [{', '.join(f'203.0.113.{host}' for host in hosts)}]"] * ("4" in families)
    sixes = [f"'2001:db8:e::{host}'" for host in hosts]
    found += [f"v6: [{', '.join(sixes)}]"] * ("6" in families)
    isp = draw(st.sampled_from(["", ", isps: [dtag]", ", isps: [any]", ", isps: [voda, AS7018]"]))
    fence = draw(st.sampled_from(["", "", "", ", fence: [US]", ", fence: [DE, FR]"]))
    place = draw(st.sampled_from(PLACES))
    return (
        f"pop: pop{PLACES.index(place)}, location: {{country: {place}, lat: 1, lon: 1}}, "
        f"addresses: {{{', '.join(found)}}}, capacity: {draw(st.sampled_from([10, 40]))}Gbps{isp}{fence}"
    )


@st.composite
def _services(draw: Any) -> str:
    some = draw(st.sets(st.sampled_from(LEVELS), min_size=1)) | (set() if draw(st.integers(0, 5)) == 0 else {"any"})
    affinity = sorted(some, key=LEVELS.index)
    found = [f"pool: p{draw(st.integers(0, 1))}", f"affinity: [{', '.join(affinity)}]"]
    found.append(f"ttl: {draw(st.sampled_from([1, 20, 86400]))}")
    if draw(st.booleans()):
        found.append(f"answers: {draw(st.one_of(st.integers(1, 3), st.integers(1, 16)))}")
    if draw(st.booleans()):
        found.append(f"spread: {draw(st.integers(0, 4))}")
    if draw(st.booleans()):
        found.append(f"max_records: {draw(st.sampled_from([1, 2, 5, 32]))}")
    if draw(st.booleans()):
        bits = draw(st.sampled_from([0, 1, 20, 24, 32])), draw(st.sampled_from([0, 1, 40, 56, 64]))
        found.append(f"hash_len: {{v4: {bits[0]}, v6: {bits[1]}}}")
    if draw(st.integers(0, 3)) == 0:
        found.append('fallback: {v4: [192.0.2.80, 192.0.2.81], v6: ["2001:db8::80"]}')
    if draw(st.integers(0, 3)) == 0:
        found.append("on_all_down: closed")
    if draw(st.integers(0, 3)) == 0:
        found.append("dispatch: true")
    return ", ".join(found)


@st.composite
def _tables(draw: Any) -> dict[str, str]:
    known = sorted(draw(st.sets(st.sampled_from(PREFIXES))))
    facts = [f"{prefix},{draw(st.sampled_from(FACTS))}\n" for prefix in known]
    rows = "192.0.2.200/32,198.51.100.0/24,1\n2001:db8:ffff::/48,2a02::/16,1\n100.9.0.0/16,2001:db8:1::/48,1\n"
    return {
        "data/isp/net.csv": "prefix,isp,country,region\n" + "".join(facts),
        "data/resolvers.csv": "resolver_prefix,client_prefix,share\n" + (rows if draw(st.booleans()) else ""),
    }


@st.composite
def states(draw: Any, edges: int) -> StoreState:
    """What a store may say of a world's edges: any of the verdicts, orders of every kind, and a plan."""
    reports = {}
    for at in sorted(draw(st.sets(st.integers(0, edges - 1)))):
        health = st.sampled_from(["up", "up", "down", "down", "drain"])
        reports[f"e{at}"] = Report(
            f"e{at}", 1, 1, NOW_MS - draw(st.sampled_from([0, 0, 4000, 12_000])),
            since_ms=draw(st.sampled_from([0, NOW_MS - 30_000])), health4=draw(health), health6=draw(health),
            load_bps=draw(st.sampled_from([0, 9 * G, 37 * G])),
            headroom_milli=draw(st.sampled_from([-1, -1, 0, 1, 300])),
        )  # fmt: skip
    overrides = {}
    for at in range(draw(st.integers(0, 2))):
        kind = draw(st.sampled_from(["drain", "ramp", "pin"]))
        edge = f"e{draw(st.integers(0, edges - 1))}"
        overrides[f"o{at}"] = Override(
            f"o{at}", kind, Target(service="live.x.test.") if kind == "pin" else Target(edge),
            NOW_S - 100, NOW_S + 9000, value_milli=10 if kind == "ramp" else 0,
            edges=(edge,) * (kind == "pin"), reason="x",
        )  # fmt: skip
    plan = None
    if edges > 1 and draw(st.integers(0, 2)) == 0:
        rows = [
            PlanRow(service, *view.split("|"), (("e0", 30_000), ("e1", PLAN_SUM - 30_000)), ())
            for service in ("live.x.test.", "play.y.test.")
            for view in ("DE||", "DE||dtag", "||")
        ]
        hold_ms = NOW_MS + draw(st.sampled_from([10_000, -20_000, -300_000]))
        plan = Plan("v1", "", 0, hold_ms - 20_000, hold_ms, tuple(sorted(rows)))
    seen = {edge: each.received_ms for edge, each in reports.items()}
    return StoreState(NOW_MS, reports, seen, overrides=overrides, plan=plan)
