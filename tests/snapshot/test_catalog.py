"""The catalog: what is built is what is found, in any order of files, and a damaged one is refused."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gslbtest import network
from gslbtest.world import world

from gslb.errors import GslbError
from gslb.model.intent import RRset, Zone
from gslb.model.names import labels, parent
from gslb.snapshot import compile as compiling
from gslb.snapshot import layout, names, rows
from gslb.snapshot.catalog import Catalog
from gslb.store import files


def read(zones: dict[str, str], tables: dict[str, str]) -> compiling.Files:
    return compiling.read(
        {path: text.encode() for path, text in zones.items()},
        {path: text.encode() for path, text in tables.items()},
        [],
    )


def compiled(zones: dict[str, str], tables: dict[str, str]) -> memoryview:
    arrays = compiling.build(read(zones, tables))
    assert arrays is not None
    return compiling.in_memory(arrays)


def test_same_files_in_another_order_make_the_same_bytes() -> None:
    zones, tables = dict(network.ZONES), dict(network.TABLES)
    backwards = compiled(dict(reversed(zones.items())), dict(reversed(tables.items())))
    assert bytes(compiled(zones, tables)) == bytes(backwards)


def test_a_file_written_part_by_part_has_the_same_bytes(tmp_path: Path) -> None:
    draft = compiling.draft(read(network.ZONES, network.TABLES))
    assert draft is not None
    parts = [name for name, _, _ in draft.rows.parts()]
    assert set(parts) == set(draft.rows.lengths) == set(layout.CATALOG_SECTIONS) - set(draft.sections)
    assert len(parts) > len(set(parts)), "there is more than one geometry"
    path = files.write_catalog(tmp_path, bytes(32), draft.sections, draft.rows)
    assert path.read_bytes() == bytes(compiled(network.ZONES, network.TABLES))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda raw: raw[:10], "snapshot: shorter than its header"),
        (lambda raw: b"GSLBSTE\0" + raw[8:], "snapshot: magic b'GSLBSTE\\x00' is not b'GSLBCAT\\x00'"),
        (lambda raw: raw[:8] + b"\x63\0\0\0" + raw[12:], f"snapshot: version 99 is not {layout.VERSION}"),
        (lambda raw: raw[:-64], "snapshot: .* bytes of .*"),
        (lambda raw: raw[:-1] + b"\xee", "snapshot: checksum differs"),
    ],
)
def test_damaged_catalog_is_refused(damage: Callable[[bytes], bytes], message: str) -> None:
    raw = bytes(compiled(network.ZONES, network.TABLES))
    with pytest.raises(GslbError, match=f"^{message}$" if "\\x" not in message else "magic"):
        Catalog(memoryview(damage(raw)))


def test_sections_of_another_layout_are_refused() -> None:
    raw = bytearray(compiled(network.ZONES, network.TABLES))
    raw[layout.HEADER.size : layout.HEADER.size + 4] = b"nope"
    with pytest.raises(GslbError, match=r"^snapshot: section 'nopeng' is not of this layout$"):
        layout.unpack(layout.CATALOG_MAGIC, memoryview(bytes(raw)), verify=False)


def test_fewer_sections_are_refused() -> None:
    raw = bytearray(compiled(network.ZONES, network.TABLES))
    raw[12:16] = (len(layout.CATALOG_SECTIONS) - 1).to_bytes(4, "little")
    with pytest.raises(GslbError, match=r"^snapshot: sections missing: \['health'\]$"):
        layout.unpack(layout.CATALOG_MAGIC, memoryview(bytes(raw)), verify=False)


def test_pack_wants_every_section() -> None:
    with pytest.raises(ValueError, match="sections differ from the layout's"):
        b"".join(layout.pack(layout.STEERING_MAGIC, bytes(32), {"made": np.zeros(1, dtype=layout.MADE)}))


@pytest.mark.parametrize(
    ("row", "dtype"),
    [
        (rows.NameRow, layout.NAME),
        (rows.RRsetRow, layout.RRSET),
        (rows.GlueRow, layout.GLUE),
        (rows.ZoneRow, layout.ZONE),
        (rows.EdgeRow, layout.EDGE),
        (rows.ServiceRow, layout.SERVICE),
        (rows.PolicyRow, layout.POLICY),
        (rows.GeometryRow, layout.GEOMETRY),
        (rows.EdgeStateRow, layout.EDGE_STATE),
    ],
)
def test_rows_have_the_fields_of_the_layout(row: type, dtype: np.dtype) -> None:
    assert row._fields == dtype.names


def test_every_dtype_is_in_the_list_of_dtypes() -> None:
    used = {*layout.CATALOG_SECTIONS.values(), *layout.STEERING_SECTIONS.values()}
    assert used <= set(layout.DTYPES)
    assert len(set(layout.DTYPES)) == len(layout.DTYPES)


def wire(text: str) -> bytes:
    return b"".join(bytes((len(label),)) + label.encode() for label in text.split(".") if label) + b"\0"


def random_zones(rng: random.Random) -> list[Zone]:
    """Zones within zones, with names of a few letters, so that they meet each other."""
    apexes = {wire(".".join(rng.choice("abc") for _ in range(rng.randint(1, 3))) + ".test") for _ in range(4)}
    found = []
    for apex in sorted(apexes):
        owners = {apex} | {
            wire(".".join(rng.choice("abcd*") for _ in range(rng.randint(1, 3)))) [:-1] + apex for _ in range(12)
        }  # fmt: skip
        rrsets = tuple(RRset(owner, rng.choice((1, 16)), 60, (b"\1\2\3\4",)) for owner in sorted(owners))
        soa = RRset(apex, 6, 60, (b"\0\0" + bytes(20),))
        found.append(Zone(apex, "zones/x.yaml", soa, 60, rrsets, ()))
    return found


@pytest.mark.parametrize("seed", range(40))
def test_names_are_found_as_by_walking_the_zones(seed: int) -> None:
    """The name table against the rules told plainly: the deepest zone that holds a name is its authority."""
    rng = random.Random(seed)
    zones = random_zones(rng)
    sections = names.build(tuple(zones), {}, names.Blob())
    raw = sections["name_bytes"].tobytes()
    entries = [rows.NameRow._make(row) for row in sections["name"].tolist()]
    mask = len(sections["name_slot"]) - 1

    def find(name: bytes) -> rows.NameRow | None:
        at = names.slot_of(name, mask)
        while row := int(sections["name_slot"][at]):
            entry = entries[row - 1]
            if raw[entry.text : entry.text + entry.length] == name:
                return entry
            at = (at + 1) & mask
        return None

    asked = {wire(".".join(rng.choice("abcd*") for _ in range(rng.randint(0, 5))) + ".test") for _ in range(200)}
    for name in asked | {wire("test"), wire("")}:
        holder = max((zone for zone in zones if within(name, zone.name)), key=lambda zone: len(zone.name), default=None)
        owners = {rrset.owner for rrset in holder.rrsets} if holder else set()
        owners = {owner for owner in owners if authority(owner, zones) is holder}
        here = holder is not None and (name in owners or any(within(owner, name) for owner in owners))
        nested = holder is not None and any(
            zone is not holder and within(zone.name, name) and within(zone.name, holder.name) for zone in zones
        )
        entry = find(name)
        if here or nested:
            assert entry is not None, name
            assert zones[entry.zone] is holder
            types = {rrset.rtype for rrset in holder.rrsets if rrset.owner == name} if name in owners else set()
            assert entry.rrset_count == len(types) + (name == holder.name)
        else:
            assert entry is None, name


def within(name: bytes, ancestor: bytes) -> bool:
    above = labels(ancestor)
    return labels(name)[len(labels(name)) - len(above) :] == above


def authority(name: bytes, zones: list[Zone]) -> Zone | None:
    return max((zone for zone in zones if within(name, zone.name)), key=lambda zone: len(zone.name), default=None)


def test_parent_of_the_root_is_the_root() -> None:
    assert parent(b"\0") == b"\0"
    assert parent(b"\1a\0") == b"\0"


def test_many_geometries_are_refused() -> None:
    """More than 64 ways of telling clients apart: 65 pools whose edges lie in 65 pairs of countries."""
    countries = "DE FR GB IT ES PT NL BE PL SE NO FI DK AT CH CZ HU RO BG GR IE LT LV EE SK SI HR RS UA BY MD AL"
    codes = (
        countries + " US CA MX BR AR CL CO PE VE JP KR CN IN ID TH VN MY SG PH AU NZ ZA EG NG KE MA TN DZ SN GH"
    ).split()
    edges = "edges:\n" + "".join(
        f"  e{number}: {{pop: p, addresses: {{v4: [192.0.2.{number}]}}, capacity: 1Gbps,"
        f" location: {{country: {code}, lat: 1, lon: 1}}}}\n"
        for number, code in enumerate(codes, 1)
    )
    pools = "".join(f"  p{number}: {{e{number}: 1}}\n" for number in range(1, len(codes) + 1))
    pools += "".join(f"  q{number}: {{e{number}: 1, e{number + 1}: 1}}\n" for number in range(1, 8))
    services = "".join(
        f"  s-{name.strip().split(':')[0]}: {{pool: {name.strip().split(':')[0]}, affinity: [country, any]}}\n"
        for name in pools.splitlines()
    )
    zone = (
        "zone: x.test.\nsoa: {mname: ns1, rname: h}\nrecords: {'@': {NS: [ns1]}, ns1: {A: 192.0.2.250}}\n"
        f"services:\n{services}pools:\n{pools}"
    )
    isp = "prefix,country\n" + "".join(f"10.{number}.0.0/16,{code}\n" for number, code in enumerate(codes))
    found = read({"zones/edges.yaml": edges, "zones/x.yaml": zone}, {"data/isp/c.csv": isp})
    assert compiling.build(found) is None
    assert [str(error) for error in found.findings.errors] == [
        "zones/x.yaml:0:0: service s-p58.x.test.: pool: 'p58' with affinity [country, any] is one of"
        f" {len(codes) + 7} ways of telling clients apart, and the first past 64: let services share pools and"
        " affinity lists"
    ]


def test_world_has_a_view_for_people() -> None:
    net = world(network.ZONES, network.TABLES)
    view = net.catalog.view(net.catalog.view_of(4, 0xC6336401, 32))
    assert (view.key, view.continent, view.lat) == ("DE|BE|dtag", "EU", None)


ELSEWHERE = {"zones/old/networks.csv": "prefix,country\n198.51.100.0/24,US\n"}


@pytest.mark.parametrize(
    ("zones", "tables", "country"),
    [
        ({"zones/networks.csv": "prefix,country\n198.51.100.0/24,FR\n", **ELSEWHERE}, {}, "FR"),
        (ELSEWHERE, {}, "DE"),
        ({}, {"data/isp/rtt.csv": "prefix,country\n198.51.100.0/25,JP\n"}, "JP"),
        ({}, {"data/isp/resolvers.csv": "prefix,country\n198.51.100.0/25,JP\n"}, "JP"),
    ],
    ids=["the zones' own", "in a folder below", "an ISP table called rtt", "an ISP table called resolvers"],
)
def test_a_table_is_known_by_its_place(zones: dict[str, str], tables: dict[str, str], country: str) -> None:
    net = world({**network.ZONES, **zones}, {**network.TABLES, **tables})
    assert net.catalog.view(net.catalog.view_of(4, 0xC6336401, 32)).country == country
