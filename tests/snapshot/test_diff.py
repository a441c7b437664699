"""What a change of files does to records and to clients: texts in, the comparison out."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from gslbtest.pools import Edge, Policy, sections

from gslb.model.demand import Demand
from gslb.policy import draw
from gslb.snapshot import compile as compiling
from gslb.snapshot import layout, moves
from gslb.snapshot.catalog import Catalog
from gslb.snapshot.diff import Diff, EdgeChange, Flow, KeyChange, RecordChange, ServiceDiff, diff

EDGES = """
edges:
  ber: {pop: ber, addresses: {v4: [203.0.113.1]}, location: {country: DE, lat: 52.5, lon: 13.4}}
  fra: {pop: fra, addresses: {v4: [203.0.113.2], v6: ["2001:db8::2"]}, location: {country: DE, lat: 50.1, lon: 8.7}}
  par: {pop: par, addresses: {v4: [203.0.113.3]}, location: {country: FR, lat: 48.9, lon: 2.3}}
  six: {pop: par, addresses: {v6: ["2001:db8::4"]}, location: {country: FR, lat: 48.9, lon: 2.3}}
"""
ISPS = "isps: {dtag: {asns: [3320]}}"
ZONE = """
zone: example.
soa: {mname: ns1, rname: hostmaster, serial: 1}
records:
  "@": {NS: [ns1]}
  ns1: {A: 192.0.2.53}
  www: {A: [192.0.2.1, 192.0.2.2]}
  sub: {NS: [ns.sub]}
  ns.sub: {A: 192.0.2.54}
services:
  live: {pool: all, affinity: [country, any]}
  flat: {pool: all, affinity: [any], max_change: 0.1}
pools:
  all: {ber: 100, fra: 100, par: 100}
"""
# 512 + 256 addresses of DE, 256 of FR, 128 of which only the ISP is known; the rest of the world is not known.
TABLE = """prefix,isp,country
198.51.0.0/23,,DE
198.51.2.0/24,dtag,DE
198.51.100.0/24,,FR
198.51.200.0/25,AS7,
10.0.0.0/8,,DE
"""


def compiled(edges: str = EDGES, zone: str = ZONE, table: str = TABLE) -> Catalog:
    """The catalog of some texts."""
    zones = {"zones/edges.yaml": edges, "zones/isps.yaml": ISPS, "zones/example.yaml": zone}
    files = compiling.read(
        {path: text.encode() for path, text in zones.items()}, {"data/isp/net.csv": table.encode()}, []
    )
    arrays = compiling.build(files)
    assert not files.findings.errors, [str(error) for error in files.findings.errors]
    assert arrays is not None
    return Catalog(compiling.in_memory(arrays))


@pytest.fixture(scope="module")
def base() -> Catalog:
    return compiled()


def edited(*changes: tuple[str, str]) -> str:
    """The zone with some of its text replaced."""
    zone = ZONE
    for old, new in changes:
        assert old in zone
        zone = zone.replace(old, new)
    return zone


def of(found: Diff, service: str) -> ServiceDiff:
    return next(each for each in found.services if each.service == service)


def test_nothing(base: Catalog) -> None:
    found = diff(base, compiled())
    assert found.empty
    assert list(found.lines()) == ["no change"]
    assert of(found, "live.example.") == ServiceDiff("live.example.", networks=4.5, max_change=0.3)


RECORDS = [
    (("  www: {A: [192.0.2.1, 192.0.2.2]}\n", ""), RecordChange("www.example.", "A", "removed", 2)),
    (("192.0.2.1, ", ""), RecordChange("www.example.", "A", "changed", 1)),
    (("www: {A:", "www: {TXT: hi, A:"), RecordChange("www.example.", "TXT", "added", 1)),
    (("www: {A:", "www: {TYPE65280: '\\# 1 00', A:"), RecordChange("www.example.", "TYPE65280", "added", 1)),
    (("192.0.2.54", "192.0.2.55"), RecordChange("sub.example.", "NS", "changed", 1)),  # its glue
    (("serial: 1", "serial: 2"), RecordChange("example.", "SOA", "changed", 1)),
    (("[192.0.2.1, 192.0.2.2]", "{ttl: 7, data: [192.0.2.1]}"), RecordChange("www.example.", "A", "changed", 1)),
]  # fmt: skip


@pytest.mark.parametrize(("change", "wanted"), RECORDS)
def test_records(base: Catalog, change: tuple[str, str], wanted: RecordChange) -> None:
    found = diff(base, compiled(zone=edited(change)))
    assert found.records == (wanted,)
    assert list(found.lines()) == [
        f"record {wanted.name} {wanted.rtype} {wanted.change}, {wanted.count} record{'s' * (wanted.count > 1)}"
    ]


KEYS = [
    (("affinity: [any]", "affinity: [continent, any]"), [("affinity", "any", "continent, any")]),
    (("max_change: 0.1", "max_change: 0.2"), [("max_change", "0.1", "0.2")]),
    (("flat: {", "flat: {ttl: 60, spread: 2, "), [("ttl", "20", "60"), ("spread", "0", "2")]),
    (("flat: {", "flat: {hash_len: {v4: 24}, "), [("hash_len", "/20, /40", "/24, /40")]),
    (("flat: {", "flat: {on_all_down: closed, "), [("on_all_down", "open", "closed")]),
    (("flat: {", "flat: {panic: 0.1, "), [("panic", "0.2", "0.1")]),
    (("flat: {", "flat: {fallback: {v4: [192.0.2.9]}, "), [("fallback", "", "192.0.2.9")]),
    (("flat: {", 'flat: {fallback: {v6: ["2001:db8::9"]}, '), [("fallback", "", "2001:db8::9")]),
    (("flat: {", "flat: {answers: 2, max_records: 1, "), [("answers", "1", "2"), ("max_records", "4", "1")]),
    (("flat: {", "flat: {dispatch: true, "), [("dispatch", "false", "true")]),
    (("fra: 100", "fra: 101"), [("weights", "fra: 100", "fra: 101")]),
]  # fmt: skip


@pytest.mark.parametrize(("change", "wanted"), KEYS)
def test_keys_of_a_service(base: Catalog, change: tuple[str, str], wanted: list[tuple[str, str, str]]) -> None:
    found = of(diff(base, compiled(zone=edited(change))), "flat.example.")
    assert found.change == "changed"
    assert found.keys == tuple(KeyChange(*key) for key in wanted)
    assert bool(found.flows) is bool({"weights", "spread", "hash_len"} & {key for key, _, _ in wanted})


def flows(service: ServiceDiff) -> dict[tuple[str, str], float]:
    return {(flow.old, flow.new): round(flow.fraction, 4) for flow in service.flows}


MOVES = [
    # why, change, service, fraction that moves, who loses to whom
    ("halved", ("fra: 100", "fra: 50"), "flat", 0.1333, {("fra", "ber"): 0.0667, ("fra", "par"): 0.0667}),
    # DE has 3 /24s of 4.5, the unknown country 0.5: thirds there, halves here.
    ("halved in levels", ("fra: 100", "fra: 50"), "live", 0.1259, {("fra", "ber"): 0.1185, ("fra", "par"): 0.0074}),
    ("removed", (", fra: 100", ""), "flat", 0.3333, {("fra", "ber"): 0.1667, ("fra", "par"): 0.1667}),
    ("added", ("par: 100}", "par: 100, six: 100}"), "flat", 0.0, {}),
    (
        "none left",
        ("{ber: 100, fra: 100, par: 100}", "{six: 1}"),
        "flat",
        1.0,
        {("ber", ""): 0.3333, ("fra", ""): 0.3333, ("par", ""): 0.3333},
    ),
    # Every client is drawn anew: of three equal edges, two in three clients get another.
    (
        "another hash_len",
        ("flat: {", "flat: {hash_len: {v4: 24}, "),
        "flat",
        0.6667,
        {(old, new): 0.1111 for old in ("ber", "fra", "par") for new in ("ber", "fra", "par") if old != new},
    ),
    ("hash_len of IPv6", ("flat: {", "flat: {hash_len: {v6: 44}, "), "flat", 0.0, {}),
    (
        "by affinity",
        ("affinity: [any]", "affinity: [country, any]"),
        "flat",
        0.3704,
        {("par", "ber"): 0.1111, ("par", "fra"): 0.1111, ("ber", "par"): 0.0741, ("fra", "par"): 0.0741},
    ),
]


@pytest.mark.parametrize(("why", "change", "service", "fraction", "wanted"), MOVES, ids=[row[0] for row in MOVES])
def test_moves(
    base: Catalog,
    why: str,
    change: tuple[str, str],
    service: str,
    fraction: float,
    wanted: dict[tuple[str, str], float],
) -> None:
    found = of(diff(base, compiled(zone=edited(change))), f"{service}.example.")
    assert found.fraction == pytest.approx(fraction, abs=1e-4)
    assert flows(found) == pytest.approx(wanted, abs=2e-4)
    assert found.networks == 4.5
    back = of(diff(compiled(zone=edited(change)), base), f"{service}.example.")
    assert flows(back) == pytest.approx({(new, old): part for (old, new), part in wanted.items()}, abs=2e-4)


@pytest.mark.parametrize(("spread", "fraction"), [(1, 0.6667), (2, 0.3333), (3, 0.0)])
def test_spread_moves_those_of_the_edges_it_drops(base: Catalog, spread: int, fraction: float) -> None:
    """Of three equal edges a name keeps ``spread``: the clients of the others move, whichever they are."""
    narrow = compiled(zone=edited(("flat: {", f"flat: {{spread: {spread}, ")))
    assert of(diff(base, narrow), "flat.example.").fraction == pytest.approx(fraction, abs=1e-4)
    assert of(diff(narrow, base), "flat.example.").fraction == pytest.approx(fraction, abs=1e-4)
    assert of(diff(narrow, narrow), "flat.example.").fraction == 0.0


def test_a_move_in_the_tables(base: Catalog) -> None:
    table = TABLE.replace("198.51.100.0/24,,FR", "198.51.100.0/25,,DE\n198.51.100.128/26,,FR\n198.60.0.0/24,,FR")
    found = of(diff(base, compiled(table=table)), "live.example.")
    # 128 addresses go from FR to DE, 64 are no longer known (a third of the world's), 256 are newly known.
    assert found.networks == 5.5
    known = 5.5 * 256
    assert flows(found) == pytest.approx(
        {
            ("par", "ber"): round((64 + 64 / 3) / known, 4),
            ("par", "fra"): round((64 + 64 / 3) / known, 4),
            ("ber", "par"): round(256 / 3 / known, 4),
            ("fra", "par"): round(256 / 3 / known, 4),
        },
        abs=2e-4,
    )


def test_a_table_that_does_not_matter(base: Catalog) -> None:
    found = of(diff(base, compiled(table=TABLE + "198.51.0.64/26,dtag,DE\n")), "live.example.")
    assert (found.networks, found.fraction, found.flows) == (4.5, 0.0, ())


def test_edges(base: Catalog) -> None:
    edges = EDGES.replace("203.0.113.2]", "203.0.113.20]").replace("  six:", "  seven:")
    found = diff(base, compiled(edges=edges))
    assert found.edges == (EdgeChange("fra", "readdressed"), EdgeChange("seven", "added"), EdgeChange("six", "removed"))
    assert list(found.lines()) == [
        "edge fra readdressed, its clients stay with it",
        "edge seven added",
        "edge six removed",
    ]


def test_services_come_and_go(base: Catalog) -> None:
    found = diff(base, compiled(zone=edited(("  live: {", "  new: {"))))
    assert of(found, "new.example.") == ServiceDiff("new.example.", "added")
    gone = of(found, "live.example.")
    assert (gone.change, gone.fraction, gone.networks, gone.max_change) == ("removed", 1.0, 4.5, 0.3)
    assert flows(gone) == {("ber", ""): 0.3704, ("fra", ""): 0.3704, ("par", ""): 0.2593}
    assert list(found.lines()) == [
        "service live.example. removed",
        "service live.example. moves 100.0% of 4.5 known /24s, 30.0% may move",
        "   37.0%  ber -> (no edge)",
        "   37.0%  fra -> (no edge)",
        "   25.9%  par -> (no edge)",
        "service new.example. added",
    ]


def test_the_smaller_limit_holds(base: Catalog) -> None:
    looser = compiled(zone=edited(("max_change: 0.1", "max_change: 1")))
    assert of(diff(base, looser), "flat.example.").max_change == pytest.approx(0.1)
    assert of(diff(looser, base), "flat.example.").max_change == pytest.approx(0.1)


def demand(service: str, key: str, bps: int, time_s: int = 0) -> Demand:
    country, region, isp = key.split("|")
    return Demand(time_s, service, country, region, isp, bps)


def test_demand_moves_with_its_clients(base: Catalog) -> None:
    rows = [
        demand("live.example.", "DE||", 4_000_000_000),
        demand("live.example.", "DE||", 8_000_000_000, 3600),  # a mean of 6 over two hours
        demand("live.example.", "DE||dtag", 4_000_000_000),  # and of 2
        demand("live.example.", "FR||", 4_000_000_000),
        demand("live.example.", "US||", 7_000_000_000),  # no address is there
        demand("live.example.", "JP|13|AS9", 1),  # nor is the catalog able to say these
        demand("live.example.", "||", 5),
        demand("other.example.", "DE||", 5),
    ]
    found = of(diff(base, compiled(zone=edited(("fra: 100", "fra: 50"))), rows), "live.example.")
    assert found.demand_bps == pytest.approx(10e9)
    assert found.demand_fraction == pytest.approx(8 / 10 * (1 / 2 - 1 / 3))
    assert {(flow.old, flow.new) for flow in found.demand_flows} == {("fra", "ber")}
    assert found.unplaced == ("JP|13|AS9", "US||", "||")
    assert of(diff(base, base, rows), "flat.example.").demand_bps is None


def test_demand_of_an_isp_alone(base: Catalog) -> None:
    rows = [demand("flat.example.", "||dtag", 3_000_000), demand("flat.example.", "|SH|", 1)]
    found = of(diff(base, compiled(zone=edited(("{ber: 100, fra: 100, par: 100}", "{fra: 1}"))), rows), "flat.example.")
    assert found.demand_bps == pytest.approx(3e6)
    assert found.demand_fraction == pytest.approx(2 / 3)
    assert found.unplaced == ("|SH|",)


def test_lines_with_demand(base: Catalog) -> None:
    rows = [demand("live.example.", "DE||", 6_000_000_000), demand("live.example.", "US||", 7)]
    zone = edited(
        ("fra: 100", "fra: 50"), ("  flat: {pool: all, affinity: [any], max_change: 0.1}", "  too: {like: live}")
    )
    before = compiled(zone=edited(("  flat: {pool: all, affinity: [any], max_change: 0.1}", "  too: {like: live}")))
    assert list(diff(before, compiled(zone=zone), rows).lines()) == [
        "service live.example. weights: fra: 100 -> fra: 50",
        "service live.example. moves 12.6% of 4.5 known /24s, 30.0% may move",
        "   11.9%  fra -> ber",
        "    0.7%  fra -> par",
        "service live.example. moves 16.7% of 6.0 Gbps demand",
        "   16.7%  fra -> ber",
        "  demand without address space: US||",
        "service too.example. weights: fra: 100 -> fra: 50",
        "service too.example. moves 12.6% of 4.5 known /24s, 30.0% may move, as live.example.",
    ]


@pytest.mark.parametrize(
    ("bps", "wanted"), [(5, "5 bps"), (2.5e6, "2.5 Mbps"), (3e9, "3.0 Gbps"), (4.2e12, "4.2 Tbps")]
)
def test_small_flows_are_summed_up(bps: float, wanted: str) -> None:
    parts = [Flow("a", f"b{number:02d}", 0.01) for number in range(20)]
    service = ServiceDiff(
        "x.",
        "changed",
        (KeyChange("ttl", "", "5"),),
        10.0,
        0.2,
        0.3,
        tuple(parts),
        bps,
        0.2,
        (Flow("a", "b", 0.0001), Flow("a", "c", 0.0001)),
        (),
    )
    lines = list(Diff((), (), (service,)).lines())
    assert lines[0] == "service x. ttl: (none) -> 5"
    assert lines[1:3] == ["service x. moves 20.0% of 10.0 known /24s, 30.0% may move", "    1.0%  a -> b00"]
    assert lines[14] == "    8.0%  in 8 smaller flows"
    assert lines[15:] == [f"service x. moves 20.0% of {wanted} demand", "    0.0%  in 2 smaller flows"]


def test_it_is_json(base: Catalog) -> None:
    found = diff(base, compiled(zone=edited(("fra: 100", "fra: 50"))), [demand("live.example.", "DE||", 5)])
    assert msgspec.json.decode(msgspec.json.encode(found), type=Diff) == found


def test_what_is_computed_is_what_the_draw_moves() -> None:
    """40,000 clients drawn before and after, against the analytic answer."""
    chance = random.Random(8)
    names = [f"e{number}" for number in range(6)]
    before, after = ([chance.randint(0, 100) for _ in names] for _ in range(2))
    levels = [[0, 0, 1, 1, 1, 2]]
    shares = []
    for pool in (before, after):
        made = sections([Edge(name) for name in names], [Policy(dict(zip(names, pool, strict=True)), levels)])
        one = np.zeros(1, dtype=layout.GEOMETRY)
        shares.append(moves.Nominal({**made, "geometry": one, "view_class": np.zeros(1, dtype=np.uint32)}, names))
    piece = moves.Space(np.zeros(1, dtype=np.uint32), np.zeros(1, dtype=np.uint32), np.array([1.0]))
    moved = moves.move(shares[0], shares[1], (0, 0), piece, piece.addresses)
    seeds = np.array(
        [draw.seed_of(b"\x01a\x00", 4, chance.getrandbits(32), 32) for _ in range(40_000)], dtype=np.uint64
    )
    hashes = np.array([draw.edge_hash(name) for name in names[:2]], dtype=np.uint64)
    drawn = [draw.picks(hashes, draw.reciprocals(np.array([pool[:2]]))[0], seeds) for pool in (before, after)]
    assert 0.02 < moved.moved < 0.98
    assert float((drawn[0] != drawn[1]).mean()) == pytest.approx(moved.moved, abs=0.01)


@pytest.mark.no_cover
def test_a_million_intervals_on_either_side() -> None:
    chance = np.random.default_rng(1)

    def arrays(seed: int) -> dict[str, Any]:
        count, views = 1_000_000, 5_000
        made = sections(
            [Edge(f"e{n:02d}") for n in range(16)], [Policy({f"e{n:02d}": 10 + n * seed for n in range(16)}, levels)]
        )
        view = np.zeros(views, dtype=layout.VIEW)
        view["country"] = 1
        geometry = np.zeros(1, dtype=layout.GEOMETRY)
        return {
            **made,
            "base4_start": np.concatenate(
                [[0], np.sort(chance.choice(2**32, count - 1, replace=False, shuffle=False))]
            ),
            "base4_node": np.arange(count, dtype=np.uint32),
            "node4_view": chance.integers(0, views, count, dtype=np.uint32),
            "view": view,
            "geometry": geometry,
            "view_class": chance.integers(0, len(levels), views, dtype=np.uint32),
        }

    levels = chance.integers(0, 3, (2_000, 16)).tolist()
    old, new = arrays(1), arrays(2)
    pieces = moves.space(old, new)
    ids = [f"e{number:02d}" for number in range(16)]
    moved = moves.move(moves.Nominal(old, ids), moves.Nominal(new, ids), (0, 0), pieces, pieces.addresses)
    private = sum(1 << (32 - length) for length in (8, 10, 8, 16, 12, 16))
    assert pieces.addresses.sum() == 2**32 - private
    assert 0.5 < moved.moved / moved.total < 1


def test_objects_with_arrays_are_enough(base: Catalog) -> None:
    assert diff(SimpleNamespace(arrays=base.arrays), SimpleNamespace(arrays=base.arrays)).empty
