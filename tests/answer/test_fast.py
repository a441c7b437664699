"""The chooser, what the compiled path answers itself and what it leaves, and that it refuses what it is not made for.

That it agrees with the engine is asserted wherever a `World` is asked.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from gslbtest import network
from gslbtest.packets import COOKIE, IXFR, KEEPALIVE, NSID, SOA, TXT, asks, edns, opt, option, packet, rr, subnet
from gslbtest.packets import with_records as records
from gslbtest.world import NOW_S, RESOLVER, World, world

from gslb.answer import declared, fast
from gslb.answer.engine import Identity
from gslb.errors import GslbError
from gslb.snapshot import layout
from gslb.snapshot.layout import STEERING_WIDTH
from gslb.wire.edns import server_cookie

Arrays = Mapping[str, np.ndarray[Any, np.dtype[Any]]]
A, NS, CNAME, MX, AAAA, DS, HTTPS, AXFR, ANY = 1, 2, 5, 15, 28, 43, 65, 252, 255
CH = 3
CLIENT = b"clientck"
SECRET = bytes(range(16))
BERLIN4, BERLIN6 = b"\xc6\x33\x64", b"\x20\x01\x0d\xb8\0\1"
ECS4, ECS6 = subnet(1, 24, BERLIN4), subnet(2, 48, BERLIN6)
MAPPED, NAT64 = bytes(10) + b"\xff\xff" + BERLIN4, b"\0\x64\xff\x9b" + bytes(8) + BERLIN4
SIGNED = rr(250, b"\x08hmac-md5\0" + bytes(16), b"\x03key\0", 255)


@pytest.fixture(scope="module")
def both() -> World:
    """The engine's network on both paths, also where the environment wants the reference alone."""
    made = world(network.ZONES, network.TABLES)
    snapshot, why = fast.compiled({})
    assert snapshot is not None, why
    return dataclasses.replace(made, compiled=snapshot(made.catalog, made.steering, made.engine.identity))


@pytest.mark.parametrize(("value", "wanted"), [(None, True), ("", True), ("0", True), ("1", False), ("yes", False)])
def test_off_switch(value: str | None, wanted: bool) -> None:
    environment = {} if value is None else {fast.OFF_SWITCH: value}
    assert fast.wanted(environment) is wanted
    assert (fast.compiled(environment)[1] == f"{fast.OFF_SWITCH} is set") is not wanted


def test_miss_shows_its_name() -> None:
    assert repr(fast.MISS) == "MISS"


def name(owner: str) -> bytes:
    """A name of the network's zone."""
    return b"".join(bytes((len(label),)) + label.encode() for label in owner.split(".") if label) + b"\4live\7example\0"


def ask(owner: str, qtype: int = A, *options: bytes, **more: int) -> bytes:
    """A question with EDNS."""
    return edns(*options, question=asks(name(owner), qtype), **more)


ANSWERED = [
    # Steered names
    ("service, IPv4 subnet", ask("pull", A, ECS4)),
    ("service, AAAA, IPv4 subnet", ask("pull", AAAA, ECS4)),
    ("service, IPv6 subnet", ask("pull", A, ECS6)),
    ("service, AAAA, IPv6 subnet", ask("pull", AAAA, ECS6)),
    ("service, subnet shorter than its row", ask("pull", A, subnet(1, 8, BERLIN4[:1]))),
    ("service, no subnet", ask("pull")),
    ("service, no OPT", packet(asks(name("pull")))),
    ("service, subnet of source 0", ask("pull", A, subnet(1, 0))),
    ("service, subnet of family 0", ask("pull", A, subnet(0, 0))),
    ("service, private subnet", ask("pull", A, subnet(1, 8, b"\x0a"))),
    ("service, private IPv6 subnet", ask("pull", A, subnet(2, 8, b"\xfd"))),
    ("service, several answers", ask("twins", A, ECS4)),
    ("service, spread, by a wildcard", ask("x.y.pull", A, ECS4)),
    ("service, fallback", ask("fenced-fb", A, ECS4)),
    ("service, no edge of the family", ask("six", A, ECS4)),
    ("service, another type", ask("pull", TXT, ECS4)),
    ("service, HTTPS", ask("pull", HTTPS, ECS4)),
    ("service, letter case", edns(ECS4, question=asks(b"\4PuLl\4LIVE\7eXample\0"))),
    ("service, a small size", ask("both", A, ECS4, size=512)),
    ("alias of a service", ask("www", A, ECS4)),
    ("alias of an alias of a service", ask("far", AAAA, ECS6)),
    # Names that are the same for all
    ("static A", ask("mail", A, ECS4)),
    ("static AAAA", ask("ns1", AAAA)),
    ("static NS", ask("", NS)),
    ("static SOA", ask("", SOA)),
    ("static MX", ask("", MX)),
    ("static TXT", ask("", TXT)),
    ("static CNAME", ask("www", CNAME)),
    ("static DS, at a cut", ask("del", DS)),
    ("static, too long for UDP", ask("big", TXT)),
    ("wildcard", ask("a.b.wild", A)),
    ("wildcard, itself", ask("*.wild", TXT)),
    ("alias", ask("odd", A)),
    ("alias, by a wildcard", ask("x.alias", A)),
    ("alias of a name that is not there", ask("gone", A)),
    ("alias to a name outside", ask("out", A)),
    ("alias to a delegated name", ask("todel", A)),
    ("eight aliases", ask("c1", A)),
    ("nine aliases", ask("c0", A)),
    ("ANY", ask("", ANY)),
    ("ANY of a service", ask("pull", ANY)),
    ("NODATA", ask("mail", AAAA)),
    ("NODATA of an empty non-terminal", ask("deep", A)),
    ("NXDOMAIN", ask("no", A, ECS4)),
    ("NXDOMAIN, 120 labels", ask(".".join("a" * 110), A)),
    # Errors
    ("REFUSED, another zone", edns(ECS4, question=asks(b"\4else\4test\0"))),
    ("REFUSED, the root", packet(asks(b"\0", NS))),
    ("REFUSED, class ANY", packet(asks(name("pull"), A, 255))),
    ("REFUSED, AXFR", packet(asks(name(""), AXFR))),
    ("REFUSED, IXFR without SOA", packet(asks(name(""), IXFR))),
    ("FORMERR, subnet with bits behind it", ask("pull", A, subnet(1, 23, b"\xc6\x33\x65"))),
    ("FORMERR, subnet with a scope", ask("pull", A, subnet(1, 24, BERLIN4, scope=1))),
    ("FORMERR, cookie of 9 bytes", ask("pull", A, option(COOKIE, bytes(9)))),
    ("FORMERR, half an option", ask("pull", A, b"\0\3\0")),
    ("FORMERR, two OPT", records(opt(), opt())),
    ("FORMERR, two questions", packet(asks(), asks(), counts=(2, 0, 0, 0))),
    ("FORMERR, an answer", packet(asks(), rr(A, bytes(4)), counts=(1, 1, 0, 0))),
    ("FORMERR, bytes behind", edns() + b"\0"),
    ("FORMERR, cut short", edns(ECS4)[:-1]),
    ("FORMERR, compressed question", packet(asks(b"\xc0\x0c"))),
    ("BADVERS", edns(ECS4, version=1)),
    ("NOTIMP", packet(asks(qtype=SOA), flags=0x2400)),
    ("NOTIMP, a header alone", packet(counts=(0, 0, 0, 0), flags=0x2800)),
    ("nothing, a response", packet(asks(), flags=0x8000)),
    ("nothing, too short", b"short"),
    ("nothing, no bytes", b""),
    # EDNS
    ("NSID", ask("pull", A, ECS4, option(NSID))),
    ("cookie, the client's", ask("pull", A, option(COOKIE, CLIENT))),
    ("cookie, ours", ask("pull", A, option(COOKIE, CLIENT + server_cookie(CLIENT, RESOLVER, SECRET, NOW_S)))),
    ("cookie, too old", ask("pull", A, option(COOKIE, CLIENT + server_cookie(CLIENT, RESOLVER, SECRET, NOW_S - 4000)))),
    ("cookie, another's", ask("pull", A, option(COOKIE, CLIENT + bytes(16)))),
    ("cookie of another length", ask("pull", A, option(COOKIE, CLIENT + bytes(32)))),
    ("everything at once", ask("pull", A, option(NSID), option(COOKIE, CLIENT), ECS6, option(12), flags=0x8000)),
    ("options nobody knows", ask("pull", A, option(65001, b"x"), option(KEEPALIVE))),
    ("a record beside OPT", records(rr(A, bytes(4), b"\1a\0"), opt(ECS4), question=asks(name("pull")))),
]  # fmt: skip
LEFT = [
    ("class CH", packet(asks(b"\2id\6server\0", TXT, CH))),
    ("explanation", edns(ECS4, question=asks(name("pull"), TXT, CH))),
    ("referral", ask("x.del")),
    ("referral, at the cut", ask("del", NS)),
    ("TSIG", records(SIGNED, question=asks(name("pull")))),
    ("TSIG behind OPT", records(opt(), SIGNED, question=asks(name("pull")))),
    ("compressed owner", records(rr(A, bytes(4), b"\xc0\x0c"), question=asks(name("pull")))),
    ("compressed OPT", records(opt(owner=b"\xc0\x1e"), question=asks(name("pull")))),
    ("no question", packet(counts=(0, 0, 0, 0))),
    ("cookie alone", packet(opt(option(COOKIE, CLIENT)), counts=(0, 0, 0, 1))),
    ("IXFR with SOA", packet(asks(qtype=IXFR), rr(SOA, bytes(22)), counts=(1, 0, 1, 0))),
    ("IPv4-mapped subnet", ask("pull", A, subnet(2, 120, MAPPED))),
    ("subnet of ::/96", ask("pull", A, subnet(2, 96, bytes(12)))),
    ("6to4 subnet", ask("pull", A, subnet(2, 40, b"\x20\x02" + BERLIN4))),
    ("Teredo subnet", ask("pull", A, subnet(2, 32, b"\x20\x01\0\0"))),
    ("NAT64 subnet", ask("pull", A, subnet(2, 120, NAT64))),
]  # fmt: skip
SOURCES = [
    # of a resolver without a subnet to speak for: the packed address, and whether it is left
    (RESOLVER, False),
    (bytes((10, 0, 0, 1)), False),
    (b"\x20\x01\x0d\xb8\0\1" + bytes(10), False),
    (bytes(15) + b"\1", True),
    (bytes(10) + b"\xff\xff\xc6\x33\x64\x07", True),
    (b"\x20\x02\xc6\x33" + bytes(12), True),
]


@pytest.mark.parametrize(("what", "query"), ANSWERED, ids=[row[0] for row in ANSWERED])
def test_answered(both: World, what: str, query: bytes) -> None:
    both.ask(query)
    assert not both.misses(query)


@pytest.mark.parametrize(("what", "query"), LEFT, ids=[row[0] for row in LEFT])
def test_left_to_the_engine(both: World, what: str, query: bytes) -> None:
    assert both.misses(query)


@pytest.mark.parametrize(("source", "missed"), SOURCES, ids=[row[0].hex() for row in SOURCES])
def test_resolvers(both: World, source: bytes, missed: bool) -> None:
    query = ask("pull")
    both.ask(query, source)
    assert both.misses(query, source) is missed
    assert not both.misses(ask("pull", A, ECS4), source), "whom a subnet speaks for does not matter"


def test_declarations_in_the_tree_are_made_from_the_layout() -> None:
    folder = Path(declared.__file__).parent / "_fast"
    for file, text in declared.files().items():
        assert (folder / file).read_text(encoding="utf-8") == text, "make it anew: python -m gslb.answer.declared"


def test_another_layout_is_refused(both: World, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot, _ = fast.compiled({})
    assert snapshot is not None
    monkeypatch.setattr(layout, "VERSION", layout.VERSION + 1)
    assert fast.compiled({}) == (None, "compiled for another version of gslb; install it anew")
    with pytest.raises(GslbError, match="another layout of snapshots"):
        snapshot(both.catalog, both.steering, both.engine.identity)


@pytest.mark.parametrize(("section", "array"), [
    ("weight", np.zeros(16, dtype=np.uint64)),
    ("edge", np.zeros(16, dtype=">u2")),
    ("level", np.zeros(32, dtype=np.uint8)[::2]),
])  # fmt: skip
def test_sections_of_another_form_are_refused(both: World, section: str, array: np.ndarray) -> None:
    snapshot, _ = fast.compiled({})
    assert snapshot is not None
    steering = SimpleNamespace(arrays={**both.steering.arrays, section: array})
    with pytest.raises(GslbError, match=f"section '{section}' is not of this layout"):
        snapshot(both.catalog, steering, both.engine.identity)


def fewer(arrays: Arrays) -> Arrays:
    """A row less than there are."""
    parts = dict.fromkeys(("edge", "level", "weight", "reciprocal"), STEERING_WIDTH) | {"count": 1, "flags": 1}
    return {name: arrays[name][:-size] for name, size in parts.items()}


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("a class without a row", fewer),
        ("a service without a row", lambda arrays: {"service_row": np.zeros(1, dtype=np.uint32)}),
        ("rows behind the last", lambda arrays: {"service_row": arrays["service_row"] + np.uint32(1 << 31)}),
        ("an edge that is none", lambda arrays: {"edge": arrays["edge"] + np.uint16(1000)}),
        ("too many edges in a row", lambda arrays: {"count": arrays["count"] + np.uint8(17)}),
        ("flags of other rows", lambda arrays: {"flags": arrays["flags"][1:]}),
        ("numbers of other rows", lambda arrays: {"reciprocal": arrays["reciprocal"][1:]}),
    ],
)
def test_steering_of_another_catalog_is_refused(both: World, what: str, change: Callable[[Arrays], Arrays]) -> None:
    snapshot, _ = fast.compiled({})
    assert snapshot is not None
    arrays = dict(both.steering.arrays)
    policies = both.catalog.arrays["policy"][both.catalog.arrays["service"]["policy"]]
    arrays["service_row"] = np.ascontiguousarray(policies["row"])
    snapshot(both.catalog, SimpleNamespace(arrays=arrays), both.engine.identity)
    with pytest.raises(GslbError, match="not for this catalog"):
        snapshot(both.catalog, SimpleNamespace(arrays={**arrays, **change(arrays)}), both.engine.identity)


@pytest.mark.parametrize(("size", "fits"), [(0, True), (1020, True), (1021, False)])
def test_length_of_a_server_id(both: World, size: int, fits: bool) -> None:
    snapshot, _ = fast.compiled({})
    assert snapshot is not None
    identity = Identity(server_id=b"n" * size)
    if fits:
        assert snapshot(both.catalog, both.steering, identity).answer(ask("pull", A, option(NSID)), RESOLVER, 0, 0)
        return
    with pytest.raises(GslbError, match="1020 bytes at most"):
        snapshot(both.catalog, both.steering, identity)


def test_every_compiled_module_says_its_types() -> None:
    sources = sorted(Path(declared.__file__).parents[1].rglob("*.pyx"))
    assert sources
    assert [path.name for path in sources if not path.with_suffix(".pyi").exists()] == []
