"""Bytes in, what they mean out: a row for each rule, then each row cut short and with bytes changed."""

from __future__ import annotations

import struct
from typing import Any

import dns.message
import dnslib
import pytest
from gslbtest.packets import COOKIE, ID, NSID, RD, edns, opt, option, packet, subnet
from gslbtest.query_rows import C8, QUERIES, REFUSALS, ROWS, SUBNET, Row, client

from gslb.wire import message
from gslb.wire.query import Query, Refusal, parse

NOERROR, FORMERR, NOTIMP, BADVERS = 0, 1, 4, 16


def ids(rows: list[Row]) -> list[str]:
    return [f"{row.rule}: {row.case}" for row in rows]


@pytest.mark.parametrize("row", QUERIES, ids=ids(QUERIES))
def test_query(row: Row) -> None:
    found = parse(row.packet)
    assert isinstance(found, Query)
    assert isinstance(row.expected, dict)
    assert {field: getattr(found, field) for field in row.expected} == row.expected


@pytest.mark.parametrize("row", REFUSALS, ids=ids(REFUSALS))
def test_refusal(row: Row) -> None:
    assert parse(row.packet) == row.expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param([option(COOKIE, C8)], {"client_cookie": C8, "ecs": None}, id="client's"),
        pytest.param([option(COOKIE, C8 + bytes(16))], {"server_cookie": bytes(16)}, id="both"),
        pytest.param(
            [subnet(1, 0), option(COOKIE, C8), option(NSID)],
            {"nsid": True, **client(1, 0, bytes(4), b"")},
            id="with ECS",
        ),
    ],
)
def test_cookie_alone(options: list[bytes], expected: dict[str, Any]) -> None:
    found = parse(packet(opt(*options, flags=0x8000), counts=(0, 0, 0, 1)))
    assert isinstance(found, Refusal)
    assert found[:6] == (NOERROR, ID, RD, b"", True, True)
    assert found.query is not None
    assert found.query.question == b""
    assert {field: getattr(found.query, field) for field in expected} == expected


@pytest.mark.parametrize(
    ("options", "fields", "rcode"),
    [
        ([option(COOKIE, b"x" * 9)], {}, FORMERR),
        ([option(COOKIE, C8), subnet(7, 0)], {}, FORMERR),
        ([option(COOKIE, C8)], {"version": 1}, BADVERS),
    ],
)
def test_cookie_alone_is_checked_like_any(options: list[bytes], fields: dict[str, int], rcode: int) -> None:
    found = parse(packet(opt(*options, **fields), counts=(0, 0, 0, 1)))
    assert found == Refusal(rcode, ID, RD, b"", True, False, None)


@pytest.mark.parametrize("row", QUERIES, ids=ids(QUERIES))
def test_query_cut_short_anywhere_is_none(row: Row) -> None:
    for length in range(len(row.packet)):
        found = parse(row.packet[:length])
        assert found is None if length < 12 else isinstance(found, Refusal) and found.rcode == FORMERR


@pytest.mark.parametrize("row", ROWS, ids=ids(ROWS))
def test_any_byte_may_change_and_any_end_be_missing(row: Row) -> None:
    for length in range(len(row.packet)):
        check(row.packet[:length])
    for at, octet in enumerate(row.packet):
        for changed in {0, 0xFF, 0xC0, octet ^ 1, octet ^ 0x80, (octet + 1) & 0xFF} - {octet}:
            check(row.packet[:at] + bytes([changed]) + row.packet[at + 1 :])


@pytest.mark.parametrize("row", REFUSALS, ids=ids(REFUSALS))
def test_reply_is_read_by_dnspython(row: Row) -> None:
    found = parse(row.packet)
    if found is None:
        return
    assert isinstance(found, Refusal)
    reply = message.refuse(found)
    # As opcode QUERY, since dnspython has rules of its own for UPDATE.
    read = dns.message.from_wire(reply[:2] + bytes([reply[2] & 0x87]) + reply[3:])
    assert read.id == ID
    assert read.rcode() == found.rcode
    assert read.edns == (0 if found.opt else -1)
    assert not read.options
    assert [rrset.name.to_wire() for rrset in read.question] == ([found.question[:-4]] if found.question else [])
    assert struct.unpack_from("!H", reply, 2)[0] & 0x7FF0 == found.flags & 0x7900
    assert not read.answer + read.authority + read.additional


def test_dnslib_takes_what_we_refuse() -> None:
    """Why queries have a parser of their own: a message with bytes left over is one to dnslib."""
    trailing = edns(SUBNET) + b"left over"
    assert str(dnslib.DNSRecord.parse(trailing).q.qname) == "PuLl.live.example."
    found = parse(trailing)
    assert isinstance(found, Refusal)
    assert found.rcode == FORMERR


def check(asked: bytes) -> None:
    """What holds of any bytes at all."""
    found = parse(asked)
    if len(asked) < 12 or asked[2] & 0x80:
        assert found is None
    elif isinstance(found, Query):
        check_query(found, asked)
    else:
        assert isinstance(found, Refusal)
        assert found.rcode in (NOERROR, FORMERR, NOTIMP, BADVERS)
        assert (found.rcode == NOERROR) == (found.query is not None)
        assert asked[12:].startswith(found.question)
        assert len(message.refuse(found)) <= len(asked)
        if found.query is not None:
            check_query(found.query, asked)


def check_query(found: Query, asked: bytes) -> None:
    assert asked[12:].startswith(found.question)
    assert found.question.startswith(found.qname)
    assert len(found.qname) <= 255
    assert len(found.lower) == len(found.qname)
    assert 512 <= found.limit <= (1232 if found.opt else 512)
    assert len(found.client_cookie) in (0, 8)
    if found.ecs is not None:
        family, source, address, raw = found.ecs
        bits = {0: 0, 1: 32, 2: 128}[family]
        assert source <= bits == len(address) * 8
        assert int.from_bytes(address) << source & (1 << bits) - 1 == 0
        assert raw == subnet(family, source, address[: (source + 7) // 8])
        assert raw in asked
