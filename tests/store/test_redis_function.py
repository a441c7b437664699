"""The functions that write, called by redis-cli: what they accept, what they refuse and how they say so."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from gslbtest.stores import RedisServer

from gslb.store import redis_library

A, WORKS, V1 = "{gslb}:report:a", "{gslb}:override:works", "{gslb}:plan:v1"
COUNT = "is not a decimal number from 0 to 9223372036854775807"
DIGEST = hashlib.sha256(b"data").hexdigest()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as found:
        found.cli("-x", "FUNCTION", "LOAD", given=redis_library.text())
        yield found


@pytest.fixture
def server(shared: RedisServer) -> RedisServer:
    """An empty Redis with the library."""
    shared.cli("FLUSHALL")
    return shared


REPORTS: list[tuple[str, tuple[str, ...], str]] = [
    # key, what follows the version, and the reason for which nothing is written; empty where it is
    (A, ("epoch", "1", "seq", "1"), ""),
    (A, ("epoch", "0", "seq", "0"), ""),
    (A, ("seq", "1", "epoch", "1", "health4", "drain", "valid_ms", "604800000", "headroom_milli", "1000"), ""),
    (A, ("epoch", "1", "seq", "1", "region_code", "x y z"), ""),
    (A, ("epoch", "1", "seq", "1", "received_ms", "forged", "slow_since_ms", "forged", "kind", "plan"), ""),
    (A, ("epoch", "1", "seq", "9223372036854775807"), ""),
    (A, ("epoch", "1", "seq", "9223372036854775808"), f"report of edge 'a': seq: '9223372036854775808' {COUNT}"),
    (A, (), "report of edge 'a': epoch: is missing; seq: is missing"),
    (A, ("epoch", "1"), "report of edge 'a': seq: is missing"),
    (A, ("epoch",), "report of edge 'a': fields and values come in pairs"),
    (A, ("epoch", "1", "seq", "-1"), f"report of edge 'a': seq: '-1' {COUNT}"),
    (A, ("epoch", "1", "seq", "1e3"), f"report of edge 'a': seq: '1e3' {COUNT}"),
    (A, ("epoch", "1", "seq", "0x1"), f"report of edge 'a': seq: '0x1' {COUNT}"),
    (A, ("epoch", "1", "seq", ""), f"report of edge 'a': seq: '' {COUNT}"),
    (A, ("epoch", "nan", "seq", "inf"), f"report of edge 'a': epoch: 'nan' {COUNT}; seq: 'inf' {COUNT}"),
    (A, ("epoch", "1", "seq", "a\nb"), f"report of edge 'a': seq: 'a?b' {COUNT}"),
    (A, ("epoch", "1", "seq", "9" * 100), f"report of edge 'a': seq: '{'9' * 40}…' {COUNT}"),
    (
        A,
        ("epoch", "1", "seq", "1", "headroom_milli", "1001", "health6", "sick", "load_bps", "1000000000000001"),
        "report of edge 'a': headroom_milli: '1001' is not a decimal number from 0 to 1000; health6: 'sick' is not one"
        " of up, down, drain; load_bps: '1000000000000001' is not a decimal number from 0 to 1000000000000000",
    ),
    (A, ("epoch", "1", "seq", "1", "a b", "1"), "report of edge 'a': 'a b': is not the name of a field"),
    (A, ("epoch", "1", "seq", "1", "more", "x" * 65), "report of edge 'a': more: is longer than 64 bytes"),
    (
        A,
        ("epoch", "1", "seq", "1", *(part for at in range(33) for part in (f"k{at}", "x"))),
        "report of edge 'a': more than 32 fields that are not known",
    ),
    ("{gslb}:report:", (), "'{gslb}:report:' is not a key {gslb}:report:EDGE"),
    ("{gslb}:report:-a", (), "'{gslb}:report:-a' is not a key {gslb}:report:EDGE"),
    ("{gslb}:report:a b", (), "'{gslb}:report:a b' is not a key {gslb}:report:EDGE"),
    ("{gslb}:report:" + "a" * 64, (), "'{gslb}:report:" + "a" * 26 + "…' is not a key {gslb}:report:EDGE"),
    ("report:a", (), "'report:a' is not a key {gslb}:report:EDGE"),
    (WORKS, (), "'{gslb}:override:works' is not a key {gslb}:report:EDGE"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "content", "reason"), REPORTS)
def test_reports(server: RedisServer, key: str, content: tuple[str, ...], reason: str) -> None:
    answer = server.cli("FCALL", "gslb_report", "1", key, "1", *content).split("\n", 1)
    if reason:
        assert answer == ["0", reason]
        assert server.cli("DBSIZE") == "0"
        return
    assert answer[0] == "1"
    entry_id, number = answer[1].split("\n")
    assert number == "1"
    held = hash_of(server, key)
    given = dict(zip(content[::2], content[1::2], strict=True))
    ours = {"received_ms": entry_id.partition("-")[0], "slow_since_ms": "0"}
    assert held == {name: value for name, value in given.items() if name not in {"kind", *ours}} | ours
    assert 604_700 < int(server.cli("TTL", key)) <= 604_800
    entry = server.cli("XRANGE", "{gslb}:events", "-", "+").split("\n")
    assert entry[0] == entry_id
    said = dict(zip(entry[1::2], entry[2::2], strict=True))
    assert said == {"n": "1", "kind": "report", "edge": "a", **held}
    assert hash_of(server, "{gslb}:seen") == {"a": held["received_ms"]}
    assert hash_of(server, "{gslb}:gap") == {"begin_ms": "0", "end_ms": held["received_ms"], "joins": "0"}


def hash_of(server: RedisServer, key: str) -> dict[str, str]:
    rows = server.cli("HGETALL", key).split("\n")
    return dict(zip(rows[::2], rows[1::2], strict=True))


def test_fields_that_are_not_said_again_are_forgotten(server: RedisServer) -> None:
    server.cli("FCALL", "gslb_report", "1", A, "1", "epoch", "1", "seq", "1", "load_bps", "5", "more", "x")
    server.cli("FCALL", "gslb_report", "1", A, "1", "epoch", "1", "seq", "2")
    assert sorted(hash_of(server, A)) == ["epoch", "received_ms", "seq", "slow_since_ms"]


def test_a_report_by_hand_is_compared_with_as_far_as_it_can_be_read(server: RedisServer) -> None:
    server.cli("HSET", A, "epoch", "007", "seq", "0", "health4", "down", "health6", "x")
    assert server.cli("FCALL", "gslb_report", "1", A, "1", "epoch", "6", "seq", "5") == (
        "0\nreport of edge 'a': epoch 6, seq 5 is not newer than epoch 7, seq 0"
    )
    assert server.cli("FCALL", "gslb_report", "1", A, "1", "epoch", "7", "seq", "1").startswith("1\n")
    assert hash_of(server, A)["slow_since_ms"] == hash_of(server, A)["received_ms"], "it was down"


OVERRIDES = [
    (WORKS, ('{"id":"works","until":"2026-11-24T14:30:00Z"}',), ""),
    (WORKS, ('{"id":"works","until":"2026-11-24T14:30:00+02:00"}',), ""),
    (WORKS, ('{"id":"works","until":0}',), ""),
    (WORKS, (), "override 'works': give one JSON text"),
    (WORKS, ("{}", "{}"), "override 'works': give one JSON text"),
    (WORKS, ("{",), "override 'works': not JSON"),
    (WORKS, ("5",), "override 'works': not JSON"),
    (WORKS, ("[" * 2000,), "override 'works': not JSON"),
    (WORKS, ("x" * 16_385,), "override 'works': the text has more than 16384 bytes"),
    (WORKS, ('{"until":5}',), "override 'works': id: is not that of the key"),
    (WORKS, ('{"id":"other","until":5}',), "override 'works': id: is not that of the key"),
    (WORKS, ('{"id":"works"}',), "override 'works': until: is not a time, such as 2026-11-24T14:30:00Z"),
    (WORKS, ('{"id":"works","until":-1}',), "override 'works': until: is not a time, such as 2026-11-24T14:30:00Z"),
    (WORKS, ('{"id":"works","until":NaN}',), "override 'works': until: is not a time, such as 2026-11-24T14:30:00Z"),
    (WORKS, ('{"id":"works","until":1e99}',), "override 'works': until: is not a time, such as 2026-11-24T14:30:00Z"),
    (
        WORKS,
        ('{"id":"works","until":"2026-11-24 14:30"}',),
        "override 'works': until: is not a time, such as 2026-11-24T14:30:00Z",
    ),
    (
        WORKS,
        ('{"id":"works","until":"2026-11-24T14:30:00"}',),
        "override 'works': until: is not a time, such as 2026-11-24T14:30:00Z",
    ),
    ("{gslb}:override:Works", ("{}",), "'{gslb}:override:Works' is not a key {gslb}:override:ID"),
    (A, ("{}",), "'{gslb}:report:a' is not a key {gslb}:override:ID"),
]


@pytest.mark.parametrize(("key", "content", "reason"), OVERRIDES)
def test_overrides(server: RedisServer, key: str, content: tuple[str, ...], reason: str) -> None:
    answer = server.cli("FCALL", "gslb_override", "1", key, "1", *content).split("\n", 1)
    if reason:
        assert answer == ["0", reason]
        assert server.cli("DBSIZE") == "0"
        return
    assert answer[0] == "1"
    assert server.cli("GET", key) == content[0]
    assert server.cli("XRANGE", "{gslb}:events", "-", "+").split("\n")[1:] == [
        "n", "1", "kind", "override", "id", "works", "json", content[0],
    ]  # fmt: skip


ENDS = [
    # until, and the same in seconds since 1970
    ("2026-11-24T14:30:00Z", 1_795_530_600),
    ("2026-11-24T14:30:00+02:00", 1_795_523_400),
    ("2026-11-24T14:30:00-09:30", 1_795_564_800),
    ("2028-02-29T23:59:59Z", 1_835_481_599),
    ("2028-03-01T00:00:00Z", 1_835_481_600),
    ("2100-02-28T12:00:00Z", 4_107_499_200),
    ("2100-03-01T12:00:00Z", 4_107_585_600),
]


@pytest.mark.parametrize(("text", "end_s"), ENDS)
def test_the_end_of_an_override_is_when_it_expires(shared: RedisServer, text: str, end_s: int) -> None:
    """At a clock that is set: at the end less an hour it has an hour to go, and what is added to that."""
    code = redis_library.text().decode()
    told = "local now = redis.call('TIME')"
    assert code.count(told) == 1
    hooked = code.replace(told, f"local now = {{'{end_s - 3600}', '0'}}")
    shared.cli("FLUSHALL")
    shared.cli("-x", "FUNCTION", "LOAD", "REPLACE", given=hooked.encode())
    try:
        shared.cli("FCALL", "gslb_override", "1", WORKS, "1", f'{{"id":"works","until":"{text}"}}')
        assert int(shared.cli("TTL", WORKS)) in range(3600 + 900 - 30, 3600 + 900 + 1)
    finally:
        shared.cli("-x", "FUNCTION", "LOAD", "REPLACE", given=code.encode())


NEEDED = "give the data, its SHA-256, the version that it is based on, and a token"
PLANS = [
    # key, what follows the version of the library, and the reason for which nothing is written
    (V1, ("data", DIGEST, "", ""), ""),
    (V1, ("data", DIGEST), f"plan 'v1': {NEEDED}"),
    (V1, ("data", DIGEST, ""), f"plan 'v1': {NEEDED}"),
    (V1, ("data", DIGEST, "", "", ""), f"plan 'v1': {NEEDED}"),
    (V1, ("data", "abc", "", ""), "plan 'v1': sha256: is not 64 hexadecimal digits"),
    (V1, ("data", DIGEST.upper(), "", ""), "plan 'v1': sha256: is not 64 hexadecimal digits"),
    (V1, ("data", DIGEST, "v0", ""), "plan 'v1': is based on 'v0', and what counts is ''"),
    (V1, ("data", DIGEST, "", "x"), "plan 'v1': the lease dispatch has ended, or was never taken"),
    ("{gslb}:plan:current", ("data", DIGEST, "", ""), "plan 'current': the name is taken"),
    ("{gslb}:plan:versions", ("data", DIGEST, "", ""), "plan 'versions': the name is taken"),
    ("{gslb}:plan:", ("data", DIGEST, "", ""), "'{gslb}:plan:' is not a key {gslb}:plan:VERSION"),
]


@pytest.mark.parametrize(("key", "content", "reason"), PLANS)
@pytest.mark.parametrize("needed", ["1", "2"])
def test_plans(server: RedisServer, needed: str, key: str, content: tuple[str, ...], reason: str) -> None:
    """Callers of the first version, who knew no base and no token, are refused as whoever forgets them is."""
    answer = server.cli("FCALL", "gslb_plan", "1", key, needed, *content).split("\n", 1)
    if reason:
        assert answer == ["0", reason]
        assert server.cli("DBSIZE") == "0"
        return
    assert server.cli("HGETALL", V1) == f"data\ndata\nsha256\n{DIGEST}\nbase"  # which is empty
    assert server.cli("GET", "{gslb}:plan:current") == "v1"
    assert 604_700 < int(server.cli("TTL", V1)) <= 604_800
    assert server.cli("XRANGE", "{gslb}:events", "-", "+").split("\n")[1:] == [
        "n", "1", "kind", "plan", "version", "v1",
    ]  # fmt: skip


LEASE, FREEZE = "{gslb}:lease:dispatch", "{gslb}:freeze"
LEASES = [
    # function, key, what follows, and what is answered
    ("gslb_lease", LEASE, (), "0\nlease 'dispatch': give the holder, and for how many ms"),
    ("gslb_lease", LEASE, ("a",), "0\nlease 'dispatch': give the holder, and for how many ms"),
    ("gslb_lease", LEASE, ("a", "1e3"),
     "0\nlease 'dispatch': lasting_ms: '1e3' is not a decimal number from 1 to 600000"),
    ("gslb_lease", V1, ("a", "5"), "0\n'{gslb}:plan:v1' is not a key {gslb}:lease:NAME"),
    ("gslb_release", V1, ("a",), "0\n'{gslb}:plan:v1' is not a key {gslb}:lease:NAME"),
    ("gslb_release", LEASE, (), "0\nlease 'dispatch': nobody holds it"),
    ("gslb_freeze", FREEZE, ("0", "ana"), "0\nfreeze: give the time when it ends, the author and the reason"),
    ("gslb_freeze", FREEZE, ("x", "ana", ""),
     "0\nfreeze: until_ms: 'x' is not a decimal number from 0 to 9007199254740991;"
     " reason: is not 1 to 512 bytes without control characters"),
    ("gslb_freeze", LEASE, ("0", "ana", "why"), "0\ngive one key, {gslb}:freeze"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "key", "content", "answer"), LEASES)
def test_leases_and_freezes_that_are_none(
    server: RedisServer, function: str, key: str, content: tuple[str, ...], answer: str
) -> None:
    assert server.cli("FCALL", function, "1", key, "2", *content) == answer
    assert server.cli("DBSIZE") == "0"


def test_a_lease_is_answered_with_its_token(server: RedisServer) -> None:
    answer = server.cli("FCALL", "gslb_lease", "1", LEASE, "2", "a", "60000").split("\n")
    assert (answer[0], answer[2:]) == ("1", ["60000"])
    held = hash_of(server, LEASE)
    assert held == {
        "token": answer[1], "holder": "a", "until_ms": str(int(answer[1]) + 60_000), "lasting_ms": "60000",
    }  # fmt: skip
    assert 604_700 < int(server.cli("TTL", LEASE)) <= 604_800
    refused = server.cli("FCALL", "gslb_lease", "1", LEASE, "2", "b", "60000").split("\n")
    assert refused[0] == "0"
    assert refused[1].startswith("lease 'dispatch': is held by 'a' for another ")
    assert (refused[2], 0 < int(refused[3]) <= 60_000) == ("a", True)
    assert server.cli("FCALL", "gslb_release", "1", LEASE, "2", "a") == "1"
    assert hash_of(server, LEASE)["token"] == answer[1], "the next is greater"


CALLS = [
    # what stands after FCALL, and the error
    (("gslb_report", "1", A, "3", "epoch", "1"), "GSLBVERSION the function library gslb is version 2, needed is 3"),
    (("gslb_lease", "1", V1, "3", "a", "1"), "GSLBVERSION the function library gslb is version 2, needed is 3"),
    (("gslb_release", "1", V1, "", "a"), "ERR the first argument is the version that is needed, such as 1"),
    (("gslb_freeze", "1", V1, "x", "a"), "ERR the first argument is the version that is needed, such as 1"),
    (("gslb_override", "1", WORKS, "x"), "ERR the first argument is the version that is needed, such as 1"),
    (("gslb_plan", "1", V1), "ERR the first argument is the version that is needed, such as 1"),
]


@pytest.mark.parametrize(("call", "error"), CALLS)
def test_calls_that_are_none(server: RedisServer, call: tuple[str, ...], error: str) -> None:
    with pytest.raises(AssertionError) as raised:
        server.cli("FCALL", *call)
    assert error in str(raised.value)
    assert server.cli("DBSIZE") == "0"


@pytest.mark.parametrize("keys", [(), (A, "{gslb}:report:b")], ids=len)
def test_one_key_is_given(server: RedisServer, keys: tuple[str, ...]) -> None:
    said = server.cli("FCALL", "gslb_report", str(len(keys)), *keys, "1", "epoch", "1", "seq", "1")
    assert said == "0\ngive one key, {gslb}:report:EDGE"


def test_the_stream_is_kept_short(server: RedisServer) -> None:
    call = "FCALL gslb_report 1 {{gslb}}:report:a 1 epoch 1 seq {}\n"
    server.cli(given="".join(call.format(seq) for seq in range(12_000)).encode())
    assert server.cli("GET", "{gslb}:events:n") == "12000"
    assert 10_000 <= int(server.cli("XLEN", "{gslb}:events")) < 10_500
