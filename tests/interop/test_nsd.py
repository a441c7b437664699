"""Static answers equal NSD's on the same zone: 2,000 random names and types, header and sections alike."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.zone
import pytest
from gslbtest import peers
from gslbtest.asking import ask
from gslbtest.serving import serving

SEED = 20260101
QUESTIONS = 2000
ZONE = dns.name.from_text("static.example.")
MASTER = (Path(__file__).parent / "static.zone").read_text(encoding="utf-8")
YAML = """
zone: static.example.
ttl: 600
soa: {mname: ns1, rname: hostmaster, serial: 7, negative_ttl: 60}
include: [static.zone]
"""
EDGES = """
edges:
  one:
    pop: one
    addresses: {v4: [192.0.2.99]}
    location: {country: DE, region: HE, lat: 50.1, lon: 8.7}
"""
TYPES = [
    "A", "AAAA", "NS", "SOA", "CNAME", "MX", "TXT", "SRV", "CAA", "DS", "HINFO", "LOC", "SSHFP", "TLSA", "NAPTR", "PTR",
    "RP", "SVCB", "HTTPS", "URI", "TYPE65280", "TYPE65281", "ANY", "DNSKEY",
]  # fmt: skip

Record = tuple[str, str, int, str]


class Reply(NamedTuple):
    """What is compared of an answer; sections are sets of (owner, type, TTL in seconds, data)."""

    rcode: str
    flags: str
    opt: bool
    answer: frozenset[Record]
    authority: frozenset[Record]
    additional: frozenset[Record]


class Question(NamedTuple):
    """A question: the name as it is spelled, its type, and whether it is asked with EDNS."""

    name: dns.name.Name
    rtype: str
    edns: bool


class Difference(NamedTuple):
    """A kind of difference that is meant: the words of the row that wants it, and how to know it."""

    row: str
    known: Callable[[Question, Reply, Reply], bool]


def _any(question: Question, ours: Reply, theirs: Reply) -> bool:
    return question.rtype == "ANY" and all(record[1:] == ("HINFO", 3600, '"RFC8482" ""') for record in ours.answer)


def _apex_glue(question: Question, ours: Reply, theirs: Reply) -> bool:
    return question.rtype == "NS" and ours == theirs._replace(additional=frozenset()) and "AA" in ours.flags


def _below_a_cut(_: Question, ours: Reply, theirs: Reply) -> bool:
    """A CNAME that leads below a delegation: theirs adds the referral, ours stops where our zones end."""
    referral = bool(theirs.authority) and all(record[1] == "NS" for record in theirs.authority)
    bare = theirs._replace(authority=frozenset(), additional=frozenset())
    return referral and ours == bare and any(record[1] == "CNAME" for record in ours.answer)


def _links(_: Question, ours: Reply, theirs: Reply) -> bool:
    """A chain longer than ours goes, or one without end."""
    chain = [record for record in ours.answer if record[1] == "CNAME"]
    return len(chain) >= 2 and ours.answer < theirs.answer and len(theirs.answer) > 8


DIFFERENCES = {
    "ANY": Difference('ANY: HINFO "RFC8482", TTL 3600', _any),
    "apex glue": Difference("referral with glue that fits: a referral, and nothing else", _apex_glue),
    "below a cut": Difference("CNAME: chased within our zones, then what was found", _below_a_cut),
    "links": Difference("CNAME: chased, at most 8 links", _links),
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """Ports of our server and of NSD, both with the zone; NSD has the SOA record that ours gives."""
    folder = tmp_path_factory.mktemp("nsd")
    files = {"static.example.yaml": YAML, "static.zone": MASTER, "edges.yaml": EDGES}
    with serving(folder / "ours", zones=files) as ours:
        (soa,) = ask(ours.port, "static.example", "SOA").answer
        with peers.nsd(folder / "theirs", {"static.example": f"{soa.to_text()}\n{MASTER}"}) as theirs:
            yield ours.port, theirs


def test_static_answers_equal_nsds(pair: tuple[int, int]) -> None:
    met: Counter[str] = Counter()
    strange = []
    for question in questions(random.Random(SEED), QUESTIONS):
        ours, theirs = (reply(port, question) for port in pair)
        if ours == theirs:
            met["equal"] += 1
            continue
        kinds = [kind for kind, difference in DIFFERENCES.items() if difference.known(question, ours, theirs)]
        met.update(kinds[:1])
        if not kinds:
            strange.append(f"{question.name} {question.rtype} edns={question.edns}\n  ours   {ours}\n  theirs {theirs}")
    assert strange == [], "\n".join(strange[:20]) + f"\n{len(strange)} in all"
    assert met["equal"] > 0.9 * QUESTIONS
    assert set(met) == {"equal", *DIFFERENCES}, "a kind of difference that is no longer met should go"
    assert len(DIFFERENCES) <= 10


@pytest.mark.parametrize("name", ["big", "every", "many", "cut", "nowhere"])
def test_over_tcp(pair: tuple[int, int], name: str) -> None:
    for rtype in ("TXT", "A", "NAPTR"):
        question = Question(dns.name.from_text(name, ZONE), rtype, True)
        ours, theirs = (reply(port, question, tcp=True) for port in pair)
        assert ours == theirs


def questions(rng: random.Random, count: int) -> Iterator[Question]:
    """Questions about the zone's names, names near them, and names outside; case is mixed (0x20)."""
    zone = dns.zone.from_text(f"@ 600 SOA ns1 hostmaster 1 1 1 1 1\n{MASTER}", origin=ZONE, relativize=False)
    owners = sorted(zone.nodes)
    for _ in range(count):
        name = rng.choice(owners)
        shape = rng.randrange(10)
        if shape == 0 and name != ZONE:
            name = name.parent()
        elif shape == 1:
            name = dns.name.Name([b"nx%d" % rng.randrange(100), *name.labels])
        elif shape == 2:
            name = dns.name.Name([b"a", b"b", *name.labels])
        elif shape == 3:
            name = dns.name.Name([b"*", *name.labels])
        elif shape == 4 and name != ZONE:
            name = dns.name.Name([bytes(rng.randrange(256) for _ in range(rng.randrange(1, 9))), *name.labels[1:]])
        elif shape == 5 and rng.random() < 0.2:
            name = dns.name.from_text(rng.choice(["example.", "other.example.", "xstatic.example.", "."]))
        rtype = rng.choice(TYPES)
        if shape == 6 and rng.random() < 0.1:
            name, rtype = dns.name.from_text("big", ZONE), "TXT"  # too long for a UDP answer without EDNS
        yield Question(_mixed(rng, name), rtype, rng.random() < 0.7)


def reply(port: int, question: Question, *, tcp: bool = False) -> Reply:
    """Ask and read; the question must come back letter by letter."""
    query = dns.message.make_query(question.name, question.rtype)
    if question.edns:
        query.use_edns(0, payload=1232)
    send = dns.query.tcp if tcp else dns.query.udp
    answer = send(query, "127.0.0.1", 5, port)
    assert answer.question[0].name.labels == question.name.labels
    return Reply(
        dns.rcode.to_text(answer.rcode()),
        dns.flags.to_text(answer.flags),
        answer.edns >= 0,
        *(_records(section) for section in (answer.answer, answer.authority, answer.additional)),
    )


def _records(section: list[dns.rrset.RRset]) -> frozenset[Record]:
    found = []
    for rrset in section:
        rtype = dns.rdatatype.to_text(rrset.rdtype)
        for rdata in rrset:
            data = rdata.to_text()
            # NSD compresses names in these, and so spells them as the question does; case means nothing there.
            data = data.lower() if rtype in ("NS", "CNAME", "SOA", "MX", "PTR", "RP", "SRV") else data
            found.append((str(rrset.name).lower(), rtype, rrset.ttl, data))
    return frozenset(found)


def _mixed(rng: random.Random, name: dns.name.Name) -> dns.name.Name:
    letters = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return dns.name.Name(
        [
            bytes(octet ^ 0x20 if octet in letters and rng.random() < 0.3 else octet for octet in label)
            for label in name.labels
        ]
    )
