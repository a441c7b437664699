"""The tables of measuring: their columns, in order, and what each holds. Whoever writes or reads one goes by these.

Networks are three columns of whole numbers, so that they join alike on every engine: ``*_family`` is 4 or 6, 0 for
none; ``*_net`` the first address, of IPv4 its 32 bits, of IPv6 the upper 64 bits as a signed number; ``*_len`` the
length of the prefix. Texts are empty where nothing is known, never null.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

TIME, TEXT, WHOLE, REAL = "time", "text", "whole", "real"
"""Kinds: a time in UTC with microseconds; a text; a signed number of 64 bits; a double."""

SLICE_S: Final = 300
"""Tables are built a slice of this many seconds at a time, and stored by the hour."""
HOUR_S: Final = 3600

Columns = Mapping[str, str]

_CLIENT: Final = {"client_family": WHOLE, "client_net": WHOLE, "client_len": WHOLE}
_RESOLVER: Final = {"resolver_family": WHOLE, "resolver_net": WHOLE, "resolver_len": WHOLE}
_VIEW: Final = {"country": TEXT, "region": TEXT, "isp": TEXT}


def _columns(found: dict[str, str]) -> Columns:
    return MappingProxyType(found)


# --- sources (bronze) ------------------------------------------------------------------------------------------------

QUERIES: Final = _columns(
    {
        "time": TIME,
        "server": TEXT,
        "boot_id": TEXT,  # 16 hex digits, another at each start of the server
        "seq": WHOLE,  # from 1 on within a boot, over all workers; a number that is missing is a record that was lost
        "service": TEXT,  # as a plan names it: lower case, final dot, "*.pull.example."; empty: no service answered
        "qname_crc": WHOLE,  # CRC-32 of the lower-case wire name: which cache entry
        "view": TEXT,  # country|region|isp that the server took the client to be in
        **_CLIENT,  # cut to the scope, at most /24 and /56; family 0: no public Client Subnet
        **_RESOLVER,  # at most /24 and /56
        "qtype": WHOLE,
        "rcode": WHOLE,
        "level": WHOLE,  # affinity level of the edge, from 0 on; -1: none
        "scope": WHOLE,
        "edge": TEXT,  # the first edge answered; empty: none
        "ttl_s": WHOLE,
        "plan": TEXT,  # version of the plan that decided; empty: local policy
        "weight": WHOLE,  # for how many questions the record stands: the sampling factor
    }
)
"""A record per sampled question: the query log of servers."""

COUNTERS: Final = _columns(
    {
        "time": TIME,
        "server": TEXT,
        "boot_id": TEXT,
        "queries": WHOLE,  # questions that got a reply since the boot, all workers and transports
        "logged": WHOLE,  # records written to segments since the boot
        "lost": WHOLE,  # records lost since the boot: overwritten in the ring, or not written for want of disk
        "last_seq": WHOLE,  # the last number given out, lost ones among them: logged + lost
    }
)
"""What a server counts beside its query log: a row at each segment, and at least each minute."""

DELIVERY: Final = _columns(
    {
        "minute": TIME,
        "edge": TEXT,
        "service": TEXT,  # as viewers know it: a host name at or below a service's name
        "client_prefix": TEXT,
        "bytes": WHOLE,
        "sessions_started": WHOLE,
    }
)
"""What an edge says it served in a minute, as it is sent: CSV or Parquet."""

DELIVERIES: Final = _columns(
    {
        "minute_s": WHOLE,
        "edge": TEXT,
        "service": TEXT,
        **_CLIENT,
        "bytes": WHOLE,
        "sessions_started": WHOLE,
        "received_s": WHOLE,  # when it came in
    }
)
"""The same once it was taken in."""

REPORTS: Final = _columns(
    {
        "time": TIME,  # the store's clock when it was written
        "stream_ms": WHOLE,
        "stream_seq": WHOLE,  # with the former the id of the store's entry
        "edge": TEXT,
        "epoch": WHOLE,
        "seq": WHOLE,
        "health4": TEXT,
        "health6": TEXT,
        "load_bps": WHOLE,
        "capacity_bps": WHOLE,
        "headroom_milli": WHOLE,
        "sessions": WHOLE,
    }
)
"""What edges pushed."""

# --- facts to join with ----------------------------------------------------------------------------------------------

PLACES: Final = _columns({"family": WHOLE, "net": WHOLE, "len": WHOLE, **_VIEW})
"""Nested prefixes of what `zones/` and `data/` say, each with another view than the one around it. Of a client prefix
the longest row that covers it tells; rows longer than it never do. What no row covers is unknown."""
SERVICES: Final = _columns({"service": TEXT, "ttl_s": WHOLE})
EDGES: Final = _columns(
    {"edge": TEXT, "pop": TEXT, "country": TEXT, "region": TEXT, "isps": TEXT, "capacity_bps": WHOLE}
)  # `isps` joined with spaces

# --- silver: cleaned, without duplicates, located --------------------------------------------------------------------

ASKED: Final = _columns(
    {
        "minute_s": WHOLE,
        "service": TEXT,
        "edge": TEXT,
        **_VIEW,  # where the server took the client to be
        "ecs": WHOLE,  # 1: located by Client Subnet, 0: by its resolver
        "questions": WHOLE,  # sum of weights, A and AAAA that were answered with an edge
        "rows": WHOLE,
        "arrivals": REAL,  # the questions, and with Client Subnet those that caches answered meanwhile
    }
)
"""Questions by minute."""

BEHIND: Final = _columns({"slice_s": WHOLE, **_RESOLVER, **_CLIENT, **_VIEW, "questions": WHOLE})
"""Which client prefixes asked by which resolver, where Client Subnet tells it; located by PLACES."""

DELIVERED: Final = _columns(
    {
        "minute_s": WHOLE,
        "edge": TEXT,
        "service": TEXT,  # the service's own name
        **_VIEW,  # where viewers are, by PLACES
        "bytes": WHOLE,
        "sessions_started": WHOLE,
        "clients": WHOLE,  # client prefixes, those of each host name
    }
)
"""What was delivered, by minute; only edges that send delivery logs are in it."""

LOAD: Final = _columns(
    {
        "minute_s": WHOLE,
        "edge": TEXT,
        "load_bps": REAL,  # mean over the reports of the minute
        "peak_bps": WHOLE,
        "capacity_bps": WHOLE,  # the least reported
        "sessions": WHOLE,  # the most reported
        "down": WHOLE,  # reports that are not up
        "reports": WHOLE,
    }
)
"""What edges reported, by minute."""

# --- gold ------------------------------------------------------------------------------------------------------------

DEMAND: Final = _columns(
    {
        "time": TIME,  # start of the bucket
        "service": TEXT,
        **_VIEW,
        "demand_bps": REAL,  # mean of the bucket: delivered + inferred
        "delivered_bps": REAL,
        "inferred_bps": REAL,
        "source": TEXT,  # delivered, mixed or inferred
        "confidence": REAL,  # 0 to 1
        "sessions_started": WHOLE,  # of delivery logs
        "questions": WHOLE,
    }
)
"""Demand in buckets of 300 s, and as DEMAND_LIVE of 60 s."""

RESOLVERS: Final = _columns(
    {
        "hour": TIME,
        "resolver_prefix": TEXT,
        "client_prefix": TEXT,  # of the view's prefixes the one that asked most
        **_VIEW,
        "share": REAL,  # of the resolver's questions
        "questions": WHOLE,
    }
)
"""Which views stand behind a resolver, each with a prefix of it: for `resolvers.csv`."""

EDGE_LOAD: Final = _columns(
    {
        "time": TIME,  # start of 300 s
        "edge": TEXT,
        "load_bps": REAL,
        "peak_bps": WHOLE,
        "capacity_bps": WHOLE,
        "delivered_bps": REAL,  # by delivery logs; 0 where there are none
        "logged_minutes": WHOLE,  # minutes with a delivery log
        "sessions": WHOLE,
        "reports": WHOLE,
    }
)
"""What edges carried."""
