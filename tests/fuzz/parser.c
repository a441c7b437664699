/* Invariant: the compiled parser reads no byte outside the packet, and what it says of a packet is inside the packet, is
 * within the bounds that its fields have, and depends on nothing but the packet.
 *
 * Compiled together with what Cython makes of query.pyx and crc.pyx (run.sh). The parser needs no interpreter, so none is
 * started. AddressSanitizer watches the ends of a block that is exactly as large as the packet; the query is parsed
 * over two fillings, so a field that was never written shows as a difference.
 */
#include "query.c"

typedef struct __pyx_t_4gslb_6answer_5_fast_5query_Query Query;
typedef enum __pyx_t_4gslb_6answer_5_fast_5query_Verdict Verdict;
#define parse __pyx_f_4gslb_6answer_5_fast_5query_parse
#define DROPPED __pyx_e_4gslb_6answer_5_fast_5query_DROPPED
#define MISSED __pyx_e_4gslb_6answer_5_fast_5query_MISSED
#define REFUSAL __pyx_e_4gslb_6answer_5_fast_5query_REFUSAL
#define ASKED __pyx_e_4gslb_6answer_5_fast_5query_ASKED

#define HOLDS(claim) do { if (!(claim)) { fprintf(stderr, "parser.c:%d: %s\n", __LINE__, #claim); abort(); } } while (0)

uint32_t compiled_crc32(const uint8_t *data, size_t size); /* checksum.c */

enum { HEADER = 12, LONGEST_NAME = 255, LONGEST_QUESTION = LONGEST_NAME + 4, LONGEST_ECS = 4 + 4 + 16 };

/* Whether `size` bytes at `part` are bytes of the packet behind its header. */
static int inside(const uint8_t *packet, size_t packet_size, const uint8_t *part, size_t size)
{
    return part >= packet + HEADER && part <= packet + packet_size && size <= (size_t)(packet + packet_size - part);
}

/* Labels of at most 63 bytes that end with the root label exactly at `size`. */
static int whole_name(const uint8_t *name, size_t size)
{
    size_t at = 0;
    while (at < size && name[at] && name[at] < 64)
        at += 1 + (size_t)name[at];
    return at + 1 == size && name[at] == 0;
}

static void check_refusal(const uint8_t *packet, size_t size, const Query *query)
{
    (void)packet;
    HOLDS(size >= HEADER);
    HOLDS(query->rcode == 1 || query->rcode == 4 || query->rcode == 16);
    HOLDS(query->question_size == 0 || (query->question_size > 4 && query->question_size <= LONGEST_QUESTION));
    HOLDS((size_t)HEADER + query->question_size <= size);
    HOLDS(query->opt || !query->dnssec_ok);
}

static void check_query(const uint8_t *packet, size_t size, const Query *query)
{
    HOLDS(query->name_size >= 1);
    HOLDS(whole_name(query->name, query->name_size));
    HOLDS(query->question_size == query->name_size + 4 && query->question_size <= LONGEST_QUESTION);
    HOLDS((size_t)HEADER + query->question_size <= size);
    HOLDS(query->limit >= 512 && query->limit <= 1232);
    HOLDS(query->opt || (!query->dnssec_ok && !query->nsid && !query->cookie_size && !query->ecs_size));
    HOLDS(query->cookie_size == 0 || query->cookie_size == 8 || (query->cookie_size >= 16 && query->cookie_size <= 40));
    HOLDS(query->cookie_size == 0 || inside(packet, size, query->cookie, query->cookie_size));
    if (query->ecs_size) {
        size_t sent = query->ecs_size - 8u;
        HOLDS(query->ecs_size >= 8 && query->ecs_size <= LONGEST_ECS);
        HOLDS(inside(packet, size, query->ecs, query->ecs_size));
        HOLDS(query->ecs_family <= 2);
        HOLDS(query->ecs_source <= (query->ecs_family == 2 ? 128 : query->ecs_family == 1 ? 32 : 0));
        HOLDS(sent == (query->ecs_source + 7u) / 8u);
        for (size_t at = 0; at < sizeof query->address; at++)
            HOLDS(query->address[at] == (at < sent ? query->ecs[8 + at] : 0));
    }
}

static void check_alike(Verdict verdict, const Query *one, const Query *other)
{
    HOLDS(one->id == other->id && one->flags == other->flags && one->question_size == other->question_size);
    HOLDS(one->opt == other->opt && one->dnssec_ok == other->dnssec_ok);
    if (verdict == REFUSAL) {
        HOLDS(one->rcode == other->rcode);
        return;
    }
    HOLDS(one->qtype == other->qtype && one->qclass == other->qclass && one->limit == other->limit);
    HOLDS(one->name_size == other->name_size && memcmp(one->name, other->name, one->name_size) == 0);
    HOLDS(one->nsid == other->nsid && one->name_crc == other->name_crc);
    HOLDS(one->cookie_size == other->cookie_size && one->ecs_size == other->ecs_size);
    HOLDS(one->cookie_size == 0 || one->cookie == other->cookie);
    HOLDS(one->ecs_size == 0 || (one->ecs == other->ecs && one->ecs_family == other->ecs_family));
    HOLDS(one->ecs_size == 0 || one->ecs_source == other->ecs_source);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    __pyx_f_4gslb_6answer_5_fast_3crc_crc32 = compiled_crc32;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Query one, other;
    Verdict verdict;
    uint8_t *packet = malloc(size ? size : 1);
    HOLDS(packet != NULL);
    if (size)
        memcpy(packet, data, size);
    memset(&one, 0x5A, sizeof one);
    memset(&other, 0xA5, sizeof other);
    verdict = parse(size ? packet : NULL, size, &one);
    HOLDS(verdict == parse(size ? packet : NULL, size, &other));
    HOLDS(verdict == DROPPED || verdict == MISSED || verdict == REFUSAL || verdict == ASKED);
    HOLDS(size >= HEADER || verdict == DROPPED);
    if (verdict == REFUSAL || verdict == ASKED)
        check_alike(verdict, &one, &other);
    if (verdict == REFUSAL)
        check_refusal(packet, size, &one);
    if (verdict == ASKED)
        check_query(packet, size, &one);
    free(packet);
    return 0;
}
