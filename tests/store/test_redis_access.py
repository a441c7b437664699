"""Who may do what: the users of docs/redis.md in a real Redis, passwords, TLS."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import re
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from gslbtest.stores import (
    RedisServer,
    becomes,
    certificates,
    following,
    over_tls,
    seen_by,
    sentinel,
    until,
)

from gslb.model.override import KIND_DRAIN, Override, Target
from gslb.model.plan import Plan
from gslb.model.report import Report, StoreState
from gslb.store import redis_library, redis_store
from gslb.store.events import Position
from gslb.store.interface import DISPATCH, Freeze, StoreError
from gslb.store.opening import open_events, open_store, open_writer
from gslb.store.redis_clock import StoreClock
from gslb.store.redis_library import FAULT_KEY
from gslb.store.redis_url import parse

REPO = Path(__file__).parents[2]
NOW_S = int(time.time())
ORDER = Override("works", KIND_DRAIN, Target(pop="fra"), NOW_S, NOW_S + 86_400, author="ana", reason="works")
REPORT = Report("fra-1", 1, 1, 0)


@pytest.fixture(scope="module")
def passwords() -> dict[str, str]:
    """Of each user of the document."""
    return dict(re.findall(r"^user (\S+) on >(\S+)", acl(), re.MULTILINE))


def acl() -> str:
    page = (REPO / "docs/redis.md").read_text(encoding="utf-8")
    found = re.search(r"<!-- aclfile -->\n```\n(.+?)```\n", page, re.DOTALL)
    assert found
    return found[1]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis with the users of the document."""
    folder = tmp_path_factory.mktemp("redis")
    (folder / "users.acl").write_text(acl(), encoding="utf-8")
    with RedisServer(folder, "--aclfile", str(folder / "users.acl")) as found:
        yield found


class As:
    """The same Redis as its users see it."""

    def __init__(self, server: RedisServer, passwords: dict[str, str]) -> None:
        self.server = server
        self.passwords = passwords

    def url(self, user: str) -> str:
        return f"redis://{user}:{self.passwords[user]}@127.0.0.1:{self.server.port}/0"

    def run(self, user: str, *command: str, given: bytes | None = None) -> str:
        log_in = ("--no-auth-warning", "--user", user, "--pass", self.passwords[user])
        return self.server.cli(*log_in, *command, given=given)

    def reset(self, *, library: bool) -> None:
        self.run("admin", "FLUSHALL")
        self.run("admin", "FUNCTION", "FLUSH")
        self.run("admin", "ACL", "LOG", "RESET")
        if library:
            self.run("admin", "-x", "FUNCTION", "LOAD", "REPLACE", given=redis_library.text())


@pytest.fixture
def users(server: RedisServer, passwords: dict[str, str]) -> As:
    """Users of an empty Redis with the library."""
    found = As(server, passwords)
    found.reset(library=True)
    return found


def test_the_users_are_these(passwords: dict[str, str]) -> None:
    assert list(passwords) == ["admin", "agent-fra-1", "dispatcher", "operator", "measurer", "server"]


async def test_an_agent_writes_the_report_of_its_edge_alone(users: As) -> None:
    agent = open_writer(users.url("agent-fra-1"))
    assert await agent.latest("fra-1") is None
    assert await agent.report(REPORT) == (True, "")
    held = await agent.latest("fra-1")
    assert held is not None
    assert abs(agent.clock_ms - held.received_ms) < 5000
    with pytest.raises(StoreError, match=r"^redis://127\.0\.0\.1:\d+: \{gslb\}:report:fra-2: NOPERM "):
        await agent.report(Report("fra-2", 1, 1, 0))
    with pytest.raises(StoreError, match=r"^redis://127\.0\.0\.1:\d+: \{gslb\}:override:works: NOPERM "):
        await agent.override(ORDER)
    with pytest.raises(StoreError, match=r"^redis://127\.0\.0\.1:\d+: NOPERM "):
        await agent.latest("fra-2")
    with pytest.raises(StoreError, match=r"^redis://127\.0\.0\.1:\d+: NOPERM "):
        await agent.overrides()
    await agent.close()
    keys = users.run("admin", "KEYS", "{gslb}:*").split()
    assert sorted(keys) == [f"{{gslb}}:{each}" for each in ("events", "events:n", "gap", "report:fra-1", "seen")]


async def test_an_agent_may_do_all_that_the_function_does(users: As) -> None:
    """Also what it does seldom: begin the stream anew once the clock was set back."""
    users.run("admin", "XADD", "{gslb}:events", "9000000000000-0", "n", "1")
    agent = open_writer(users.url("agent-fra-1"))
    assert await agent.report(REPORT) == (True, "")
    assert await agent.report(Report("fra-1", 1, 2, 0)) == (True, "")
    await agent.close()
    assert users.run("admin", "ACL", "LOG") == ""


async def test_an_operator_orders_reports_and_loads(users: As) -> None:
    users.reset(library=False)
    operator = open_writer(users.url("operator"))
    assert await operator.override(ORDER) == (True, "")
    assert await operator.overrides() == (ORDER,)
    assert await operator.report(REPORT) == (True, "")
    await operator.close()
    async with following(users.url("operator")) as store:
        state = await store.state()
        assert (list(state.reports), list(state.overrides), store.faults) == (["fra-1"], ["works"], {})
    assert users.run("admin", "ACL", "LOG") == ""
    assert refused(users, "operator", "FLUSHALL")
    assert refused(users, "operator", "SET", "other", "x")


async def test_a_dispatcher_publishes_and_reads(users: As) -> None:
    async with following(users.url("dispatcher")) as store:
        lease = await store.take_lease(DISPATCH, "me", 60_000)
        for at in range(1, 6):
            plan = Plan(f"v{at}", f"v{at - 1}" if at > 1 else "")
            assert await store.publish(plan, lease.token) == (True, "")
        assert (await becomes(store, lambda state: state.plan == plan)).plan_base == await store.plan("v4")
        assert await store.plan_versions() == ("v5", "v4", "v3")
        assert await store.frozen() is None
        assert await store.drop_lease(DISPATCH, "me") == (True, "")
        assert store.faults == {}
        assert users.run("admin", "ACL", "LOG") == ""
        for write in (
            store.override(ORDER), store.report(REPORT), store.take_lease("x", "me", 1), store.freeze(0, "me", "no"),
        ):  # fmt: skip
            with pytest.raises(StoreError, match="NOPERM"):
                await write
    assert refused(users, "dispatcher", "DEL", "{gslb}:events")


async def test_a_measurer_reads_entries_and_has_its_lease(users: As) -> None:
    writer, agent = open_writer(users.url("measurer")), open_writer(users.url("agent-fra-1"))
    assert (await agent.report(REPORT)).accepted
    for name in ("measurer", "server"):
        events = open_events(users.url(name))
        newest = (await events.after(Position())).entries[-1]
        assert newest.report == dataclasses.replace(REPORT, received_ms=newest.ms)
        await events.close()
    lease = await writer.take_lease("measure", "me", 1000)
    assert lease.token > 0
    assert await writer.drop_lease("measure", "me") == (True, "")
    with pytest.raises(StoreError, match="NOPERM"):
        await writer.take_lease(DISPATCH, "me", 1000)
    with pytest.raises(StoreError, match="NOPERM"):
        await writer.report(REPORT)
    for each in (writer, agent):
        await each.close()


async def test_a_dispatcher_does_not_publish_by_hand(users: As) -> None:
    """No token, no fence: that takes a right that he has not got, and nothing is written."""
    dispatcher = open_writer(users.url("dispatcher"))
    reason = "plan 'v1': without the token of a lease only who may write {gslb}:byhand publishes"
    assert await dispatcher.publish(Plan("v1")) == (False, reason)
    assert users.run("admin", "KEYS", "{gslb}:*") == ""
    await dispatcher.close()


async def test_an_operator_freezes_and_publishes_by_hand(users: As) -> None:
    operator = open_writer(users.url("operator"))
    until_ms = (int(time.time()) + 600) * 1000
    assert await operator.freeze(until_ms, "ana", "match") == (True, "")
    assert await operator.publish(Plan("v1")) == (True, "")
    dispatcher = open_writer(users.url("dispatcher"))
    token = (await dispatcher.take_lease(DISPATCH, "me", 60_000)).token
    frozen = "plan 'v2': plans are frozen by 'ana': 'match'"
    assert await dispatcher.publish(Plan("v2", "v1"), token) == (False, frozen)
    assert await dispatcher.frozen() == await operator.frozen() == Freeze(until_ms, "ana", "match")
    assert await operator.freeze(0, "ana", "over") == (True, "")
    assert await dispatcher.publish(Plan("v2", "v1"), token) == (True, "")
    assert await operator.publish(Plan("v3", "v2")) == (True, "")
    assert users.run("admin", "ACL", "LOG") == ""
    for writer in (operator, dispatcher):
        await writer.close()


async def test_a_server_reads_and_never_writes(users: As) -> None:
    operator = open_writer(users.url("operator"))
    await operator.report(REPORT)
    await operator.override(ORDER)
    async with following(users.url("server")) as store:
        state = await store.state()
        assert (list(state.reports), list(state.overrides)) == (["fra-1"], ["works"])
        await operator.report(Report("fra-1", 1, 2, 0))
        await seen_by(store, Report("fra-1", 1, 2, 0))
        assert await store.latest("fra-1") == (await store.state()).reports["fra-1"]
        assert await store.overrides() == (ORDER,)
        assert (store.connected, store.faults) == (True, {})
        assert users.run("admin", "ACL", "LOG") == ""
        await operator.publish(Plan("v1"))
        await operator.publish(Plan("v2", "v1"))
        assert (await becomes(store, lambda state: state.plan == Plan("v2", "v1"))).plan_base == Plan("v1")
        assert await store.plan() == Plan("v2", "v1")
        assert (await store.plan_versions(), await store.frozen()) == (("v2", "v1"), None)
        assert users.run("admin", "ACL", "LOG") == ""
        for write in (
            store.report(Report("fra-1", 1, 3, 0)), store.override(ORDER), store.publish(Plan("v3", "v2")),
            store.take_lease(DISPATCH, "me", 1), store.drop_lease(DISPATCH, "me"), store.freeze(0, "me", "no"),
        ):  # fmt: skip
            with pytest.raises(StoreError, match="NOPERM"):
                await write
    await operator.close()
    assert refused(users, "server", "XADD", "{gslb}:events", "*", "a", "b")


def refused(users: As, user: str, *command: str) -> bool:
    with pytest.raises(AssertionError, match="NOPERM"):
        users.run(user, *command)
    return True


# The library.


async def test_whoever_may_not_load_the_library_says_what_to_do(users: As) -> None:
    users.reset(library=False)
    advice = (
        r"is missing or too old, and cannot be loaded from here \(NOPERM .*\); load it as a user who may:"
        r" cat \S*/gslb/store/gslb\.lua \S*/gslb/store/plans\.lua \| redis-cli -x FUNCTION LOAD REPLACE"
    )
    agent = open_writer(users.url("agent-fra-1"))
    with pytest.raises(StoreError, match=rf"^redis://127\.0\.0\.1:\d+: the function library gslb {advice}$"):
        await agent.report(REPORT)
    async with following(users.url("server")) as store:
        assert list(store.faults) == [FAULT_KEY], "it goes on without"
        assert re.fullmatch(advice, store.faults[FAULT_KEY])
    users.run("admin", "-x", "FUNCTION", "LOAD", given=redis_library.text())
    assert (await agent.report(REPORT)).accepted
    await agent.close()
    async with following(users.url("server")) as store:
        assert store.faults == {}


@pytest.mark.parametrize(
    ("version", "replaced"), [(0, True), (2, False), (3, False)], ids=["older", "the same", "newer"]
)
async def test_an_older_library_is_replaced_and_a_newer_one_kept(users: As, version: int, replaced: bool) -> None:
    assert redis_library.needed() == 2
    other = redis_library.text().replace(b"local VERSION = 2\n", b"local VERSION = %d\n-- another\n" % version)
    for opened in ("store", "writer"):
        users.run("admin", "-x", "FUNCTION", "LOAD", "REPLACE", given=other)
        if opened == "store":
            async with following(users.url("operator")) as store:
                assert store.faults == {}
        else:
            writer = open_writer(users.url("operator"))
            assert (await writer.report(REPORT)).accepted
            await writer.close()
        listed = users.run("admin", "FUNCTION", "LIST", "WITHCODE")
        assert ("-- another" not in listed) is replaced


async def test_an_agent_goes_on_with_an_older_library(users: As) -> None:
    """It may load none, and what it writes is as it was; plans wait for somebody who may."""
    older = redis_library.text().replace(b"local VERSION = 2\n", b"local VERSION = 1\n")
    users.run("admin", "-x", "FUNCTION", "LOAD", "REPLACE", given=older)
    agent, dispatcher = open_writer(users.url("agent-fra-1")), open_writer(users.url("dispatcher"))
    assert (await agent.report(REPORT)).accepted
    for write in (dispatcher.publish(Plan("v1"), 1), dispatcher.take_lease(DISPATCH, "me", 1)):
        with pytest.raises(StoreError, match="is missing or too old, and cannot be loaded from here"):
            await write
    for writer in (agent, dispatcher):
        await writer.close()


async def test_another_library_that_takes_the_name_of_a_function(users: As) -> None:
    users.reset(library=False)
    users.run("admin", "FUNCTION", "LOAD", "#!lua name=x\nredis.register_function('gslb_report', function() end)")
    async with following(users.url("operator")) as store:
        assert list(store.faults) == [FAULT_KEY]
        assert "already exists" in store.faults[FAULT_KEY]


def test_what_is_not_there_in_old_redis() -> None:
    refused = redis_library.Refused("ERR unknown command 'FUNCTION', with args beginning with: 'LOAD'")
    assert redis_library.advice(refused).startswith("Redis 7.0 or newer is needed: ERR unknown command")


# Passwords.


@pytest.mark.parametrize("login", ["agent-fra-1:wrong@", "nobody:at-all@", ":wrong@", ""])
async def test_a_wrong_password_is_told_and_not_shown(users: As, login: str) -> None:
    url = f"redis://{login}127.0.0.1:{users.server.port}"
    shown = f"redis://127.0.0.1:{users.server.port}"
    async with following(url, wait=False) as store:
        await until(lambda: bool(store.faults))
        assert not store.connected
        (fault,) = store.faults.values()
        assert re.fullmatch(rf"{re.escape(shown)}: (invalid username-password pair|WRONGPASS|NOAUTH|Auth).*", fault)
        assert "wrong@" not in fault
        assert "at-all" not in fault
        with pytest.raises(StoreError, match=f"^{re.escape(shown)}: "):
            await store.latest("fra-1")


# TLS.


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def private(keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis that speaks TLS alone."""
    with RedisServer(tmp_path_factory.mktemp("redis"), *over_tls(keys)) as found:
        yield found


def with_keys(url: str, keys: Path) -> str:
    named = {"ssl_ca_certs": "ca.crt", "ssl_certfile": "client.crt", "ssl_keyfile": "client.key"}
    return url + "?" + "&".join(f"{key}={keys / name}" for key, name in named.items())


async def test_tls(keys: Path, private: RedisServer) -> None:
    async with following(with_keys(f"rediss://127.0.0.1:{private.port}/3", keys)) as store:
        assert (await store.report(REPORT)).accepted
        await seen_by(store, REPORT)
        assert store.faults == {}


async def test_sentinels_over_tls(keys: Path, private: RedisServer, tmp_path: Path) -> None:
    paths = {"cert": "server.crt", "key": "server.key", "ca-cert": "ca.crt"}
    settings = [f"tls-{key}-file {keys / name}" for key, name in paths.items()]
    watching = sentinel(tmp_path / "sentinel", private, "tls-port @PORT", "port 0", "tls-replication yes", *settings)
    with watching:
        url = with_keys(f"redis+sentinel://127.0.0.1:{watching.port}/gslb", keys) + "&tls=true"
        async with following(url) as store:
            assert (await store.report(Report("fra-1", 2, 1, 0))).accepted
            await seen_by(store, Report("fra-1", 2, 1, 0))


TLS_FAULTS = [
    # what is changed in the URL, and the reason
    (("client.crt", "ca.crt"), "KEY_VALUES_MISMATCH"),
    ((r"ssl_ca_certs=[^&]*&", ""), "CERTIFICATE_VERIFY_FAILED"),
    (("127.0.0.1:", "localhost:"), "Hostname mismatch"),
    (("ca.crt", "gone.crt"), r"/gone\.crt: No such file or directory"),
    (("rediss:(.*)[?].*", r"redis:\1"), "no answer in time|Connection closed|reset|Protocol error|closed"),
]


@pytest.mark.parametrize(("change", "reason"), TLS_FAULTS, ids=[row[1] for row in TLS_FAULTS])
async def test_tls_that_fails_is_told(keys: Path, private: RedisServer, change: tuple[str, str], reason: str) -> None:
    url = re.sub(*change, with_keys(f"rediss://127.0.0.1:{private.port}", keys))
    async with following(url, wait=False) as store:
        await until(lambda: bool(store.faults))
        assert not store.connected
        (fault,) = store.faults.values()
        assert re.search(reason, fault)


async def test_the_name_in_a_certificate_may_be_let_be(keys: Path, private: RedisServer) -> None:
    url = with_keys(f"rediss://localhost:{private.port}", keys) + "&ssl_check_hostname=false"
    async with following(url) as store:
        assert store.connected


def test_no_socket_is_left_open_where_the_loop_ends(keys: Path, private: RedisServer) -> None:
    async def followed() -> None:
        async with following(with_keys(f"rediss://127.0.0.1:{private.port}", keys)):
            pass

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for _ in range(5):
            asyncio.run(followed())
            gc.collect()  # whatever is left open warns as it goes
    assert [str(each.message) for each in told] == []


# Clocks.


@pytest.mark.parametrize("wrong_by_ms", [-86_400_000, 86_400_000])
async def test_the_clocks_of_writers_and_servers_do_not_count(
    users: As, wrong_by_ms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = NOW_S * 1000 + wrong_by_ms
    monkeypatch.setattr(redis_store, "StoreClock", lambda: StoreClock(local_ms=lambda: wrong))
    store = open_store(users.url("operator"), StoreState())
    assert store.clock_ms == wrong, "nothing better is known yet"
    assert parse(users.url("operator")).user == "operator"
    await store.close()
    async with following(users.url("operator")) as store:
        writer = open_writer(users.url("agent-fra-1"))
        assert (await writer.report(REPORT)).accepted
        found = await seen_by(store, REPORT)
        state = await becomes(store, lambda state: state.now_ms > 0)
        now_ms = time.time() * 1000
        for told_ms in (found.received_ms, state.now_ms, store.clock_ms, writer.clock_ms):
            assert abs(told_ms - now_ms) < 60_000
        await writer.close()
