# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# Invariant of this file: the rows of a geometry begin with address 0 and so do the intervals of facts, so every search
# finds a row.
"""Where a query's client is: `gslb.answer.service.locate`, but for IPv6 addresses that may carry an IPv4 one."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from gslb.answer._fast cimport layout
from gslb.answer._fast.draw cimport seed_of
from gslb.answer._fast.layout cimport GeometryRow, PolicyRow, ResolverClientRow
from gslb.answer._fast.numbers cimport big_endian
from gslb.answer._fast.tables cimport index4_of

cdef enum:
    TO6 = 0x2002
    TEREDO = 0x20010000
    NAT64 = 0x0064FF9B


ctypedef fused Start:
    uint32_t  # an IPv4 address
    uint64_t  # the upper half of an IPv6 one


cdef inline size_t _above(const Start *starts, size_t begin, size_t end, Start value) noexcept nogil:
    """The first of ascending ``starts`` from ``begin`` that is above a value, ``end`` where none is.

    Without a branch on what is read: half of the guesses would be wrong.
    """
    cdef size_t size = end - begin
    cdef size_t half
    if size == 0:
        return begin
    while size > 1:
        half = size >> 1
        begin += half if starts[begin + half - 1] <= value else 0
        size -= half
    return begin + (1 if starts[begin] <= value else 0)


cdef bint _may_embed(uint64_t hi) noexcept nogil:
    """As `gslb.geo.special.may_embed`: such an address is the engine's."""
    return hi == 0 or hi >> 48 == TO6 or hi >> 32 == TEREDO or hi == <uint64_t>NAT64 << 32


cdef uint32_t _class_of(const Tables *tables, const GeometryRow *geometry, int family, uint64_t address,
                        int length) noexcept nogil:
    """The class of a prefix by its own view. Invariant: the root node has length 0, so the climb ends."""
    cdef size_t at
    cdef uint32_t node
    if family == 4:
        at = _above(tables.catalog.base4_start, 0, tables.catalog.base4_start_rows, <uint32_t>address) - 1
        node = tables.catalog.base4_node[at]
        while tables.catalog.node4_len[node] > length:
            node = tables.catalog.node4_parent[node]
        return tables.catalog.view_class[geometry.view + tables.catalog.node4_view[node]]
    at = _above(tables.catalog.base6_start, 0, tables.catalog.base6_start_rows, address) - 1
    node = tables.catalog.base6_node[at]
    while tables.catalog.node6_len[node] > length:
        node = tables.catalog.node6_parent[node]
    return tables.catalog.view_class[geometry.view + tables.catalog.node6_view[node]]


cdef bint _of_resolver(const Tables *tables, const GeometryRow *geometry, const uint8_t *source, size_t size,
                       Client *client) noexcept nogil:
    """Take the resolver, or what stands for it, for the client; False: a miss."""
    cdef const ResolverClientRow *known
    cdef uint32_t row = layout.NONE32
    cdef size_t at
    client.public = False
    client.family, client.length = (4, 32) if size == 4 else (6, 64)
    client.address = big_endian(source, 4 if size == 4 else 8)
    if size == 4:
        at = _above(tables.catalog.resolver4_start, 0, tables.catalog.resolver4_start_rows, <uint32_t>client.address)
        if at:
            row = tables.catalog.resolver4_row[at - 1]
    else:
        if _may_embed(client.address):
            return False
        at = _above(tables.catalog.resolver6_start, 0, tables.catalog.resolver6_start_rows, client.address)
        if at:
            row = tables.catalog.resolver6_row[at - 1]
    if row != layout.NONE32:
        known = &tables.catalog.resolver_client[row]
        client.address, client.length, client.family = known.address, known.length, known.family
    client.cls = _class_of(tables, geometry, client.family, client.address, client.length)
    return True


cdef size_t row4_of(const Tables *tables, uint32_t geometry, uint32_t address) noexcept nogil:
    """The row of a geometry that holds an IPv4 address. Invariant: the geometry's first row begins with 0.0.0.0."""
    cdef const uint32_t *index = index4_of(tables, address, geometry)
    return _above(tables.catalog.row4_start, index[0], index[tables.catalog.geometry_rows], address) - 1


cdef bint locate(const Tables *tables, const ServiceRow *service, const uint8_t *name, size_t size, const Query *query,
                 const uint8_t *source, size_t source_size, uint64_t draw, Client *client) noexcept nogil:
    """Find a query's client for a service; False: a miss. Invariant: scope and class come from the same row."""
    cdef const PolicyRow *policy = &tables.catalog.policy[service.policy]
    cdef const GeometryRow *geometry = &tables.catalog.geometry[policy.geometry]
    cdef uint32_t row_class
    cdef uint8_t row_len, least
    cdef size_t row
    client.scope = 0
    client.seed = draw
    client.geometry = policy.geometry
    if query.ecs_size == 0 or query.ecs_source == 0:
        return _of_resolver(tables, geometry, source, source_size, client)
    client.length = query.ecs_source
    if query.ecs_family == 1:
        client.family = 4
        client.address = query.address4
        row = row4_of(tables, policy.geometry, query.address4)
        row_class, row_len = tables.catalog.row4_class[row], tables.catalog.row4_len[row]
        least = service.hash_len4
    else:
        client.family = 6
        client.address = big_endian(query.address, 8)
        if _may_embed(client.address):
            return False
        row = geometry.row6 + geometry.row6_count
        row = _above(tables.catalog.row6_start, geometry.row6, row, client.address) - 1
        row_class, row_len = tables.catalog.row6_class[row], tables.catalog.row6_len[row]
        least = service.hash_len6
        if row_class == layout.CLASS_TAIL:
            return False
    client.cls = row_class
    if query.ecs_source < row_len:
        client.cls = _class_of(tables, geometry, client.family, client.address, query.ecs_source)
    client.scope = row_len
    if row_len < least and row_class != layout.CLASS_PRIVATE and tables.catalog.class_multi[policy.row + row_class]:
        client.scope = least
    if client.cls == layout.CLASS_PRIVATE:
        return _of_resolver(tables, geometry, source, source_size, client)
    client.public = True
    client.seed = seed_of(name, size, client.family, client.address, least)
    return True
