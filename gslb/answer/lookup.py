"""Which name of ours answers a question: itself, a wildcard, a delegation, or none (RFC 1034 section 4.3.2)."""

from __future__ import annotations

from typing import Final

from gslb.snapshot.catalog import Catalog
from gslb.snapshot.layout import NAME_APEX, NAME_CNAME, NAME_CUT, NONE32
from gslb.snapshot.rows import RRsetRow
from gslb.wire import codes, message

HIT: Final = 0  # the name itself
WILDCARD: Final = 1  # the "*" name that stands for it (RFC 4592)
CUT: Final = 2  # a delegation at or above it
ABSENT: Final = 3  # no such name: the row is its closest encloser
OUTSIDE: Final = 4  # in no zone of ours: no row

MAX_LINKS: Final = 8
"""CNAMEs followed in one answer at most."""


def find_name(catalog: Catalog, name: bytes, qtype: int) -> tuple[int, int]:
    """What a lower-case wire name is to us, one of the constants above, and the row of the name that decides it.

    DS belongs to the parent's side of a cut (RFC 4035 section 3.1.4.1), also where both zones are ours.
    """
    row = catalog.find(name)
    if row >= 0:
        entry = catalog.names[row]
        if entry.flags & NAME_CUT:
            return (HIT if qtype == codes.DS else CUT), row
        if qtype == codes.DS and entry.flags & NAME_APEX and entry.parent_side != NONE32:
            return HIT, entry.parent_side
        return HIT, row
    row = catalog.closest(name)
    if row < 0:
        return OUTSIDE, row
    entry = catalog.names[row]
    if entry.flags & NAME_CUT:
        return CUT, row
    if entry.wildcard != NONE32:
        return WILDCARD, entry.wildcard
    return ABSENT, row


def alias_of(catalog: Catalog, row: int) -> bytes | None:
    """The target of a name's CNAME, letter case kept, or None where it has none."""
    rrset = rrset_of(catalog, row, codes.CNAME) if catalog.names[row].flags & NAME_CNAME else None
    return None if rrset is None else bytes(catalog.blob[rrset.blob + message.RDATA_AT : rrset.blob + rrset.length])


def rrset_of(catalog: Catalog, row: int, rtype: int) -> RRsetRow | None:
    """The set of a type that a name holds, as a row of `layout.RRSET`, or None."""
    entry = catalog.names[row]
    for rrset in catalog.rrsets[entry.rrset : entry.rrset + entry.rrset_count]:
        if rrset.rtype == rtype:
            return rrset
    return None
