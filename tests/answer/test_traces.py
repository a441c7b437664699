"""What the counters are told of each kind of query."""

from __future__ import annotations

import pytest
from gslbtest.packets import asks, edns, packet, subnet
from gslbtest.world import World

from gslb.answer.engine import Trace
from gslb.snapshot.layout import NONE32


def name(text: str) -> bytes:
    return b"".join(bytes((len(label),)) + label.encode() for label in text.split(".")) + b"\0"


@pytest.mark.parametrize(
    ("query", "outcome", "rcode", "service", "edge"),
    [
        (edns(subnet(1, 24, b"\xc6\x33\x64"), question=asks(name("pull.live.example"))), "service", 0, "pull", "ber-1"),
        (packet(asks(name("www.live.example"))), "service", 0, "pull", "ber-1"),
        (packet(asks(name("six.live.example"))), "no_edge", 0, "six", None),
        (packet(asks(name("fenced-fb.live.example"))), "fallback", 0, "fenced-fb", None),
        (packet(asks(name("mail.live.example"))), "static", 0, None, None),
        (packet(asks(name("mail.live.example"), 16)), "nodata", 0, None, None),
        (packet(asks(name("no.live.example"))), "nxdomain", 3, None, None),
        (packet(asks(name("del.live.example"))), "referral", 0, None, None),
        (packet(asks(name("else.test"))), "refused", 5, None, None),
        (packet(asks(name("id.server"), 16, 3)), "debug", 0, None, None),
        (packet(asks(name("live.example")), flags=0x2000), "notimp", 4, None, None),
        (edns(version=1), "badvers", 16, None, None),
        (packet(asks(name("live.example"))) + b"x", "formerr", 1, None, None),
        (b"short", "dropped", 0, None, None),
    ],
)
def test_trace(net: World, query: bytes, outcome: str, rcode: int, service: str | None, edge: str | None) -> None:
    trace = Trace()
    net.ask(query, trace=trace)
    names = {row: net.catalog.name_text(each.name) for row, each in enumerate(net.catalog.services)}
    assert (trace.outcome, trace.rcode) == (outcome, rcode)
    assert names.get(trace.service) == (name(f"{service}.live.example") if service else None)
    assert (None if trace.edge == NONE32 else net.catalog.edge_ids[trace.edge]) == edge
