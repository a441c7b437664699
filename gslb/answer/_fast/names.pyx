# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# Invariant of this file: rows come from the catalog and index the catalog; a name is lower case and ends with its root
# label, at most 255 bytes in all, so a walk over its labels ends inside it.
"""The compiled look-up of names: `gslb.answer.lookup` and `Catalog.find`."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memcmp

from gslb.answer._fast cimport codes, layout
from gslb.answer._fast.crc cimport crc32
from gslb.answer._fast.layout cimport NameRow, RrsetRow



cdef int64_t _find(const Tables *tables, const uint8_t *name, size_t size, uint32_t crc) noexcept nogil:
    """The row of a name, or -1. Invariant: the table has an empty slot, so the probing ends."""
    cdef uint32_t at = crc & tables.slot_mask
    cdef uint32_t row = tables.catalog.name_slot[at]
    cdef const NameRow *found
    while row:
        found = &tables.catalog.name[row - 1]
        if found.length == size and memcmp(tables.catalog.name_bytes + found.text, name, size) == 0:
            return <int64_t>row - 1
        at = (at + 1) & tables.slot_mask
        row = tables.catalog.name_slot[at]
    return -1


cdef int64_t _closest(const Tables *tables, const uint8_t *name, size_t size) noexcept nogil:
    """The row of the longest name of ours that a name lies below, or -1. Invariant: at most `deepest` + 1 are tried."""
    cdef uint8_t begins[128]
    cdef size_t count = 0
    cdef size_t at = 0
    cdef size_t number
    cdef int64_t row
    while name[at] and count < 128:
        at += 1 + <size_t>name[at]
        begins[count] = <uint8_t>at
        count += 1
    number = count - 1 - tables.deepest if count > tables.deepest + 1 else 0
    for number in range(number, count):
        at = begins[number]
        row = _find(tables, name + at, size - at, crc32(name + at, size - at))
        if row >= 0:
            return row
    return -1


cdef Found find_name(const Tables *tables, const uint8_t *name, size_t size, uint32_t crc, uint16_t qtype,
                     uint32_t *row) noexcept nogil:
    """What a name with its CRC-32 is to us, and the row that decides it. Invariant: ``row`` is set but for OUTSIDE."""
    cdef int64_t at = _find(tables, name, size, crc)
    cdef const NameRow *entry
    if at >= 0:
        entry = &tables.catalog.name[at]
        row[0] = <uint32_t>at
        if entry.flags & layout.NAME_CUT:
            return HIT if qtype == codes.DS else CUT
        if qtype == codes.DS and entry.flags & layout.NAME_APEX and entry.parent_side != layout.NONE32:
            row[0] = entry.parent_side
        return HIT
    at = _closest(tables, name, size)
    if at < 0:
        return OUTSIDE
    entry = &tables.catalog.name[at]
    row[0] = <uint32_t>at
    if entry.flags & layout.NAME_CUT:
        return CUT
    if entry.wildcard != layout.NONE32:
        row[0] = entry.wildcard
        return WILDCARD
    return ABSENT


cdef const RrsetRow *rrset_of(const Tables *tables, uint32_t row, uint16_t rtype) noexcept nogil:
    """The set of a type that a name holds, or NULL."""
    cdef const NameRow *entry = &tables.catalog.name[row]
    cdef uint32_t at
    for at in range(entry.rrset, entry.rrset + entry.rrset_count):
        if tables.catalog.rrset[at].rtype == rtype:
            return &tables.catalog.rrset[at]
    return NULL
