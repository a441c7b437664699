"""`gslb dispatch` and `gslb plan` as people use them, on a real Redis and at a server's admin port."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gslbtest import dispatcher
from gslbtest.serving import serving
from gslbtest.stores import RedisServer

VERSION = re.compile(r"\d{8}T\d{6}\.\d{3}Z")


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as found:
        yield found


@pytest.fixture
def folder(tmp_path: Path, redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    redis.cli("FLUSHALL")
    dispatcher.network(tmp_path)
    monkeypatch.setenv("GSLB_STORE", redis.url)
    monkeypatch.setenv("GSLB_DEMAND", str(tmp_path / "demand.csv"))
    monkeypatch.setenv("USER", "ann")
    return tmp_path


def dispatch(gslb: Callable[..., Any], folder: Path, *more: str) -> Any:
    files = ("--zones", str(folder / "zones"), "--data", str(folder / "data"), "--state", str(folder / "state"))
    return gslb("dispatch", *files, *more)


def test_a_dry_run_shows_what_would_be(gslb: Callable[..., Any], folder: Path, redis: RedisServer) -> None:
    done = dispatch(gslb, folder, "--dry-run")
    assert done.code == 0, done.err
    assert re.search(r"^demand    6\.0\d* Gbps|^demand    6 Gbps", done.out, re.MULTILINE)
    assert re.search(r"^EDGE +POP +PROJECTED +OF +USED +FACTOR +MEASURED$", done.out, re.MULTILINE)
    assert re.search(r"^fra-1 +fra +4 Gbps +10 Gbps +40% +1 +-$", done.out, re.MULTILINE)
    told = json.loads(dispatch(gslb, folder, "--dry-run", "--json").out)
    assert told["outcome"] == "dry"
    assert [edge["projected_bps"] for edge in told["edges"]] == [4 * 10**9, 0, 2 * 10**9]
    assert redis.cli("GET", "{gslb}:plan:current") == ""


def test_exit_codes(gslb: Callable[..., Any], folder: Path) -> None:
    (folder / "demand.csv").write_text("time,service\n")
    done = dispatch(gslb, folder, "--once")
    assert done.code == 1
    assert "demand.csv:1:" in done.err
    assert dispatch(gslb, folder, "--once", "--metrics", "here").code == 2
    (folder / "d.toml").write_text("zonse = 'x'\n")
    assert dispatch(gslb, folder, "--once", "--config", str(folder / "d.toml")).code == 78


def test_a_plan_is_shown_compared_explained_and_rolled_back(
    gslb: Callable[..., Any], folder: Path, redis: RedisServer
) -> None:
    def plan(*words: str) -> Any:
        return gslb("plan", *words, "--store", redis.url)

    kept = ("--kept", str(folder / "state"))
    assert plan("show").err == "gslb: there is no plan that counts\n"
    assert plan("show", "--list", *kept).out == "no plans\n"
    first = json.loads(dispatch(gslb, folder, "--once", "--json").out)
    assert first["outcome"] == "published"
    zone = folder / "zones" / "live.example.yaml"
    zone.write_text(zone.read_text().replace("fra-1: 100", "fra-1: 0"))
    second = json.loads(dispatch(gslb, folder, "--once", "--json").out)
    assert second["outcome"] == "published", second
    assert plan("show", "--list", *kept).out.split() == [second["version"], first["version"]]

    shown = plan("show").out
    assert shown.startswith(f"plan      {second['version']}, upon {first['version']}\n")
    assert "input     demand, " in shown
    assert re.search(r"^par-1 +6 Gbps +0 bps +1$", shown, re.MULTILINE)
    rows = plan("show", first["version"], "--view", "DE", "--service", "Pull.Live.Example").out.splitlines()
    assert [line.split()[:2] for line in rows] == [["SERVICE", "VIEW"], ["pull.live.example.", "DE|HE|dtag"]]
    assert plan("show", "--view", "IT").out == "no such rows\n"
    unknown = plan("show", "--service", "push.live.example")
    assert unknown.err.startswith(f"gslb: push.live.example. has no rows in plan {second['version']}; planned: ")
    assert (
        plan("diff", "nosuch/plan.json").err == "gslb: nosuch/plan.json: no such file, and not the version of a plan\n"
    )
    assert plan("show", "--view", "a/b/c/d").code == 2
    assert len(json.loads(plan("show", "--json", "--view", "DE").out)) == 1

    moved = plan("diff", first["version"], *kept)
    assert "4 Gbps (66.7%) moves; 0 rows added, 0 gone" in moved.out
    assert "fra-1 100%  par-1 100%" in moved.out
    assert json.loads(plan("diff", first["version"], "--json").out)["moved_bps"] == 4 * 10**9
    assert plan("diff").out == moved.out
    assert plan("diff", first["version"], first["version"]).out.endswith(": 0 bps (0%) moves; 0 rows added, 0 gone\n")

    where = ("--zones", str(folder / "zones"), "--data", str(folder / "data"))
    explained = plan("explain", "pull.live.example", "--client", "198.51.100.7", *where).out
    assert explained.startswith("client    198.51.100.7/32: DE|HE|dtag\n")
    assert re.search(r"^par-1 +par +any +[\d.]+ ms +[\d.]+ +100%$", explained, re.MULTILINE)
    told = json.loads(plan("explain", "pull.live.example.", "--client", "198.51.0.0/16", "--json", *where).out)
    assert told["view"]["isp"] == "dtag"
    assert plan("explain", "pull.live.example", "--client", "here", *where).code == 1
    assert plan("explain", "nope", "--client", "198.51.0.0/16", *where).err.startswith("gslb: nope. is no service")

    back = plan("rollback", first["version"], *kept)
    assert back.code == 0, back.err
    assert f"with the rows of {first['version']}, in place of {second['version']}" in back.out
    found = json.loads(plan("show", "--json").out)
    assert found["forced"] == [{"edge": "", "reason": "rollback", "bps": 0}]
    assert found["rows"][0][4] == [["fra-1", 65535]]

    (folder / "plan.json").write_text(plan("show", second["version"], "--json", *kept).out)
    forced = json.loads(plan("force", str(folder / "plan.json"), "--json").out)
    assert forced["rows_of"] == second["version"]
    assert json.loads(plan("show", "--json").out)["rows"][0][4] == [["par-1", 65535]]
    for _ in range(3):  # the store keeps three, the disk has the first one still
        plan("force", forced["version"])
    assert plan("show", first["version"]).err.startswith(f"gslb: no plan '{first['version']}' is kept; newest: ")
    assert plan("show", first["version"], *kept).code == 0


def test_a_freeze_keeps_the_plan_and_prolongs_it(gslb: Callable[..., Any], folder: Path, redis: RedisServer) -> None:
    def plan(*words: str) -> Any:
        return gslb("plan", *words, "--store", redis.url)

    assert plan("freeze", "--until", "+1h", "--reason", "x").out == "frozen; there is no plan that counts\n"
    assert plan("freeze", "--until", "now", "--reason", "x").out == "the freeze is ended\n"
    dispatch(gslb, folder, "--once")
    before = json.loads(plan("show", "--json").out)
    assert plan("diff").err == f"gslb: {before['version']} is based on no other plan\n"
    frozen = json.loads(plan("freeze", "--until", "+2h", "--reason", "a match", "--json").out)
    found = json.loads(plan("show", "--json").out)
    assert found["version"] == frozen["version"]
    assert found["base"] == before["version"]
    assert found["rows"] == before["rows"]
    assert found["hold_until_ms"] == frozen["until_ms"] + 3_600_000
    assert re.search(r"^frozen    until \S+ by ann: a match$", plan("show").out, re.MULTILINE)
    held = dispatch(gslb, folder, "--once")
    assert held.code == 1
    assert "by ann: a match" in held.err
    assert plan("freeze", "--until", "soon", "--reason", "x").code == 2
    assert plan("freeze", "--until", "+8d", "--reason", "x").err == "gslb: --until: '+8d' is more than 7 days away\n"
    back = plan("rollback", before["version"])
    assert "in place of" in back.out
    assert re.search(r"^frozen until \S+: \S+ holds until \S+$", back.out, re.MULTILINE)
    again = json.loads(plan("show", "--json").out)
    assert again["hold_until_ms"] == found["hold_until_ms"], "nothing will follow it before"
    assert "holds until" in plan("freeze", "--until", "+1h").out


@pytest.mark.parametrize("store", ["memory://", "http://127.0.0.1:8053"])
def test_the_embedded_store_is_named_by_its_port(gslb: Callable[..., Any], store: str) -> None:
    done = gslb("plan", "show", "--store", store)
    assert done.code == 2
    assert "name its port by --admin" in done.err


def test_everything_goes_through_an_admin_port_too(gslb: Callable[..., Any], folder: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "server", zones=dispatcher.ZONES, env={"GSLB_STORE": "memory://"}) as server:
        place, state = f"127.0.0.1:{server.admin}", str(server.state)
        token = Path(state, "admin.token").read_text().strip()
        env = pytest.MonkeyPatch()
        env.setenv("GSLB_ADMIN_TOKEN", token)
        try:
            done = dispatch(gslb, folder, "--once", "--store", f"http://{place}", "--json")
            assert done.code == 0, done.err
            version = json.loads(done.out)["version"]
            shown = gslb("plan", "show", "--admin", place, "--state", state)
            assert shown.out.startswith(f"plan      {version}\n")
            assert gslb("plan", "show", "--admin", place, "--store", "redis://h/0").code == 2
        finally:
            env.undo()
