"""What both parsers make of a packet, compared: `gslb.wire.query.parse` and the compiled one."""

from __future__ import annotations

from gslb.wire.query import Query, Refusal


def parsed_alike(expected: Query | Refusal | None, packet: bytes) -> bool:
    """Whether the compiled parser misses a packet or says of it what the reference said, ``expected``."""
    from gslb.answer._fast.query import parsed  # where the reference path is wanted, it may not be there

    found = parsed(packet)
    return found == "MISS" or found == _as_tuple(expected)


def _as_tuple(expected: Query | Refusal | None) -> tuple[object, ...] | None:
    """In the form of `parsed`; of a query for a cookie alone and of a signed one there is none: they are missed."""
    if expected is None:
        return None
    if isinstance(expected, Refusal):
        if expected.query is not None:
            return ()
        return expected.rcode, expected.id, expected.flags, expected.question, expected.opt, expected.do
    if expected.tsig:
        return ()
    cookie = expected.client_cookie + expected.server_cookie
    ecs = b"" if expected.ecs is None else expected.ecs.option
    return (
        expected.id, expected.flags, expected.lower, expected.qtype, expected.qclass, expected.question, expected.opt,
        expected.limit, expected.do, cookie, expected.nsid, ecs,
    )  # fmt: skip
