"""Options and cookies: as the RFCs print them, and as dnspython reads them."""

from __future__ import annotations

import ipaddress

import dns.edns
import dns.message
import pytest
from siphashc import siphash

from gslb.wire import edns, message
from gslb.wire.query import parse

SECRET = bytes.fromhex("e5e973e5a6b2a43f48e7dc849e37bfcf")
OLD = bytes.fromhex("dd3bdf9344b678b185a6f5cb60fca715")
NEW = bytes.fromhex("445536bcd2513298075a5d379663c962")
CLIENT = b"clientck"
HERE = b"\xc0\0\2\1"
NOW = 1_700_000_000

# RFC 9018 appendix A: client cookie, address, secrets, time, server cookie sent or none, whether valid, answer.
VECTORS = [
    pytest.param(
        "2464c4abcf10c957",
        "198.51.100.100",
        [SECRET],
        1559731985,
        "",
        False,
        "010000005cf79f111f8130c3eee29480",
        id="A.1 learning",
    ),
    pytest.param(
        "2464c4abcf10c957",
        "198.51.100.100",
        [SECRET],
        1559734385,
        "010000005cf79f111f8130c3eee29480",
        True,
        "010000005cf7a871d4a564a1442aca77",
        id="A.2 renewed after 40 minutes",
    ),
    pytest.param(
        "fc93fc62807ddb86",
        "203.0.113.203",
        [SECRET],
        1559734700,
        "01abcdef5cf78f71a314227b6679ebf5",
        False,
        "010000005cf7a9acf73a7810aca2381e",
        id="A.3 reserved bytes set, too old",
    ),
    pytest.param(
        "fc93fc62807ddb86",
        "203.0.113.203",
        [SECRET],
        1559727985 + 3600,
        "01abcdef5cf78f71a314227b6679ebf5",
        True,
        None,
        id="A.3 in time",
    ),
    pytest.param(
        "22681ab97d52c298",
        "2001:db8:220:1:59de:d0f4:8769:82b8",
        [NEW, OLD],
        1559741961,
        "010000005cf7c57926556bd0934c72f8",
        True,
        "010000005cf7c609a6bb79d16625507a",
        id="A.4 rolled over, IPv6",
    ),
]


@pytest.mark.parametrize(("client", "address", "secrets", "now_s", "sent", "valid", "answer"), VECTORS)
def test_rfc_9018(
    client: str, address: str, secrets: list[bytes], now_s: int, sent: str, valid: bool, answer: str | None
) -> None:
    mine, packed, theirs = bytes.fromhex(client), ipaddress.ip_address(address).packed, bytes.fromhex(sent)
    assert edns.verify(mine, theirs, packed, secrets, now_s) == valid
    found, option = edns.answer_cookie(mine, theirs, packed, secrets, now_s)
    assert found == valid
    if answer is not None:
        assert option.hex() == f"000a0018{client}{answer}"


@pytest.mark.parametrize(
    ("age_s", "valid", "renewed"),
    [
        (0, True, False),
        (1799, True, False),
        (1800, True, True),
        (3600, True, True),
        (3601, False, True),
        (-300, True, False),
        (-301, False, True),
        (1 << 31, False, True),
        ((1 << 32) + 5, True, False),  # the serial number has come round
    ],
)
@pytest.mark.parametrize("made_s", [NOW, 0xFFFFFFFF, 10], ids=["now", "last second of 32 bits", "first seconds"])
def test_cookie_has_its_time(made_s: int, age_s: int, valid: bool, renewed: bool) -> None:
    sent = edns.server_cookie(CLIENT, HERE, SECRET, made_s)
    found, option = edns.answer_cookie(CLIENT, sent, HERE, [SECRET], made_s + age_s)
    assert found == valid
    assert option[:12] == b"\0\x0a\0\x18" + CLIENT
    assert (option[12:] != sent) == (renewed and age_s != 0)
    assert edns.verify(CLIENT, option[12:], HERE, [SECRET], made_s + age_s)


def hashed(head: bytes) -> bytes:
    return siphash(SECRET, CLIENT + head + HERE).to_bytes(8, "little")


GOOD = edns.server_cookie(CLIENT, HERE, SECRET, NOW)
VERSION_2 = b"\x02\0\0\0" + NOW.to_bytes(4)
assert hashed(GOOD[:8]) == GOOD[8:]


@pytest.mark.parametrize(
    ("client", "server", "address", "secrets"),
    [
        pytest.param(CLIENT, b"", HERE, [SECRET], id="none"),
        pytest.param(CLIENT, GOOD[:15], HERE, [SECRET], id="too short"),
        pytest.param(CLIENT, GOOD + b"\0", HERE, [SECRET], id="too long"),
        pytest.param(CLIENT, b"\x02" + GOOD[1:], HERE, [SECRET], id="version 2"),
        pytest.param(CLIENT, VERSION_2 + hashed(VERSION_2), HERE, [SECRET], id="version 2, its hash right"),
        pytest.param(CLIENT, GOOD[:1] + b"\x01" + GOOD[2:], HERE, [SECRET], id="reserved byte changed"),
        pytest.param(CLIENT, GOOD[:-1] + bytes([GOOD[-1] ^ 1]), HERE, [SECRET], id="hash changed"),
        pytest.param(b"other---", GOOD, HERE, [SECRET], id="of another client cookie"),
        pytest.param(CLIENT, GOOD, b"\xc0\0\2\2", [SECRET], id="of another address"),
        pytest.param(CLIENT, GOOD, HERE, [OLD, NEW], id="of a secret no more valid"),
    ],
)
def test_bad_cookie_gets_a_fresh_one(client: bytes, server: bytes, address: bytes, secrets: list[bytes]) -> None:
    valid, option = edns.answer_cookie(client, server, address, secrets, NOW)
    assert not valid
    assert option == edns.cookie_option(client, edns.server_cookie(client, address, secrets[0], NOW))


def test_previous_secret_is_valid_but_replaced() -> None:
    valid, option = edns.answer_cookie(CLIENT, GOOD, HERE, [NEW, OLD, SECRET], NOW)
    assert valid
    assert option[12:] == edns.server_cookie(CLIENT, HERE, NEW, NOW)


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        pytest.param(edns.nsid_option(b"fra-1"), dns.edns.NSIDOption(b"fra-1"), id="NSID"),
        pytest.param(edns.ede_option(0, "fail open"), dns.edns.EDEOption(0, "fail open"), id="EDE with text"),
        pytest.param(edns.ede_option(20), dns.edns.EDEOption(20), id="EDE"),
        pytest.param(edns.keepalive_option(300), dns.edns.GenericOption(11, b"\x01\x2c"), id="keepalive of 30 s"),
        pytest.param(edns.cookie_option(CLIENT, GOOD), dns.edns.CookieOption(CLIENT, GOOD), id="COOKIE"),
        pytest.param(
            edns.ecs_option(b"\0\x08\0\x07\0\x01\x18\0\xc6\x33\x64", 20),
            dns.edns.ECSOption("198.51.100.0", 24, 20),
            id="ECS with scope",
        ),
        pytest.param(
            edns.ecs_option(b"\0\x08\0\x08\0\x02\x20\0\x20\x01\x0d\xb8", 128),
            dns.edns.ECSOption("2001:db8::", 32, 128),
            id="ECS of IPv6, scope over source",
        ),
        pytest.param(
            edns.ecs_option(b"\0\x08\0\x04\0\x01\0\0", 0), dns.edns.ECSOption("0.0.0.0", 0, 0), id="ECS of source 0"
        ),
    ],
)
def test_option_is_read_by_dnspython(option: bytes, expected: dns.edns.Option) -> None:
    asked = dns.message.make_query("a.example.", "A", use_edns=0)
    query = parse(asked.to_wire())
    assert query is not None
    answer = dns.message.from_wire(message.assemble(query, 0, 512, options=option))
    assert list(answer.options) == [expected]
    assert answer.options[0].to_wire() == expected.to_wire()


@pytest.mark.parametrize("do", [False, True])
@pytest.mark.parametrize("rcode", [0, 5, 16, 23])
def test_opt(do: bool, rcode: int) -> None:
    nsid = edns.nsid_option(b"x")
    assert edns.opt(do, rcode, nsid) == (
        b"\0\0\x29\x04\xd0" + bytes([rcode // 16, 0, 0x80 if do else 0, 0]) + b"\0\x05" + nsid
    )
