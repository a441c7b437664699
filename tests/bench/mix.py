"""How much of a realistic mix the compiled path answers: on the shipped zones, and on one that has everything."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import work
from gslbtest import packets
from gslbtest.query_rows import REFUSALS
from gslbtest.serving import REPO
from work import World

from gslb.answer._fast.reply import Snapshot
from gslb.answer.engine import Identity
from gslb.answer.fast import MISS
from gslb.snapshot.layout import NONE32
from gslb.wire import codes

COUNT = 50_000
NOW_S = 1_800_000_000
KINDS = {"A with ECS": 70, "AAAA": 15, "static": 5, "NXDOMAIN": 5, "HTTPS, TXT, ANY": 3, "malformed": 2}
"""Kinds of queries and their shares of the mix, in percent."""
HTTPS = 65
SHIPPED, GENERATED = "mix_shipped", "mix_generated"
EVERYTHING = """
*.tree       TXT   "any name below"
*.mixed      MX    10 host
host         A     192.0.2.20
             A     192.0.2.21
             AAAA  2001:db8::20
             HINFO "amd64" "Linux"
             LOC   50 6 0 N 8 41 0 E 112m
             SSHFP 4 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
             RP    admin host
             HTTPS 1 . alpn="h2,h3" ipv4hint=192.0.2.20
@            MX    10 host
             TXT   "v=spf1 -all"
             CAA   0 issue "ca.example"
_sip._tcp    SRV   0 5 5060 host
             URI   10 1 "https://host.all.example/"
svc          SVCB  1 host alpn="h2" port=8443
_443._tcp    TLSA  3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
sip          NAPTR 100 10 "s" "SIP+D2T" "" _sip._tcp
10           PTR   host
child        DS    12345 13 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
child        NS    ns.child
ns.child     A     192.0.2.60
generic      TYPE65280 \\# 4 0A000001
www          CNAME live
alias        CNAME www
far          CNAME host
*.links      CNAME host
out          CNAME elsewhere.example.
"""


class Names(NamedTuple):
    """What can be asked of a zone: names of services and apexes, records, and clients' blocks (first, how many)."""

    services: Sequence[bytes]
    apexes: Sequence[bytes]
    records: Sequence[tuple[bytes, int]]
    clients4: Sequence[tuple[int, int]]


class Share(NamedTuple):
    """The percentage that was answered without a miss, of all and by kind; that no answer is due is an answer too."""

    whole: float
    kinds: Mapping[str, float]


def measure(folder: Path) -> dict[str, Share]:
    """The shares by `bounds.Bound.key`."""
    state = folder / "shipped"
    state.mkdir()
    shipped = work.build(REPO / "zones", REPO / "data", state)
    data = folder / "everything"
    (data / "isp").mkdir(parents=True)
    nets = work.networks(20_000)
    (data / "isp/all.csv").write_text(work.table(nets), encoding="ascii")
    generated = work.built(folder / "generated", _zones(), data)
    sample = [(0xC6336400, 256), *((net.first, 256) for net in nets[:50])]
    return {
        SHIPPED: _share(shipped, names(shipped, sample)),
        GENERATED: _share(generated, names(generated, [(net.first, 256) for net in nets])),
    }


def lines(shares: Mapping[str, Share]) -> list[str]:
    """The shares as docs/benchmarks.md holds them."""
    columns = [shares[SHIPPED], shares[GENERATED]]
    return [
        "### The share of a mix that the compiled path answers",
        "",
        f"{COUNT:,} queries each; some with cookies, NSID, DO and mixed letter case, and some without EDNS.",
        "The generated zone has 23 types of records, wildcards, CNAMEs, a delegation and services under wildcards.",
        "",
        "| kind | of the mix | shipped zones | generated zone |",
        "|---|---|---|---|",
        *(
            f"| {kind} | {part} % | {' | '.join(f'{each.kinds[kind]:.2f} %' for each in columns)} |"
            for kind, part in KINDS.items()
        ),
        f"| all | 100 % | {' | '.join(f'{each.whole:.2f} %' for each in columns)} |",
        "",
    ]


def names(world: World, clients4: Sequence[tuple[int, int]]) -> Names:
    """What a catalog holds that can be asked for."""
    catalog = world.catalog
    rows = range(len(catalog.names))
    return Names(
        [catalog.name_text(row) for row in rows if catalog.names[row].service != NONE32],
        [catalog.name_text(zone.apex) for zone in catalog.zones],
        [
            (catalog.name_text(row), rrset.rtype)
            for row in rows
            for rrset in catalog.rrsets[catalog.names[row].rrset :][: catalog.names[row].rrset_count]
        ],
        clients4,
    )


def asked(kind: str, known: Names, rng: random.Random) -> bytes:
    """A query of a kind."""
    if kind == "malformed":
        return rng.choice(REFUSALS).packet
    service = _below(rng.choice(known.services), rng)
    if kind == "A with ECS":
        return _query(service, codes.A, rng, _subnet4(known, rng))
    if kind == "AAAA":
        client = _subnet4(known, rng) if rng.random() < 0.5 else _subnet6(rng) if rng.random() < 0.5 else b""
        return _query(service, codes.AAAA, rng, client)
    if kind == "NXDOMAIN":
        return _query(_label(rng) + rng.choice(known.apexes), rng.choice((codes.A, codes.AAAA)), rng)
    if kind == "static":
        owner, rtype = rng.choice(known.records)
        return _query(_below(owner, rng), codes.A if rtype == codes.CNAME else rtype, rng)
    owner = service if rng.random() < 0.5 else _below(rng.choice(known.records)[0], rng)
    return _query(owner, rng.choice((HTTPS, codes.TXT, codes.ANY)), rng)


def _share(world: World, known: Names) -> Share:
    rng = random.Random(4)
    snapshot = Snapshot(world.catalog, world.steering, Identity())
    asks, missed = dict.fromkeys(KINDS, 0), dict.fromkeys(KINDS, 0)
    for kind in rng.choices(list(KINDS), list(KINDS.values()), k=COUNT):
        asks[kind] += 1
        missed[kind] += snapshot.answer(asked(kind, known, rng), rng.randbytes(4), NOW_S, rng.getrandbits(64)) is MISS
    kinds = {kind: 100 * (1 - missed[kind] / asks[kind]) for kind in KINDS}
    return Share(100 * (1 - sum(missed.values()) / COUNT), kinds)


def _query(name: bytes, qtype: int, rng: random.Random, client: bytes = b"") -> bytes:
    """A query as resolvers vary it: letter case, EDNS or none, DO, cookies, NSID."""
    if rng.random() < 0.2:
        name = bytes(byte ^ 0x20 if 0x61 <= byte <= 0x7A and rng.random() < 0.5 else byte for byte in name)
    question = packets.asks(name, qtype)
    if not client and rng.random() < 0.1:
        return packets.packet(question)
    options = [client] if client else []
    if rng.random() < 0.2:
        options.append(packets.option(packets.COOKIE, rng.randbytes(8 if rng.random() < 0.7 else 24)))
    if rng.random() < 0.05:
        options.append(packets.option(packets.NSID))
    return packets.edns(*options, question=question, size=work.SIZE, flags=0x8000 if rng.random() < 0.5 else 0)


def _subnet4(known: Names, rng: random.Random) -> bytes:
    first, size = rng.choice(known.clients4)
    source = rng.choice((24, 24, 24, 32))
    return packets.subnet(1, source, (first + rng.randrange(size)).to_bytes(4)[: source // 8])


def _subnet6(rng: random.Random) -> bytes:
    """The /48 of a client of the shipped sample, or of nobody known."""
    third = 0xC000 | rng.randrange(20) if rng.random() < 0.7 else rng.getrandbits(16)
    return packets.subnet(2, 48, bytes((0x20, 0x01, 0x0D, 0xB8)) + third.to_bytes(2))


def _below(owner: bytes, rng: random.Random) -> bytes:
    """The owner, with a label of its own where it is a wildcard."""
    return _label(rng) + owner[2:] if owner.startswith(b"\x01*") else owner


def _label(rng: random.Random) -> bytes:
    return b"\x0b" + f"{rng.getrandbits(44):011x}".encode()


def _zones() -> dict[str, str]:
    """A zone with everything beside the zone of the other servers."""
    zone = (
        "zone: all.example.\nsoa: {mname: ns1, rname: hostmaster}\ninclude: [all.zone]\n"
        'records:\n  "@": {NS: [ns1]}\n  ns1: {A: 192.0.2.53, AAAA: "2001:db8::53"}\n'
        "services:\n  live: {pool: six, affinity: [country, continent, any]}\n"
        '  "*.live": {like: live, spread: 2}\n  multi: {like: live, answers: 3}\n'
        "pools:\n  six: {na: 3, eu: 2, as: 1, oc: 1, af: 1}\n"
    )
    return {**work.zones(), "all.example.yaml": zone, "all.zone": f"$ORIGIN all.example.\n$TTL 300\n{EVERYTHING}"}
