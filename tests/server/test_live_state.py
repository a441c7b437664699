"""Live state through a whole server: Redis moves answers, and is missed when it is gone; what the disk keeps of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from gslbtest.asking import addresses, ask
from gslbtest.process import free_port
from gslbtest.serving import Server, serving
from gslbtest.stores import RedisServer, wait_for

from gslb.model.report import DOWN, UP, Report
from gslb.store.opening import open_writer

HEALTH = "health: {stale_s: 1, hold_s: 1, changing_s: 1, slow_start_s: 1}"
SHA, FRA = ["192.0.2.10"], ["192.0.2.20"]


@pytest.fixture
def zones(small: dict[str, str]) -> dict[str, str]:
    return small | {"edges.yaml": small["edges.yaml"].replace("health: {slow_start_s: 1}", HEALTH)}


def push(url: str, *reports: Report) -> None:
    async def write() -> None:
        writer = open_writer(url)
        try:
            for report in reports:
                assert await writer.report(report) == (True, "")
        finally:
            await writer.close()

    asyncio.run(write())


def edge(server: Server) -> list[str]:
    """What a client in China gets; its own country's edge is sha."""
    return addresses(ask(server.port, "pull.live.example.", subnet="198.51.100.0/24"))


def rfc3339(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def table(admin: Any, path: str) -> Any:
    code, body = admin.ask("GET", path)
    assert code == 200, body
    return json.loads(body)


def test_redis_moves_answers_dies_and_comes_back(
    tmp_path: Path, zones: dict[str, str], admin_of: Callable[[Server], Any]
) -> None:
    redis = RedisServer(tmp_path / "redis", "--appendonly", "yes", "--appendfsync", "always")
    with redis, serving(tmp_path, zones=zones, arguments=["--store", redis.url]) as server:
        admin = admin_of(server)
        assert edge(server) == SHA
        status = admin.until(lambda status: status["live"]["connected"])
        assert status["store"] == f"redis://127.0.0.1:{redis.port}"
        before_ms = status["live"]["clock_ms"]

        push(redis.url, Report("sha", 1, 1, 0, health4=DOWN, health6=DOWN), Report("fra", 1, 1, 0))
        wait_for(lambda: edge(server) == FRA)
        rows = {row["edge"]: row for row in table(admin, "/v1/edges")["edges"]}
        assert (rows["sha"]["health_v4"], rows["sha"]["health_v6"], rows["fra"]["health_v4"]) == ("down", "down", "up")
        assert (rows["sha"]["share"], rows["fra"]["share"]) == (0.0, 1.0)
        (service,) = table(admin, "/v1/services")["services"]
        assert service["level_shares"] == [["country", 0.5], ["any", 0.5]]

        redis.kill()
        admin.until(lambda status: not status["live"]["connected"])
        admin.until(lambda status: status["live"]["age_s"] > 2.5)  # more than stale and hold
        metrics = admin.metrics()
        assert metrics["gslb_store_connected"] == 0
        assert metrics["gslb_state_age_seconds"] > 2.5
        assert metrics["gslb_store_faults"] == 1
        assert metrics['gslb_edge_health{edge="fra",family="ipv4"}'] == 1, "ages stand still"
        assert metrics['gslb_edge_report_age_seconds{edge="fra"}'] < 1
        assert edge(server) == FRA
        assert admin.metrics()["gslb_state_age_seconds"] > metrics["gslb_state_age_seconds"]
        code, body = admin.ask("GET", "/v1/edges/sha/report")
        assert (code, f"redis://127.0.0.1:{redis.port}" in body.decode()) == (503, True)

        redis.start()
        admin.until(lambda status: status["live"]["connected"])
        push(redis.url, Report("sha", 1, 2, 0, health4=UP, health6=UP), Report("fra", 1, 2, 0))
        wait_for(lambda: edge(server) == SHA)
        metrics = admin.metrics()
        assert (metrics["gslb_state_age_seconds"], metrics["gslb_store_faults"]) == (0, 0)

        # The past, from the journal.
        asked = f"/v1/explain?name=pull.live.example.&subnet=198.51.100.0/24&at={rfc3339(before_ms)}"
        assert "A sha, TTL 20" in table(admin, asked)["lines"]
        now_ms = admin.status()["live"]["clock_ms"]
        code, body = admin.ask("GET", asked.replace(rfc3339(before_ms), rfc3339(now_ms + 3_600_000)))
        assert (code, "is in the future" in json.loads(body)["detail"]) == (404, True)
        code, body = admin.ask("GET", asked.replace(rfc3339(before_ms), "2001-01-01T00:00:00Z"))
        assert (code, "the journal begins at" in json.loads(body)["detail"]) == (404, True)
        lines = [line for path in (server.state / "journal").iterdir() for line in path.read_text().splitlines()]
        told = [json.loads(line) for line in lines]
        assert [each["is"] for each in told if each["kind"] == "edge" and each["edge"] == "sha"][:1] == ["down"]


def test_a_start_without_redis_answers_from_the_state_on_disk(
    tmp_path: Path, zones: dict[str, str], admin_of: Callable[[Server], Any]
) -> None:
    with RedisServer(tmp_path / "redis") as redis:
        with serving(tmp_path, zones=zones, arguments=["--store", redis.url]) as server:
            push(redis.url, Report("sha", 1, 1, 0, health4=DOWN, health6=DOWN), Report("fra", 1, 1, 0))
            wait_for(lambda: edge(server) == FRA)
            assert admin_of(server).metrics()["gslb_state_not_saved"] == 0
        assert server.process.returncode == 0
    away = ["--store", f"redis://127.0.0.1:{free_port()}"]
    with serving(tmp_path, zones=zones, arguments=away) as server:
        assert edge(server) == FRA
        live = admin_of(server).status()["live"]
        assert (live["connected"], live["age_s"] > 0) == (False, True)
    state = server.state / "state.json"
    state.write_bytes(state.read_bytes()[:-70])
    with serving(tmp_path, zones=zones, arguments=away) as server:
        assert edge(server) == SHA
        assert "the state kept on disk cannot be used" in server.said()
        assert "its checksum differs; set aside as state.json.torn" in server.said()
        assert state.with_name("state.json.torn").exists()


def test_the_embedded_store_is_kept_too(
    tmp_path: Path, zones: dict[str, str], admin_of: Callable[[Server], Any]
) -> None:
    """Reports come in over the admin port; while nobody runs, nobody ages."""
    with serving(tmp_path, zones=zones) as server:
        token = (server.state / "report.token").read_text().strip()
        url = f"http://127.0.0.1:{server.admin}"

        async def write() -> None:
            writer = open_writer(url, token)
            assert await writer.report(Report("sha", 1, 1, 0, health4=DOWN, health6=DOWN)) == (True, "")
            assert not (await writer.report(Report("sha", 1, 1, 0))).accepted
            found = await writer.latest("sha")
            assert found is not None
            assert (found.health4, found.received_ms > 0) == (DOWN, True)
            await writer.close()

        asyncio.run(write())
        wait_for(lambda: edge(server) == FRA)
        admin = admin_of(server)
        wait_for(lambda: admin.metrics()["gslb_state_saved_timestamp_seconds"] > 0)
        server.process.kill()
        server.process.wait()
    with serving(tmp_path, zones=zones) as server:
        assert edge(server) == FRA
        live = admin_of(server).status()["live"]
        assert (live["connected"], live["age_s"], live["now_ms"] > 0) == (True, 0.0, True)
