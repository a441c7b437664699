"""The counters of one worker: unsigned 64-bit cells in memory that the control process reads at scrape.

They lie in blocks, one for each thread that counts, so that none waits for another.
The memory outlives the worker, so a worker that is killed takes no count with it, and its successor goes on counting.
"""

from __future__ import annotations

import mmap
import os

QTYPES = {
    1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV", 35: "NAPTR",
    43: "DS", 46: "RRSIG", 48: "DNSKEY", 52: "TLSA", 64: "SVCB", 65: "HTTPS", 251: "IXFR", 252: "AXFR", 255: "ANY",
    257: "CAA",
}  # fmt: skip
OTHER = "other"
QTYPE_LABELS = (*QTYPES.values(), OTHER)
RCODES = {
    0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED", 9: "NOTAUTH", 16: "BADVERS",
}  # fmt: skip
DROPPED = "dropped"
RCODE_LABELS = (*RCODES.values(), OTHER, DROPPED)
TRANSPORTS = ("udp", "tcp")
FAMILIES = ("ipv4", "ipv6")
OUTCOMES = (
    "service", "static", "nodata", "nxdomain", "referral", "refused", "formerr", "notimp", "badvers", "notauth", "any",
    "debug", "cookie", "fallback", "no_edge", "servfail", OTHER,
)  # fmt: skip
LIMITED = ("dropped", "slipped", "counted")
"""What rate limiting did: dropped an error, answered it with TC, or only counted a positive answer over the rate."""
MISSED = ("unusual", "class_ch", "referral", "embedded_ipv6")
"""Why native threads leave a message to the reference path: a form that is seldom seen, class CH, a name below a zone
cut, an IPv6 address that may carry an IPv4 one."""
SCALARS = (
    "fail_open",
    "engine_errors",
    "receive_errors",
    "send_errors",
    "cookies_valid",
    "tcp_accepted",
    "tcp_open",
    "tcp_refused_client",
    "tcp_evicted",
    "tcp_idle_closed",
    "tcp_bad_frames",
    "fast",
    "missed_dropped",
)
EDGE_SLOTS = 65536
"""As many edges as a catalog can name; slot 0 counts those that came when all others were given away."""

QTYPE_AT = {number: index for index, number in enumerate(QTYPES)}
RCODE_AT = {number: index for index, number in enumerate(RCODES)}
OUTCOME_AT = {text: index for index, text in enumerate(OUTCOMES)}
QTYPE_OTHER = len(QTYPES)
RCODE_OTHER = len(RCODES)
RCODE_DROPPED = len(RCODES) + 1
OUTCOME_OTHER = len(OUTCOMES) - 1

# Blocks, one behind the other; the edges last, so that pages of slots never used are never made.
QUERIES = 0  # [transport][family][qtype]
REPLIES = QUERIES + len(TRANSPORTS) * len(FAMILIES) * len(QTYPE_LABELS)  # [transport][rcode]
OUTCOME = REPLIES + len(TRANSPORTS) * len(RCODE_LABELS)
LIMIT = OUTCOME + len(OUTCOMES)
MISS = LIMIT + len(LIMITED)
SCALAR = {name: MISS + len(MISSED) + row for row, name in enumerate(SCALARS)}
EDGES = MISS + len(MISSED) + len(SCALARS)
CELLS = EDGES + EDGE_SLOTS
"""In one block."""
THREADS = 8
"""Native threads of a worker at most; each writes a block of its own behind the first, which the event loop writes."""
BLOCKS = 1 + THREADS


def queries_at(transport: int, family: int) -> int:
    """The first cell of a row of QUERIES; the qtype's index is added to it."""
    return QUERIES + (transport * len(FAMILIES) + family) * len(QTYPE_LABELS)


def replies_at(transport: int) -> int:
    """The first cell of a row of REPLIES; the rcode's index is added to it."""
    return REPLIES + transport * len(RCODE_LABELS)


def blocks(memory: memoryview) -> list[memoryview]:
    """The blocks of a worker's counters, to be added up."""
    return [memory[at : at + CELLS] for at in range(0, len(memory), CELLS)]


def create() -> int:
    """A descriptor of zeroed counters."""
    fd = os.memfd_create("gslb-counters", os.MFD_CLOEXEC)
    os.ftruncate(fd, BLOCKS * CELLS * 8)
    return fd


def attach(fd: int) -> memoryview:
    """The cells behind a descriptor, shared with every process that attaches them; the descriptor may be closed."""
    return memoryview(mmap.mmap(fd, BLOCKS * CELLS * 8)).cast("Q")
