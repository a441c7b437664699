"""What sound files mean: the intent they become."""

from __future__ import annotations

import struct

import dns.name
import dns.rdata
import pytest

from gslb.model.intent import Intent, Service
from gslb.model.inventory import Edge, HealthRules, Isp, Location, RateLimit
from gslb.model.names import to_text
from gslb.zone.check import check
from gslb.zone.records import MAX_RRSET_BYTES
from gslb.zone.zonecheck import CHAIN

ZONE = """\
zone: live.example.
ttl: 300
soa: {mname: ns1, rname: hostmaster, negative_ttl: 60}
include: [static.zone]
records:
  "@": {NS: [ns1, ns2]}
  NS1: {A: 192.0.2.53, aaaa: "2001:db8::53"}
  ns2: {A: {ttl: 60, data: [192.0.2.54, 192.0.2.55]}}
services:
  pull: {pool: live-edges, ttl: 20, affinity: [isp+region, isp+country, country, continent, any]}
  "*.Pull": {like: pull, spread: 2}
pools:
  live-edges: {sha-ct: 100, fra-1: 0}
"""
STATIC = """\
www 1h CNAME pull
    ; nothing
txt TXT "one" two
"""
EDGES = """\
edges:
  sha-ct:
    pop: sha
    addresses: {v4: [203.0.113.10], v6: ["2001:db8:10::10"]}
    location: {country: cn, region: sh, lat: 31.2, lon: 121.5}
    isps: [chinanet, AS4812, as64500, any]
    capacity: {bps: 40Gbps, sessions: 20000}
    fence: [cn]
  fra-1:
    pop: fra
    addresses: {v4: 203.0.113.20}
    location: {country: NO, lat: -1, lon: 8.68}
"""
ISPS = 'isps: {unicom: {asns: AS4837}, chinanet: {asns: [4134, 4812], names: ["China Telecom", CT]}}\n'
FILES = {
    "zones/live.example.yaml": ZONE,
    "zones/static.zone": STATIC,
    "zones/edges.yaml": EDGES,
    "zones/isps.yaml": ISPS,
}


def wire(text: str) -> bytes:
    return dns.name.from_text(text).to_wire() or b""


def checked(files: dict[str, str]) -> Intent:
    found = check({path: text.encode() for path, text in files.items()})
    assert [str(error) for error in found.findings.errors] == []
    assert found.intent is not None
    return found.intent


def zone_with(text: str, **files: str) -> dict[str, str]:
    head = 'zone: live.example.\nrecords: {"@": {NS: ns.other.example.}}\npools: {p: {e: 1}}\n'
    edges = (
        "edges: {e: {pop: p, addresses: {v4: 192.0.2.1, v6: '2001:db8::1'}, location: {country: DE, lat: 1, lon: 1}}}\n"
    )
    return {"zones/edges.yaml": edges, "zones/live.yaml": head + text, **{f"zones/{k}": v for k, v in files.items()}}


def test_the_whole() -> None:
    intent = checked(FILES)
    assert intent.edges == (
        Edge("fra-1", "fra", (bytes((203, 0, 113, 20)),), (), Location("NO", "", -1.0, 8.68, "EU")),
        Edge(
            "sha-ct",
            "sha",
            (bytes((203, 0, 113, 10)),),
            (bytes.fromhex("20010db8001000000000000000000010"),),
            Location("CN", "SH", 31.2, 121.5, "AS"),
            isps=("chinanet", "AS64500", "any"),
            capacity_bps=40_000_000_000,
            capacity_sessions=20000,
            fence=("CN",),
        ),
    )
    assert intent.isps == (Isp("chinanet", (4134, 4812), ("China Telecom", "CT")), Isp("unicom", (4837,)))
    assert [(pool.name, pool.weights) for pool in intent.pools] == [("live-edges", (("sha-ct", 100), ("fra-1", 0)))]
    assert (intent.health, intent.rate_limit) == (HealthRules(), None)
    (zone,) = intent.zones
    assert (zone.name, zone.path, zone.negative_ttl_s) == (wire("live.example."), "zones/live.example.yaml", 60)
    rows = [(to_text(r.owner), r.rtype, r.ttl_s, r.rdatas) for r in zone.rrsets]
    assert rows == [
        ("ns1.live.example.", 1, 300, (bytes((192, 0, 2, 53)),)),
        ("ns1.live.example.", 28, 300, (bytes.fromhex("20010db8000000000000000000000053"),)),
        ("ns2.live.example.", 1, 60, (bytes((192, 0, 2, 54)), bytes((192, 0, 2, 55)))),
        ("txt.live.example.", 16, 3600, (b"\x03one\x03two",)),
        ("www.live.example.", 5, 3600, (wire("pull.live.example."),)),
        ("live.example.", 2, 300, (wire("ns1.live.example."), wire("ns2.live.example."))),
    ]
    affinity = ("isp+region", "isp+country", "country", "continent", "any")
    pull = Service(wire("pull.live.example."), "live-edges", affinity)
    star = Service(wire("*.pull.live.example."), "live-edges", affinity, spread=2)
    assert zone.services == (star, pull)


def test_nothing_in_the_intent_remembers_files() -> None:
    """It goes to another process, and is compared; plain types only."""

    def types(value: object) -> set[type]:
        if isinstance(value, tuple):
            return {type(value)}.union(*(types(each) for each in value))
        if isinstance(value, dict):
            return set().union(*(types(each) for pair in value.items() for each in pair))
        if hasattr(value, "__slots__") and type(value).__module__.startswith("gslb.model"):
            return set().union(*(types(getattr(value, name)) for name in value.__slots__))
        return {type(value)}

    assert types(checked(FILES)) <= {tuple, str, bytes, int, float, bool, type(None)}


DEFAULTS = [
    ("services: {a: {pool: p}}", {}),
    ("defaults: {pool: p, ttl: 1m, answers: 3}\nservices: {a: }", {"ttl_s": 60, "answers": 3}),
    (
        "defaults: {ttl: 1m}\nservices: {a: {like: b, spread: 1}, b: {pool: p, ttl: 2m, spread: 3}}",
        {"ttl_s": 120, "spread": 1},
    ),
    ("services: {a: {like: b}, b: {like: c.live.example.}, c: {pool: p, panic: 10%}}", {"panic": 0.1}),
    ("services: {a: {pool: p, ttl: 3}}", {"ttl_s": 3, "changing_ttl_s": 3}),
    ("services: {a: {pool: p, ttl: 3, changing_ttl: 1}}", {"ttl_s": 3, "changing_ttl_s": 1}),
    ("services: {a: {pool: p, affinity: nearest}}", {"affinity": ("nearest",)}),
    ("services: {a: {pool: p, affinity: country}}", {"affinity": ("country",)}),
    (
        "defaults: {hash_len: {v4: 24, v6: 56}}\nservices: {a: {pool: p, hash_len: {v6: 48}}}",
        {"hash_len_v4": 24, "hash_len_v6": 48},
    ),
    (
        'services: {a: {pool: p, fallback: {v4: 192.0.2.9, v6: ["2001:db8::9"]}}}',
        {"fallback_v4": (bytes((192, 0, 2, 9)),), "fallback_v6": (bytes.fromhex("20010db8000000000000000000000009"),)},
    ),
    (
        "services: {a: {pool: p, max_records: 2, on_all_down: closed, dispatch: yes, max_change: 1}}",
        {"max_records": 2, "on_all_down": "closed", "dispatch": True, "max_change": 1.0},
    ),
]


@pytest.mark.parametrize(("text", "differs"), DEFAULTS)
def test_keys_of_a_service(text: str, differs: dict[str, object]) -> None:
    services = {service.name: service for service in checked(zone_with(text)).zones[0].services}
    assert services[wire("a.live.example.")] == Service(name=wire("a.live.example."), pool="p", **differs)


OTHER = "ns.other.example. hostmaster.live.example."
SOAS = [
    ("", f"{OTHER} 0 3600 600 604800 60", 300),
    ("soa: ", f"{OTHER} 0 3600 600 604800 60", 300),
    ("soa: {refresh: 1h, retry: 1m, expire: 1d, negative_ttl: 5, ttl: 9}", f"{OTHER} 0 3600 60 86400 5", 9),
    ("soa: {mname: ns1, rname: a\\.b.c., serial: 7}", "ns1.live.example. a\\.b.c. 7 3600 600 604800 60", 300),
]


@pytest.mark.parametrize(("text", "rdata", "ttl_s"), SOAS)
def test_soa(text: str, rdata: str, ttl_s: int) -> None:
    zone = checked(zone_with(text)).zones[0]
    found = dns.rdata.from_wire("IN", "SOA", zone.soa.rdatas[0], 0, len(zone.soa.rdatas[0]))
    wanted = dns.rdata.from_text("IN", "SOA", rdata)
    if wanted.serial == 0:
        assert found.serial > 0
        found = found.replace(serial=0)
    assert found == wanted
    assert (zone.soa.owner, zone.soa.rtype, zone.soa.ttl_s) == (zone.name, 6, ttl_s)
    assert zone.negative_ttl_s == wanted.minimum
    assert all(rrset.rtype != 6 for rrset in zone.rrsets)


def test_soa_of_an_included_file() -> None:
    files = zone_with("include: s.zone", **{"s.zone": "$TTL 60\n@ SOA ns1 host 5 1 2 3 44\n"})
    zone = checked(files).zones[0]
    assert zone.soa.rdatas[0].endswith(struct.pack("!IIIII", 5, 1, 2, 3, 44))
    assert (zone.negative_ttl_s, zone.soa.ttl_s) == (44, 60)


def serial(text: str, **files: str) -> int:
    return int.from_bytes(checked(zone_with(text, **files)).zones[0].soa.rdatas[0][-20:-16], "big")


def test_serial_follows_the_content_and_nothing_else() -> None:
    base = "include: s.zone\nservices: {a: {pool: p}}"
    same = "services:\n  a:\n    ttl: 20  # as it is anyway\n    pool: p\ninclude: s.zone"
    one, other = "x A 192.0.2.1\ny A 192.0.2.2", "y A 192.0.2.2 ; second\nx A 192.0.2.1"
    assert serial(base, **{"s.zone": one}) == serial(same, **{"s.zone": other})
    others = {
        serial(base, **{"s.zone": one.replace("y", "z")}),
        serial(base, **{"s.zone": one.replace(" A", " 60 A")}),
        serial(base.replace("p}", "p, ttl: 21}"), **{"s.zone": one}),
        serial(base + "\nsoa: {negative_ttl: 61}", **{"s.zone": one}),
    }
    assert len(others) == 4
    assert serial(base, **{"s.zone": one}) not in others


def test_health_and_rate_limit() -> None:
    files = zone_with("")
    files["zones/edges.yaml"] += (
        "health: {stale_s: 2.5, hold_s: 8, changing_s: 30, silence_share: 50%, silence_edges: 5, slow_start_s: 0}\n"
        "rrl: {per_second: 5, slip: 0, window_s: 10, allow: [192.0.2.0/24, '2001:db8::1']}\n"
    )
    intent = checked(files)
    assert intent.health == HealthRules(2.5, 8.0, 30.0, 0.5, 5, 0)
    assert intent.rate_limit == RateLimit(5, 0, 10, ("192.0.2.0/24", "2001:db8::1/128"))


def test_services_may_share_their_name_with_other_types_and_be_the_apex() -> None:
    intent = checked(zone_with('services: {"@": {pool: p}, "*": {pool: p}}'))
    assert [to_text(service.name) for service in intent.zones[0].services] == ["*.live.example.", "live.example."]


def test_an_included_file_lies_in_a_folder_and_serves_two_zones() -> None:
    files = zone_with("include: sub/s.zone", **{"sub/s.zone": "www A 192.0.2.1"})
    files["zones/more.yaml"] = 'zone: more.example\nrecords: {"@": {NS: ns.other.example.}}\ninclude: [./sub/s.zone]'
    intent = checked(files)
    assert {to_text(r.owner) for zone in intent.zones for r in zone.rrsets if r.rtype == 1} == {
        "www.live.example.",
        "www.more.example.",
    }


def test_a_zone_below_another() -> None:
    files = zone_with("services: {a: {pool: p}}")
    files["zones/live.yaml"] = files["zones/live.yaml"].replace(
        '{"@"', '{sub: {NS: [ns.sub, ns.other.example.]}, ns.sub: {A: 192.0.2.9}, "@"'
    )
    files["zones/sub.yaml"] = 'zone: sub.live.example.\nrecords: {"@": {NS: ns}, ns: {A: 192.0.2.9}}'
    found = check({path: text.encode() for path, text in files.items()})
    assert found.findings.errors == found.findings.warnings == []


def test_other_files_are_passed_over_and_the_folder_is_found() -> None:
    files = {path.replace("zones/", "/etc/gslb/zones/"): text for path, text in FILES.items()}
    for name in ("README.md", "networks.csv", "slo.yaml", "contracts.yaml"):
        files[f"/etc/gslb/zones/{name}"] = ": not YAML :\x00"
    assert checked(files).zones[0].path == "/etc/gslb/zones/live.example.yaml"


def test_nothing_at_all() -> None:
    found = check({})
    assert [str(error) for error in found.findings.errors] == [
        "zones:0:0: no zone: there is no *.yaml but for reserved names",
        "zones/edges.yaml:0:0: the file is missing",
    ]
    assert (found.intent, found.isps) == (None, ())


def test_isps_are_known_where_only_other_files_are_wrong() -> None:
    files = {**FILES, "zones/edges.yaml": "edges: x"}
    found = check({path: text.encode() for path, text in files.items()})
    assert found.intent is None
    assert [isp.name for isp in found.isps or ()] == ["chinanet", "unicom"]
    files["zones/isps.yaml"] = "isps: x"
    assert check({path: text.encode() for path, text in files.items()}).isps is None


@pytest.mark.no_cover
def test_ten_thousand_names() -> None:
    """No time is asserted; the counts show that nothing was given up on the way."""
    lines = "".join(f"  h{i}: {{A: 192.0.2.{i % 250 + 1}, TXT: text {i}}}\n" for i in range(5000))
    services = "".join(f"  s{i}: {{pool: p}}\n" for i in range(5000))
    files = zone_with(f"services:\n{services}")
    files["zones/more.yaml"] = f'zone: more.example.\nrecords:\n  "@": {{NS: ns.other.example.}}\n{lines}'
    zones = {to_text(zone.name): zone for zone in checked(files).zones}
    assert len(zones["live.example."].services) == 5000
    assert len(zones["more.example."].rrsets) == 10001


def test_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gslb.zone.check.MAX_ZONES", 0)
    monkeypatch.setattr("gslb.zone.inventory.MAX_EDGES", 0)
    monkeypatch.setattr("gslb.zone.records.MAX_RRSET_BYTES", 20)
    found = check({path: text.encode() for path, text in zone_with("services: {a: {pool: p}}").items()})
    assert [str(error) for error in found.findings.errors] == [
        "zones/edges.yaml:1:1: 1 edges; at most 0 fit",
        "zones/live.yaml:0:0: 1 zones; at most 0 fit",
        'zones/live.yaml:2:21: NS of "live.example.": 30 bytes in all, at most 20',
    ]


@pytest.mark.parametrize(("extra", "refused"), [(b"", False), (b"x", True)])
def test_a_record_set_leaves_room_for_what_stands_beside_it(extra: bytes, refused: bool) -> None:
    question, links, opt = 12 + 255 + 4, CHAIN * (12 + 255), 1000
    assert 65535 - question - links - opt >= MAX_RRSET_BYTES
    one = b"x" * 50
    rdatas = [b"%03d" % i + one for i in range(953)]  # of 12 + 53 bytes each: 61945
    rdatas.append(b"y" * (MAX_RRSET_BYTES - sum(12 + len(each) for each in rdatas) - 12) + extra)
    data = "".join(f"      - '\\# {len(each)} {each.hex()}'\n" for each in rdatas)
    files = zone_with("include: []\n").items()
    zone = f"zone: more.example.\nrecords:\n  '@': {{NS: ns.other.example.}}\n  big:\n    TYPE65280:\n{data}"
    found = check({path: text.encode() for path, text in [*files, ("zones/more.yaml", zone)]})
    big = [str(error) for error in found.findings.errors]
    told = 'zones/more.yaml:6:9: TYPE65280 of "big.more.example.": 62001 bytes in all, at most 62000'
    assert big == ([told] if refused else [])
