"""The network that the engine's tests ask: two zones, one of them below the other, and five edges."""

from __future__ import annotations

EDGES = """
edges:
  ber-1:
    pop: ber
    addresses: {v4: [203.0.113.1], v6: ["2001:db8:e::1"]}
    location: {country: DE, region: BE, lat: 52.5, lon: 13.4}
    isps: [dtag]
    capacity: 10Gbps
  ber-2:
    pop: ber
    addresses: {v4: [203.0.113.2, 203.0.113.12], v6: ["2001:db8:e::2"]}
    location: {country: DE, region: BE, lat: 52.5, lon: 13.4}
    isps: [any]
    capacity: 10Gbps
  par-1:
    pop: par
    addresses: {v4: [203.0.113.3, 203.0.113.13, 203.0.113.23, 203.0.113.33, 203.0.113.43]}
    location: {country: FR, region: IDF, lat: 48.9, lon: 2.3}
    isps: [any]
    capacity: 10Gbps
  par-6:
    pop: par
    addresses: {v6: ["2001:db8:e::6"]}
    location: {country: FR, region: IDF, lat: 48.9, lon: 2.3}
    isps: [any]
    capacity: 10Gbps
  twin-1:
    pop: ber
    addresses: {v4: [203.0.113.77, 203.0.113.78]}
    location: {country: DE, region: BE, lat: 52.5, lon: 13.4}
    capacity: 1Gbps
  twin-2:
    pop: ber
    addresses: {v4: [203.0.113.77, 203.0.113.78]}
    location: {country: DE, region: BE, lat: 52.5, lon: 13.4}
    capacity: 1Gbps
  nyc-1:
    pop: nyc
    addresses: {v4: [203.0.113.5], v6: ["2001:db8:e::5"]}
    location: {country: US, region: NY, lat: 40.7, lon: -74.0}
    isps: [any]
    capacity: 10Gbps
    fence: [US]
"""

ISPS = """
isps: {dtag: {asns: [3320], names: ["Deutsche Telekom"]}}
"""

ZONE = r"""
zone: live.example.
ttl: 300
soa: {mname: ns1, rname: hostmaster, serial: 7, negative_ttl: 60}
records:
  "@": {NS: [ns1, ns2.other.test.], MX: 10 mail, TXT: hello}
  ns1: {A: 192.0.2.53, AAAA: "2001:db8::53"}
  mail: {A: [192.0.2.25, 192.0.2.26]}
  a.deep: {TXT: below an empty name}
  "*.wild": {A: 192.0.2.99, TXT: wild}
  sub.wild: {TXT: not wild}
  www: {CNAME: pull}
  fen: {CNAME: fenced}
  far: {CNAME: www}
  out: {CNAME: elsewhere.test.}
  gone: {CNAME: nowhere}
  odd: {CNAME: mail}
  "*.alias": {CNAME: mail}
  c1: {CNAME: c2}
  c2: {CNAME: c3}
  c3: {CNAME: c4}
  c4: {CNAME: c5}
  c5: {CNAME: c6}
  c6: {CNAME: c7}
  c7: {CNAME: c8}
  c8: {CNAME: mail}
  c0: {CNAME: c1}
  todel: {CNAME: host.del}
  del: {NS: [ns.del, ns1.other.test.], DS: "12345 13 2 ${DIGEST}"}
  ns.del: {A: 198.51.100.53, AAAA: "2001:db8:d::53"}
  child: {NS: [ns1]}
  big: {TXT: [BIG]}
services:
  pull: {pool: all, ttl: 20, affinity: [isp+country, country, continent, any]}
  only: {pool: berlin, ttl: 20, affinity: [any]}
  "*.pull": {like: pull, spread: 1}
  fenced: {pool: usa, affinity: [any]}
  fenced-fb: {pool: usa, affinity: [any], fallback: {v4: [192.0.2.80], v6: ["2001:db8::80"]}}
  six: {pool: six, affinity: [any]}
  paris: {pool: paris, affinity: [any]}
  twins: {pool: twins, affinity: [any], answers: 2}
  both: {pool: berlins, affinity: [any], answers: 2}
pools:
  all: {ber-1: 100, ber-2: 50, par-1: 100, par-6: 100, nyc-1: 100}
  berlin: {ber-1: 100}
  berlins: {ber-1: 100, ber-2: 50}
  paris: {par-1: 1}
  six: {par-6: 1}
  twins: {twin-1: 1, twin-2: 1}
  usa: {nyc-1: 1}
""".replace("${DIGEST}", "0123456789abcdef" * 4).replace(
    "BIG", ", ".join(f'"{number:03d} {"x" * 120}"' for number in range(12))
)

CHILD = """
zone: child.live.example.
soa: {mname: ns1.live.example., rname: hostmaster, serial: 3, negative_ttl: 30}
ttl: 100
records:
  "@": {NS: [ns1.live.example.]}
  www: {A: 192.0.2.66}
"""

ZONES = {
    "zones/edges.yaml": EDGES,
    "zones/isps.yaml": ISPS,
    "zones/live.example.yaml": ZONE,
    "zones/child.yaml": CHILD,
}

TABLES = {
    "data/isp/net.csv": (
        "prefix,isp,asn,country,region\n"
        "198.51.100.0/24,dtag,,DE,BE\n"  # every level
        "198.51.0.0/16,,,DE,\n"
        "198.51.100.128/32,,,US,NY\n"  # an exception: its siblings are single addresses
        "100.0.0.0/8,AS7018,,US,NY\n"
        "2001:db8:1::/48,dtag,,DE,BE\n"
        "2001:db8:2::/48,,,FR,IDF\n"
    ),
    "data/resolvers.csv": "resolver_prefix,client_prefix,share\n192.0.2.200/32,198.51.100.0/24,1\n",
}
