# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# Invariant of this file: nothing here changes an answer. What is read lies in the tables, as for the look-ups themselves;
# what is only hinted at need not.
"""What a batch of queries will read, on its way from memory before it is needed.

Names and networks are too many for a core's caches, and each look-up waits for three reads, one after the other. For a
batch, the first reads of all queries are asked for at once, then the second ones, then the third.
"""

from libc.stdint cimport uint32_t

from gslb.answer._fast.clients cimport row4_of
from gslb.answer._fast.layout cimport NONE32, NameRow
from gslb.answer._fast.query cimport ASKED, Query
from gslb.answer._fast.tables cimport index4_of

cdef enum:
    LINE = 16  # beginnings in a cache line
    MOST = 128  # beginnings that are asked for; a search among more reads few of the others


cdef void look_ahead(const Tables *tables, const Asked *asked, int count, uint32_t geometry) noexcept nogil:
    """Ask for what queries need; ``geometry`` is that of the services they are probably for."""
    cdef int at
    if geometry >= tables.catalog.geometry_rows:
        geometry = 0
    for at in range(count):
        if asked[at].verdict == ASKED:
            prefetch(tables.catalog.name_slot + (asked[at].query.name_crc & tables.slot_mask))
            if asked[at].query.ecs_size and asked[at].query.ecs_family == 1:
                prefetch(index4_of(tables, asked[at].query.address4, geometry))
    for at in range(count):
        if asked[at].verdict == ASKED:
            _second(tables, &asked[at].query, geometry)
    for at in range(count):
        if asked[at].verdict == ASKED:
            _third(tables, &asked[at].query, geometry)


cdef inline void _second(const Tables *tables, const Query *query, uint32_t geometry) noexcept nogil:
    """The name's row, and the beginnings of the networks that the index leads to."""
    cdef size_t row = tables.catalog.name_slot[query.name_crc & tables.slot_mask]
    cdef const uint32_t *index
    if row:
        prefetch(tables.catalog.name + row - 1)
    if query.ecs_size and query.ecs_family == 1:
        index = index4_of(tables, query.address4, geometry)
        row = index[0]
        while row <= index[tables.catalog.geometry_rows] and row < index[0] + MOST:
            prefetch(tables.catalog.row4_start + row)
            row += LINE


cdef inline void _third(const Tables *tables, const Query *query, uint32_t geometry) noexcept nogil:
    """The name itself, to be compared, and its service; the network's class and length."""
    cdef size_t row = tables.catalog.name_slot[query.name_crc & tables.slot_mask]
    cdef const NameRow *entry
    if row:
        entry = &tables.catalog.name[row - 1]
        prefetch(tables.catalog.name_bytes + entry.text)
        prefetch(tables.catalog.name_bytes + entry.text + entry.length - 1)
        if entry.service != NONE32:
            prefetch(tables.catalog.service + entry.service)
    if query.ecs_size and query.ecs_family == 1:
        row = row4_of(tables, geometry, query.address4)
        prefetch(tables.catalog.row4_class + row)
        prefetch(tables.catalog.row4_len + row)
