# Made by gslb.answer.declared from gslb/snapshot/layout.py: change that, and make this anew.
# Bytes of snapshots as C sees them; a section is a pointer to its first row and the number of its rows.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    VERSION = 3
    NAME_CUT = 1
    NAME_APEX = 2
    NAME_CNAME = 4
    ROW_CHANGING = 1
    ROW_FAIL_OPEN = 2
    STEERING_WIDTH = 16

cdef extern from *:
    """
    #define GSLB_NONE32 4294967295u
    #define GSLB_CLASS_PRIVATE 4294967295u
    #define GSLB_CLASS_TAIL 4294967294u
    #define GSLB_DIGEST 2671235616u
    """
    const uint32_t NONE32 "GSLB_NONE32"
    const uint32_t CLASS_PRIVATE "GSLB_CLASS_PRIVATE"
    const uint32_t CLASS_TAIL "GSLB_CLASS_TAIL"
    const uint32_t DIGEST "GSLB_DIGEST"

cdef packed struct NameRow:
    uint32_t text
    uint16_t zone
    uint8_t length
    uint8_t flags
    uint32_t rrset
    uint16_t rrset_count
    uint16_t pad
    uint32_t service
    uint32_t wildcard
    uint32_t parent_side
    uint8_t rest[4]

cdef packed struct RrsetRow:
    uint16_t rtype
    uint16_t records
    uint32_t blob
    uint32_t length
    uint32_t glue
    uint32_t glue_count

cdef packed struct GlueRow:
    uint32_t name
    uint32_t name_length
    uint32_t blob
    uint32_t length
    uint32_t records

cdef packed struct ZoneRow:
    uint32_t apex
    uint32_t negative
    uint32_t negative_length
    uint32_t brief

cdef packed struct EdgeRow:
    uint64_t hash
    uint32_t id
    uint32_t pop
    uint64_t capacity_bps
    uint64_t capacity_sessions
    uint32_t rr4
    uint32_t rr4_count
    uint32_t rr6
    uint32_t rr6_count
    uint32_t country
    uint32_t region
    uint32_t continent
    uint32_t fence
    uint32_t isps
    uint32_t pad

cdef packed struct ServiceRow:
    uint32_t name
    uint32_t policy
    uint32_t ttl_s
    uint32_t changing_ttl_s
    uint32_t fallback4
    uint32_t fallback4_count
    uint32_t fallback6
    uint32_t fallback6_count
    uint8_t answers
    uint8_t spread
    uint8_t max_records
    uint8_t hash_len4
    uint8_t hash_len6
    uint8_t flags
    uint16_t pad
    float max_change
    uint8_t rest[20]

cdef packed struct PolicyRow:
    uint32_t geometry
    uint32_t edge
    uint32_t edge_count
    uint32_t level
    uint32_t classes
    uint32_t row
    uint32_t panic_milli
    uint32_t pool
    uint32_t affinity
    uint32_t flags

cdef packed struct GeometryRow:
    uint32_t row4
    uint32_t row4_count
    uint32_t row6
    uint32_t row6_count
    uint32_t view
    uint32_t classes

cdef packed struct ResolverClientRow:
    uint64_t address
    uint8_t length
    uint8_t family
    uint16_t pad
    uint32_t pad2

cdef packed struct ViewRow:
    uint32_t country
    uint32_t region
    uint32_t isp
    uint32_t continent
    uint32_t asn
    float lat
    float lon

cdef packed struct EdgeStateRow:
    uint8_t verdict4
    uint8_t verdict6
    uint8_t reported
    uint8_t changing
    uint32_t headroom_milli
    uint32_t planned_milli
    uint32_t ramp_milli
    uint64_t age_ms
    uint64_t since_ms
    uint64_t load_bps
    uint64_t capacity_bps
    uint64_t sessions

cdef packed struct MadeRow:
    uint64_t made_ms
    uint64_t state_ms

cdef struct CatalogSections:
    const uint8_t *string
    size_t string_rows
    const uint32_t *string_at
    size_t string_at_rows
    const NameRow *name
    size_t name_rows
    const uint8_t *name_bytes
    size_t name_bytes_rows
    const uint32_t *name_slot
    size_t name_slot_rows
    const RrsetRow *rrset
    size_t rrset_rows
    const GlueRow *glue
    size_t glue_rows
    const ZoneRow *zone
    size_t zone_rows
    const uint8_t *blob
    size_t blob_rows
    const EdgeRow *edge
    size_t edge_rows
    const ServiceRow *service
    size_t service_rows
    const PolicyRow *policy
    size_t policy_rows
    const uint16_t *policy_edge
    size_t policy_edge_rows
    const uint32_t *policy_weight
    size_t policy_weight_rows
    const uint8_t *policy_level
    size_t policy_level_rows
    const uint8_t *class_multi
    size_t class_multi_rows
    const GeometryRow *geometry
    size_t geometry_rows
    const uint32_t *row4_start
    size_t row4_start_rows
    const uint8_t *row4_len
    size_t row4_len_rows
    const uint32_t *row4_class
    size_t row4_class_rows
    const uint64_t *row6_start
    size_t row6_start_rows
    const uint8_t *row6_len
    size_t row6_len_rows
    const uint32_t *row6_class
    size_t row6_class_rows
    const uint32_t *view_class
    size_t view_class_rows
    const uint32_t *base4_start
    size_t base4_start_rows
    const uint32_t *base4_node
    size_t base4_node_rows
    const uint64_t *base6_start
    size_t base6_start_rows
    const uint32_t *base6_node
    size_t base6_node_rows
    const uint8_t *node4_len
    size_t node4_len_rows
    const uint32_t *node4_parent
    size_t node4_parent_rows
    const uint32_t *node4_view
    size_t node4_view_rows
    const uint8_t *node6_len
    size_t node6_len_rows
    const uint32_t *node6_parent
    size_t node6_parent_rows
    const uint32_t *node6_view
    size_t node6_view_rows
    const ViewRow *view
    size_t view_rows
    const uint32_t *resolver4_start
    size_t resolver4_start_rows
    const uint32_t *resolver4_row
    size_t resolver4_row_rows
    const uint64_t *resolver6_start
    size_t resolver6_start_rows
    const uint32_t *resolver6_row
    size_t resolver6_row_rows
    const ResolverClientRow *resolver_client
    size_t resolver_client_rows
    const float *health
    size_t health_rows

cdef struct SteeringSections:
    const MadeRow *made
    size_t made_rows
    const uint16_t *edge
    size_t edge_rows
    const uint8_t *level
    size_t level_rows
    const uint32_t *weight
    size_t weight_rows
    const uint32_t *reciprocal
    size_t reciprocal_rows
    const uint8_t *count
    size_t count_rows
    const uint8_t *flags
    size_t flags_rows
    const uint32_t *service_row
    size_t service_row_rows
    const EdgeStateRow *edge_state
    size_t edge_state_rows
    const uint8_t *note
    size_t note_rows
