"""The byte layout of both snapshots: one flat, versioned file of named arrays. This module is its one definition.

A file is: 64-byte header, a table of sections, then the sections, each on a 64-byte boundary, little-endian.

    header   magic 8s, version u32, section count u32, generation 32s, body bytes u64, crc32 of all after the header u32
    section  name 16s (NUL-padded), dtype index u32, reserved u32, offset u64 from the file's start, length in bytes u64

Readers map the file and view the arrays where they lie; nothing is copied.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gslb.errors import GslbError

VERSION = 3
CATALOG_MAGIC = b"GSLBCAT\0"
STEERING_MAGIC = b"GSLBSTE\0"
HEADER = struct.Struct("<8sII32sQI4x")
ENTRY = struct.Struct("<16sIIQQ")
ALIGN = 64

NONE32 = 0xFFFFFFFF
"""No such row: the absent value of every u32 index."""
CLASS_PRIVATE = 0xFFFFFFFF
"""In row*_class: a block of addresses that name nobody; the client is located by its resolver."""
CLASS_TAIL = 0xFFFFFFFE
"""In row6_class: a /64 that holds blocks longer than /64 (::/64, 64:ff9b::/64); `lookup` resolves it."""

# Flags of a name.
NAME_CUT = 1  # a delegation: NS below the apex
NAME_APEX = 2
NAME_CNAME = 4
# Flags of a service.
SERVICE_CLOSED = 1  # on_all_down: closed
SERVICE_DISPATCH = 2
# Flags of a steering row.
ROW_CHANGING = 1
ROW_FAIL_OPEN = 2
ROW_PLANNED = 4  # its weights are a published plan's
ROW_PINNED = 8  # its edges are those of a pin

STEERING_WIDTH = 16
"""Edges in one steering row at most."""
LEVEL_NEVER = 255
"""In policy_level: this edge never serves this class."""

# Verdicts on one family of an edge in `edge_state`, best first; the order is the order of failing open.
VERDICT_UP = 0
VERDICT_UNKNOWN = 1  # report stale, held as its last state, which was up
VERDICT_DOWN = 2
VERDICT_DRAIN = 3
VERDICT_ABSENT = 4  # the edge has no address of this family

U8 = np.dtype("u1")
U16 = np.dtype("<u2")
U32 = np.dtype("<u4")
U64 = np.dtype("<u8")
F32 = np.dtype("<f4")


def _row(size: int, fields: list[tuple[str, str]]) -> np.dtype[Any]:
    """A row of ``size`` bytes, zeros behind its fields: a power of two, so that none lies across two cache lines."""
    offsets = np.cumsum([0, *(np.dtype(kind).itemsize for _, kind in fields)]).tolist()[:-1]
    names, formats = zip(*fields, strict=True)
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": size})


NAME = _row(
    32,
    [
        ("text", "<u4"),  # offset into name_bytes of the lower-case wire name
        ("zone", "<u2"),
        ("length", "u1"),  # of the wire name
        ("flags", "u1"),
        ("rrset", "<u4"),  # first row of rrset; they lie together, by type
        ("rrset_count", "<u2"),
        ("pad", "<u2"),
        ("service", "<u4"),  # row of service, or NONE32
        ("wildcard", "<u4"),  # row of name of its "*" child, or NONE32
        ("parent_side", "<u4"),  # at an apex: row of name of the same name in the zone above, or NONE32
    ],
)
RRSET = np.dtype(
    [
        ("rtype", "<u2"),
        ("records", "<u2"),
        ("blob", "<u4"),  # offset into blob: the records, owner a pointer to offset 12
        ("length", "<u4"),
        ("glue", "<u4"),  # first row of glue, for NS at a cut
        ("glue_count", "<u4"),
    ]
)
GLUE = np.dtype([("name", "<u4"), ("name_length", "<u4"), ("blob", "<u4"), ("length", "<u4"), ("records", "<u4")])
ZONE = np.dtype(
    [
        ("apex", "<u4"),  # row of name
        ("negative", "<u4"),  # offset into blob of the SOA record with the negative TTL; owner a pointer to 12
        ("negative_length", "<u4"),
        ("brief", "<u4"),  # the same with TTL 5 s, for a service that has no edge to give
    ]
)
EDGE = np.dtype(
    [
        ("hash", "<u8"),  # SipHash of the id, for the draw
        ("id", "<u4"),  # row of string
        ("pop", "<u4"),
        ("capacity_bps", "<u8"),
        ("capacity_sessions", "<u8"),
        ("rr4", "<u4"),  # offset into blob: A records of 16 bytes, TTL 0, owner a pointer to 12
        ("rr4_count", "<u4"),
        ("rr6", "<u4"),  # AAAA records of 28 bytes
        ("rr6_count", "<u4"),
        ("country", "<u4"),  # row of string, as are the next two
        ("region", "<u4"),
        ("continent", "<u4"),
        ("fence", "<u4"),  # countries, joined with spaces; the empty text: no fence
        ("isps", "<u4"),  # joined with spaces
        ("pad", "<u4"),
    ]
)
SERVICE = _row(
    64,
    [
        ("name", "<u4"),  # row of name
        ("policy", "<u4"),
        ("ttl_s", "<u4"),
        ("changing_ttl_s", "<u4"),
        ("fallback4", "<u4"),  # offset into blob, as an edge's
        ("fallback4_count", "<u4"),
        ("fallback6", "<u4"),
        ("fallback6_count", "<u4"),
        ("answers", "u1"),
        ("spread", "u1"),
        ("max_records", "u1"),
        ("hash_len4", "u1"),
        ("hash_len6", "u1"),
        ("flags", "u1"),
        ("pad", "<u2"),
        ("max_change", "<f4"),
    ],
)
POLICY = np.dtype(
    [
        ("geometry", "<u4"),
        ("edge", "<u4"),  # first row of policy_edge and policy_weight
        ("edge_count", "<u4"),
        ("level", "<u4"),  # first element of policy_level: class-major, edge_count each
        ("classes", "<u4"),
        ("row", "<u4"),  # its first class; steering row = 2 * (row + class) + (family is v6)
        ("panic_milli", "<u4"),
        ("pool", "<u4"),  # row of string
        ("affinity", "<u4"),  # row of string: the levels joined with ", "
        ("flags", "<u4"),  # SERVICE_CLOSED
    ]
)
GEOMETRY = np.dtype(
    [
        ("row4", "<u4"),
        ("row4_count", "<u4"),
        ("row6", "<u4"),
        ("row6_count", "<u4"),
        ("view", "<u4"),  # first element of view_class
        ("classes", "<u4"),
    ]
)
RESOLVER_CLIENT = np.dtype([("address", "<u8"), ("length", "u1"), ("family", "u1"), ("pad", "<u2"), ("pad2", "<u4")])
VIEW = np.dtype(
    [
        ("country", "<u4"),  # rows of string
        ("region", "<u4"),
        ("isp", "<u4"),
        ("continent", "<u4"),
        ("asn", "<u4"),
        ("lat", "<f4"),
        ("lon", "<f4"),
    ]
)
EDGE_STATE = np.dtype(
    [
        ("verdict4", "u1"),
        ("verdict6", "u1"),
        ("reported", "u1"),  # bits: 1 the store knows it, 2 held while much of its continent is silent, 4 vanished
        ("changing", "u1"),
        ("headroom_milli", "<u4"),
        ("planned_milli", "<u4"),  # headroom under a plan
        ("ramp_milli", "<u4"),  # what slow start and overrides leave of its weight everywhere
        ("age_ms", "<u8"),  # of the report, at state_ms
        ("since_ms", "<u8"),
        ("load_bps", "<u8"),
        ("capacity_bps", "<u8"),  # the smaller of inventory's and the report's
        ("sessions", "<u8"),
    ]
)
MADE = np.dtype([("made_ms", "<u8"), ("state_ms", "<u8")])

DTYPES = (
    U8, U16, U32, U64, F32, NAME, RRSET, GLUE, ZONE, EDGE, SERVICE, POLICY, GEOMETRY, RESOLVER_CLIENT, VIEW,
    EDGE_STATE, MADE,
)  # fmt: skip

CATALOG_SECTIONS: dict[str, np.dtype[Any]] = {
    "string": U8,  # UTF-8 texts end to end
    "string_at": U32,  # where each begins; one more than there are texts
    "name": NAME,
    "name_bytes": U8,
    "name_slot": U32,  # open addressing, 2^k slots: row of name + 1, 0 = empty; slot = crc32(name) & mask, then + 1
    "rrset": RRSET,
    "glue": GLUE,
    "zone": ZONE,
    "blob": U8,
    "edge": EDGE,
    "service": SERVICE,
    "policy": POLICY,
    "policy_edge": U16,
    "policy_weight": U32,  # operator weight 0–65535
    "policy_level": U8,
    "class_multi": U8,  # per (policy row): 1 where two or more edges may serve the class
    "geometry": GEOMETRY,
    "row4_start": U32,
    "row4_len": U8,
    "row4_class": U32,
    "row6_start": U64,  # the upper 64 bits of the address, here and below
    "row6_len": U8,
    "row6_class": U32,
    "view_class": U32,  # geometry-major: class of each view
    "base4_start": U32,  # intervals of one node each
    "base4_node": U32,
    "base6_start": U64,
    "base6_node": U32,
    "node4_len": U8,  # nested facts: row 0 is the root (length 0)
    "node4_parent": U32,
    "node4_view": U32,
    "node6_len": U8,
    "node6_parent": U32,
    "node6_view": U32,
    "view": VIEW,
    "resolver4_start": U32,  # intervals
    "resolver4_row": U32,  # row of resolver_client, or NONE32
    "resolver6_start": U64,
    "resolver6_row": U32,
    "resolver_client": RESOLVER_CLIENT,
    "health": F32,  # stale_s, hold_s, changing_s, silence_share, silence_edges, slow_start_s
}
STEERING_SECTIONS: dict[str, np.dtype[Any]] = {
    "made": MADE,
    "edge": U16,  # rows × STEERING_WIDTH
    "level": U8,  # rows × STEERING_WIDTH
    "weight": U32,  # rows × STEERING_WIDTH: effective weight after spill
    "reciprocal": U32,  # rows × STEERING_WIDTH: see policy/draw.py
    "count": U8,  # rows
    "flags": U8,  # rows: ROW_*
    "service_row": U32,  # of each service, its first class's row, as policy.row; empty: all have their policy's
    "edge_state": EDGE_STATE,
    "note": U8,  # JSON, for explanations: the plan in use, and the overrides that act
}
_SECTIONS = {CATALOG_MAGIC: CATALOG_SECTIONS, STEERING_MAGIC: STEERING_SECTIONS}


class Places(NamedTuple):
    """Where things lie in a file: the table behind the header, the offset of each section, the size of it all."""

    table: bytes
    offsets: dict[str, int]
    size: int


def pack(magic: bytes, generation: bytes, arrays: Mapping[str, npt.NDArray[Any]]) -> Iterator[bytes | memoryview]:
    """The pieces of a snapshot file, in order; ``arrays`` are keyed by section name and cast to the section's dtype."""
    places = place(magic, {name: array.size for name, array in arrays.items()})
    pieces: list[bytes | memoryview] = [places.table]
    position = HEADER.size + len(places.table)
    for name, offset in places.offsets.items():
        body = raw(magic, name, arrays[name])
        pieces += bytes(offset - position), body
        position = offset + len(body)
    pieces.append(bytes(places.size - position))
    crc = 0
    for piece in pieces:
        crc = zlib.crc32(piece, crc)
    yield header(magic, generation, places.size, crc)
    yield from pieces


def place(magic: bytes, lengths: Mapping[str, int]) -> Places:
    """Where the sections of a snapshot lie; ``lengths`` are their elements."""
    sections = _SECTIONS[magic]
    if set(lengths) != set(sections):
        raise ValueError(f"sections differ from the layout's: {sorted(set(lengths) ^ set(sections))}")
    at = _aligned(HEADER.size + ENTRY.size * len(sections))
    table = bytearray()
    offsets = {}
    for name, dtype in sections.items():
        size = lengths[name] * dtype.itemsize
        table += ENTRY.pack(name.encode(), DTYPES.index(dtype), 0, at, size)
        offsets[name] = at
        at = _aligned(at + size)
    return Places(bytes(table), offsets, at)


def raw(magic: bytes, name: str, array: npt.NDArray[Any]) -> memoryview:
    """The bytes of a section, or of a part of it, cast to its dtype."""
    body = np.ascontiguousarray(array, dtype=_SECTIONS[magic][name])
    return body.reshape(-1).view(np.uint8).data


def header(magic: bytes, generation: bytes, size: int, crc: int) -> bytes:
    """What a file of ``size`` bytes begins with; ``crc`` is the checksum of all that follows."""
    return HEADER.pack(magic, VERSION, len(_SECTIONS[magic]), generation, size, crc)


def unpack(magic: bytes, buffer: memoryview, *, verify: bool = True) -> tuple[bytes, dict[str, npt.NDArray[Any]]]:
    """The generation and the arrays of a snapshot that lies in ``buffer``; the arrays are views of it.

    Raises `GslbError` where the bytes are not a whole snapshot of this version and kind; ``verify`` False leaves out
    the checksum (for a buffer this machine made a moment ago).
    """
    if len(buffer) < HEADER.size:
        raise GslbError("snapshot: shorter than its header")
    found_magic, version, count, generation, size, crc = HEADER.unpack_from(buffer)
    if found_magic != magic:
        raise GslbError(f"snapshot: magic {found_magic!r} is not {magic!r}")
    if version != VERSION:
        raise GslbError(f"snapshot: version {version} is not {VERSION}")
    if size != len(buffer):
        raise GslbError(f"snapshot: {len(buffer)} bytes of {size}")
    if verify and zlib.crc32(buffer[HEADER.size :]) != crc:
        raise GslbError("snapshot: checksum differs")
    sections = _SECTIONS[magic]
    arrays = {}
    for row in range(count):
        text, kind, _, offset, length = ENTRY.unpack_from(buffer, HEADER.size + row * ENTRY.size)
        name = text.rstrip(b"\0").decode()
        if sections.get(name) != DTYPES[kind] or offset + length > size:
            raise GslbError(f"snapshot: section {name!r} is not of this layout")
        arrays[name] = np.frombuffer(buffer[offset : offset + length], dtype=DTYPES[kind])
    if set(arrays) != set(sections):
        raise GslbError(f"snapshot: sections missing: {sorted(set(sections) - set(arrays))}")
    return generation, arrays


def _aligned(offset: int) -> int:
    return (offset + ALIGN - 1) // ALIGN * ALIGN
