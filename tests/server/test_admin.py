"""The admin port: what each path gives to whom; metrics as promtool wants them."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dns.message
import pytest
from gslbtest.asking import ask
from gslbtest.desk import Desk
from gslbtest.process import SOON_S, program
from gslbtest.serving import Server, serving

from gslb.server.settings import Settings, load

NO_TIME = "is not a time, such as 2026-11-24T14:30:00Z"


@pytest.mark.parametrize(
    ("method", "path", "token", "code", "body"),
    [
        ("GET", "/livez", None, 200, "live\n"),
        ("GET", "/readyz", None, 200, "ready\n"),
        ("GET", "/v1/status", None, 401, '{"detail":"the admin token is missing or wrong"}'),
        ("GET", "/v1/status", "wrong", 401, '{"detail":"the admin token is missing or wrong"}'),
        ("GET", "/v1/explain?name=pull.live.example", None, 401, '{"detail":"the admin token is missing or wrong"}'),
        ("POST", "/v1/apply", None, 401, '{"detail":"the admin token is missing or wrong"}'),
        ("POST", "/v1/apply?force=true", "é", 401, '{"detail":"the admin token is missing or wrong"}'),
        ("POST", "/v1/reload", None, 401, '{"detail":"the admin token is missing or wrong"}'),
        ("GET", "/v1/reload", "", 405, '{"detail":"Method Not Allowed"}'),
        ("GET", "/", None, 404, '{"detail":"Not Found"}'),
        ("GET", "/docs", None, 404, '{"detail":"Not Found"}'),
        ("GET", "/openapi.json", "", 404, '{"detail":"Not Found"}'),
        ("GET", "/v1/explain?name=a..b", "", 400, None),
        ("GET", "/v1/explain?name=a.&subnet=x", "", 400, '{"detail":"\'x\' is neither an address nor a prefix"}'),
        ("GET", "/v1/explain?name=a&at=now", "", 400, f"{{\"detail\":\"'now' {NO_TIME}\"}}"),
        ("GET", "/v1/explain?name=a&at=1999-01-01T00:00:00Z", "", 404, None),
        ("GET", "/v1/explain", "", 422, None),
        ("GET", "/v1/explain?name=a&type=MX", "", 422, None),
        ("GET", f"/v1/explain?name={'a' * 2000}", "", 422, None),
    ],
)  # fmt: skip
def test_paths(
    asked: Server, admin_of: Callable[[Server], Any], method: str, path: str, token: str | None, code: int, body: str
) -> None:
    found = admin_of(asked).ask(method, path, token)
    assert found[0] == code, found
    if body is not None:
        assert found[1].decode() == body


def test_status(asked: Server, admin_of: Callable[[Server], Any]) -> None:
    status = admin_of(asked).status()
    assert (status["server_id"], status["pid"], status["ready"]) == ("ns1", asked.process.pid, True)
    assert (status["zones"], status["services"], status["edges"]) == (["live.example."], 1, 2)
    assert (status["listen"], status["store"]) == ([f"127.0.0.1:{asked.port}"], "memory://")
    assert len(status["generation"]) == 64
    assert [worker["answering"] for worker in status["workers"]] == [True]


@pytest.mark.parametrize(
    ("query", "line"),
    [
        ("name=pull.live.example.&subnet=198.51.100.0/24", "A sha, TTL 20"),
        ("name=PULL.live.example&subnet=203.0.113.77", "A fra, TTL 20"),
        ("name=pull.live.example&subnet=203.0.113.77/24&type=AAAA", "AAAA fra, TTL 20"),
    ],
)
def test_explain(asked: Server, admin_of: Callable[[Server], Any], query: str, line: str) -> None:
    code, body = admin_of(asked).ask("GET", f"/v1/explain?{query}")
    told = json.loads(body)
    assert code == 200
    assert line in told["lines"]
    assert [answer["qtype"] for answer in told["answers"]] == [line.split()[0]]
    dug = ask(asked.port, "pull.live.example", "TXT", rdclass="CH", subnet="203.0.113.0/24", tcp=True)
    if "203.0.113.77/24" in query:  # the words are dig's
        by_dig = [b"".join(rdata.strings).decode() for rdata in dug.answer[0]]
        assert {each for each in by_dig if each.startswith("AAAA")} == {line}


def test_explain_of_other_names(asked: Server, admin_of: Callable[[Server], Any]) -> None:
    code, body = admin_of(asked).ask("GET", "/v1/explain?name=other.example.")
    assert code == 200
    assert json.loads(body)["candidates"] == []


def test_reload_says_what_came_of_it(asked: Server, admin_of: Callable[[Server], Any]) -> None:
    code, body = admin_of(asked).ask("POST", "/v1/reload")
    assert (code, json.loads(body)["state"]) == (200, "ok")


def test_the_token_is_for_the_owner_alone(asked: Server) -> None:
    path = asked.state / "admin.token"
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(path.read_text().strip()) == 48


def test_metrics_are_clean(asked: Server, admin_of: Callable[[Server], Any]) -> None:
    ask(asked.port, "pull.live.example.", subnet="198.51.100.0/24")
    ask(asked.port, "nowhere.live.example.", "TYPE65280", tcp=True)
    code, text = admin_of(asked).ask("GET", "/metrics", None)
    assert code == 200
    done = subprocess.run(
        [program("promtool"), "check", "metrics"], input=text, capture_output=True, timeout=SOON_S, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    metrics = admin_of(asked).metrics()
    assert metrics['gslb_edge_answers_total{edge="sha"}'] >= 1
    assert metrics['gslb_queries_total{family="ipv4",qtype="other",transport="tcp"}'] == 1
    assert metrics['gslb_replies_total{rcode="NXDOMAIN",transport="tcp"}'] == 1
    assert metrics['gslb_outcomes_total{outcome="service"}'] >= 1
    assert metrics["gslb_ready"] == 1
    assert metrics["gslb_workers_answering"] == 1
    generation = admin_of(asked).status()["generation"][:16]
    assert metrics[f'gslb_catalog_info{{generation="{generation}"}}'] == 1


@pytest.mark.parametrize(
    ("state", "path", "code", "force"),
    [
        ("ok", "/v1/apply?force=true", 200, 1),
        ("ok", "/v1/apply", 200, 0),
        ("pending", "/v1/apply", 409, 0),
        ("failed", "/v1/reload", 422, 0),
    ],
)
async def test_codes_of_a_reload(state: str, path: str, code: int, force: int) -> None:
    desk = Desk(reload_state=state)
    ready = await desk.ask("GET", "/readyz", None)
    assert (ready.code, ready.body) == (503, b"not ready\n")
    said = await desk.ask("POST", path)
    assert (said.code, said.json()["counts"]) == (code, {"forced": force})
    assert abs(int(said.headers["gslb-clock-ms"]) - desk.clock_ms) < 60_000


AT_MS = 1_795_530_600_000


@pytest.mark.parametrize(
    ("at", "found"),
    [
        ("2026-11-24T14:30:00Z", AT_MS),
        ("2026-11-24T16:30:00.25%2B02:00", AT_MS + 250),
        ("", None),
        ("2026-11-24T14:30:00", f"'2026-11-24T14:30:00' {NO_TIME}"),
        ("yesterday", f"'yesterday' {NO_TIME}"),
        ("9999-12-31T23:59:59-01:00", f"'9999-12-31T23:59:59-01:00' {NO_TIME}"),
        ("0001-01-01T00:00:00%2B01:00", f"'0001-01-01T00:00:00+01:00' {NO_TIME}"),
    ],
)
async def test_the_time_of_an_explanation(at: str, found: object) -> None:
    said = await Desk().ask("GET", f"/v1/explain?name=a&at={at}")
    if isinstance(found, str):
        assert (said.code, said.json()) == (400, {"detail": found})
    else:
        assert (said.code, said.json()["at_ms"]) == (200, found)


def test_not_ready_while_draining(tmp_path: Path, small: dict[str, str], admin_of: Callable[[Server], Any]) -> None:
    """While a half-sent question is waited for, the admin port says that no new ones should come."""
    with serving(tmp_path, zones=small) as server:
        admin = admin_of(server)
        admin.status()
        with socket.create_connection(("127.0.0.1", server.port), SOON_S) as half:
            wire = dns.message.make_query("www.live.example.", "A").to_wire()
            half.sendall(len(wire).to_bytes(2) + wire + b"\0")
            assert half.recv(2000)[2:4] == wire[:2]  # the half that came with it is there too
            server.process.send_signal(signal.SIGTERM)
            end = time.monotonic() + SOON_S
            while admin.ask("GET", "/readyz", None) != (503, b"not ready\n"):
                assert time.monotonic() < end
            assert admin.ask("GET", "/livez", None)[0] == 200
        assert server.process.wait(SOON_S) == 0


def test_the_manual_names_every_metric(asked: Server, admin_of: Callable[[Server], Any], repo: Path) -> None:
    _, text = admin_of(asked).ask("GET", "/metrics", None)
    exposed = set(re.findall(r"^# TYPE (\S+)", text.decode(), re.MULTILINE))
    page = (repo / "docs" / "operations.md").read_text()
    table = page[page.index("| metric |") : page.index("## The dispatcher")]
    assert set(re.findall(r"`(gslb_\w+)`", table)) == exposed


def test_the_manual_names_every_setting(repo: Path) -> None:
    page = (repo / "docs" / "operations.md").read_text()
    table = page[page.index("| key | flag |") : page.index("Lists are given")]
    assert re.findall(r"^\| `(\w+)`", table, re.MULTILINE) == list(Settings.model_fields)


def test_the_example_of_settings_is_whole(repo: Path, tmp_path: Path) -> None:
    """Each setting stands in it, and each line of it can be read, those that are commented out too."""
    text = (repo / "deploy" / "gslb.toml").read_text()
    told = re.findall(r"^#? ?(\w+) = ", text, re.MULTILINE)
    assert told == [name for name in Settings.model_fields if name != "cookie_secrets"]
    example = tmp_path / "gslb.toml"
    example.write_text(re.sub(r"^# (\w+ = )", r"\1", text, flags=re.MULTILINE))
    settings, given = load({}, {}, example)
    assert given == set(told)
    assert settings.tcp_idle_s == 10


def test_units_are_sound(repo: Path, tmp_path: Path) -> None:
    for name in ("gslb.service", "gslb.socket"):
        text = (repo / "deploy" / name).read_text()
        assert set(re.findall(r"^\[(\w+)\]$", text, re.MULTILINE)) == {"Unit", name.split(".")[1].title(), "Install"}
        (tmp_path / name).write_text(text.replace("/usr/local/bin/gslb", "/bin/true"))
    if shutil.which("systemd-analyze"):  # where there is no systemd, nothing can verify its units
        line = ["systemd-analyze", "verify", "--man=no", *map(str, tmp_path.iterdir())]
        done = subprocess.run(line, capture_output=True, text=True, timeout=SOON_S, check=False)
        assert (done.returncode, done.stderr) == (0, "")
    line = [program("promtool"), "check", "config", str(repo / "deploy" / "prometheus.yml")]
    subprocess.run(line, capture_output=True, timeout=SOON_S, check=True)
