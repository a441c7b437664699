# cython: language_level=3
# Everything an answer is made from, as C reads it without asking Python. Filled by `reply.Snapshot`, which keeps the
# memory behind every pointer for as long as it lives; never changed after that.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from gslb.answer._fast.layout cimport CatalogSections, SteeringSections

cdef struct Bytes:
    const uint8_t *at
    size_t size

cdef struct Tables:
    CatalogSections catalog
    SteeringSections steering
    uint32_t slot_mask  # of name_slot
    uint32_t deepest  # labels of the deepest name
    const uint32_t *index4  # per upper bits of an address and geometry: first row that begins there or later
    uint32_t index4_shift  # of an address: what is left of it is its place in `index4`
    const uint64_t *edge_hash  # per edge
    Bytes nsid  # whole options and records, as they go out
    Bytes opt
    Bytes failing_open
    Bytes not_authoritative
    Bytes any_answer
    const uint64_t *secret  # of cookies, two words each, the current one first
    size_t secrets


cdef inline const uint32_t *index4_of(const Tables *tables, uint32_t address, uint32_t geometry) noexcept nogil:
    """The entry of `index4` for an IPv4 address; the next lies as many entries on as there are geometries."""
    return tables.index4 + (address >> tables.index4_shift) * tables.catalog.geometry_rows + geometry
