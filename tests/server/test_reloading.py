"""Edits of a served network: taken, refused or held, by every way in which files change."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gslbtest.asking import addresses, ask
from gslbtest.process import command
from gslbtest.serving import Server, serving, write_files


def ttl(server: Server) -> int:
    return int(ask(server.port, "www.live.example.").answer[0].ttl)


def in_place(zones: Path, name: str, text: str) -> None:
    (zones / name).write_text(text)


def by_rename(zones: Path, name: str, text: str) -> None:
    beside = zones / f".{name}.new"
    beside.write_text(text)
    beside.rename(zones / name)


@pytest.mark.parametrize("edit", [in_place, by_rename])
def test_a_good_edit_is_taken(
    tmp_path: Path, small: dict[str, str], admin_of: Callable[[Server], Any], edit: Callable[[Path, str, str], None]
) -> None:
    with serving(tmp_path, zones=small) as server:
        admin = admin_of(server)
        before = admin.status()
        assert ttl(server) == 300
        edit(server.zones, "live.yaml", small["live.yaml"].replace("ttl: 300", "ttl: 77"))
        after = admin.until(lambda status: status["generation"] != before["generation"])
        assert ttl(server) == 77
        assert after["reload"]["state"] == "ok"
        assert after["reload"]["counts"]["applied"] == 2
        assert (server.state / "applied").read_text().strip() == after["generation"]


def test_a_bad_edit_changes_nothing(tmp_path: Path, small: dict[str, str], admin_of: Callable[[Server], Any]) -> None:
    with serving(tmp_path, zones=small) as server:
        admin = admin_of(server)
        before = admin.status()
        good = small["live.yaml"]
        in_place(server.zones, "live.yaml", good.replace("192.0.2.80", "192.0.2.800").replace("all: {", "al: {"))
        status = admin.until(lambda status: status["reload"]["state"] == "failed")
        assert status["generation"] == before["generation"]
        places = [f"{error['line']}:{error['column']}" for error in status["reload"]["errors"]]
        assert places == ["7:12", "9:16"]
        assert ttl(server) == 300
        assert admin.metrics()["gslb_reload_failed"] == 1
        assert admin.metrics()['gslb_reloads_total{result="failed"}'] == 1
        path = server.zones / "live.yaml"
        for place in places:
            assert f"{path}:{place}" in server.said()
        assert "reload failed, nothing changed" in server.said()
        in_place(server.zones, "live.yaml", good)
        status = admin.until(lambda status: status["reload"]["state"] == "ok")
        assert status["reload"]["errors"] == []
        assert status["reload"]["counts"]["unchanged"] >= 1
        assert admin.metrics()["gslb_reload_failed"] == 0


def test_a_configmap_swaps_its_symlink(
    tmp_path: Path, small: dict[str, str], admin_of: Callable[[Server], Any]
) -> None:
    """As the kubelet does it: name → ..data/name, ..data → ..<time>, and ..data is renamed over."""
    zones = tmp_path / "mount"
    write_files(zones / "..1", small)
    (zones / "..data").symlink_to("..1")
    for name in small:
        (zones / name).symlink_to(f"..data/{name}")
    with serving(tmp_path, zones=zones) as server:
        admin = admin_of(server)
        write_files(zones / "..2", small | {"live.yaml": small["live.yaml"].replace("ttl: 300", "ttl: 99")})
        (zones / "..data_tmp").symlink_to("..2")
        (zones / "..data_tmp").rename(zones / "..data")
        shutil.rmtree(zones / "..1")
        admin.until(lambda status: status["reload"]["counts"]["applied"] == 2)
        assert ttl(server) == 99


def test_a_release_folder_is_switched(tmp_path: Path, small: dict[str, str], admin_of: Callable[[Server], Any]) -> None:
    """zones itself is a symlink: the watch follows it to the new folder, and goes on there."""
    one = write_files(tmp_path / "1", small)
    two = write_files(tmp_path / "2", small | {"live.yaml": small["live.yaml"].replace("ttl: 300", "ttl: 99")})
    (tmp_path / "current").symlink_to(one)
    with serving(tmp_path, zones=tmp_path / "current") as server:
        admin = admin_of(server)
        (tmp_path / "next").symlink_to(two)
        (tmp_path / "next").rename(tmp_path / "current")
        admin.until(lambda status: status["reload"]["counts"]["applied"] == 2)
        assert ttl(server) == 99
        in_place(two, "live.yaml", small["live.yaml"].replace("ttl: 300", "ttl: 98"))
        admin.until(lambda status: status["reload"]["counts"]["applied"] == 3)
        assert ttl(server) == 98


def test_sighup_finds_what_no_watch_can(
    tmp_path: Path, small: dict[str, str], admin_of: Callable[[Server], Any]
) -> None:
    zones = write_files(tmp_path / "zones", small)
    (zones / "live.yaml").rename(tmp_path / "elsewhere.yaml")
    (zones / "live.yaml").symlink_to(tmp_path / "elsewhere.yaml")
    with serving(tmp_path, zones=zones) as server:
        admin = admin_of(server)
        (tmp_path / "elsewhere.yaml").write_text(small["live.yaml"].replace("ttl: 300", "ttl: 66"))
        server.process.send_signal(signal.SIGHUP)
        admin.until(lambda status: status["reload"]["counts"]["applied"] == 2)
        assert ttl(server) == 66


def gslb(server: Server, *arguments: str) -> subprocess.CompletedProcess[str]:
    where = ["--admin", f"127.0.0.1:{server.admin}", "--state", str(server.state)]
    return subprocess.run(
        [command("gslb"), *arguments, *where], capture_output=True, text=True, timeout=60, check=False
    )


def edge_of(server: Server) -> list[str]:
    return addresses(ask(server.port, "pull.live.example.", subnet="198.51.100.0/24"))


def test_a_large_change_is_held_and_forced(
    tmp_path: Path, small: dict[str, str], admin_of: Callable[[Server], Any]
) -> None:
    small["live.yaml"] = small["live.yaml"].replace("ttl: 20", "ttl: 20, max_change: 0.4")
    large = small["live.yaml"].replace("sha: 100", "sha: 0")
    with serving(tmp_path, zones=small) as server:
        admin = admin_of(server)
        assert edge_of(server) == ["192.0.2.10"]
        in_place(server.zones, "live.yaml", large)
        status = admin.until(lambda status: status["reload"]["state"] == "pending")
        assert status["reload"]["pending"]["held"] == [
            {"service": "pull.live.example.", "fraction": 0.5, "max_change": pytest.approx(0.4)}
        ]
        assert edge_of(server) == ["192.0.2.10"]
        assert admin.metrics()["gslb_reload_pending"] == 1
        assert "reload held: gslb apply --force lets it through" in server.said()
    # Over a restart the base is what was applied, not what lies there.
    with serving(tmp_path, zones=server.zones) as server:
        admin = admin_of(server)
        assert admin.status()["reload"]["state"] == "pending"
        assert edge_of(server) == ["192.0.2.10"]
        done = gslb(server, "apply")
        assert done.returncode == 1
        assert "pull.live.example. moves 50.0% of its known clients, may 40.0%" in done.stdout
        done = gslb(server, "apply", "--force")
        assert (done.returncode, done.stderr) == (0, "")
        assert edge_of(server) == ["192.0.2.20"]
        assert admin.metrics()["gslb_reload_pending"] == 0
        # Back again is as large a change; taking the file back to what is applied ends the wait.
        in_place(server.zones, "live.yaml", small["live.yaml"])
        admin.until(lambda status: status["reload"]["state"] == "pending")
        in_place(server.zones, "live.yaml", large)
        admin.until(lambda status: status["reload"]["state"] == "ok")
        assert edge_of(server) == ["192.0.2.20"]


def test_bad_files_at_a_restart(tmp_path: Path, small: dict[str, str], admin_of: Callable[[Server], Any]) -> None:
    with serving(tmp_path, zones=small) as server:
        generation = admin_of(server).status()["generation"]
    in_place(server.zones, "live.yaml", "zone: [\n")
    with serving(tmp_path, zones=server.zones) as server:
        status = admin_of(server).status()
        assert (status["generation"], status["ready"], status["reload"]["state"]) == (generation, True, "failed")
        assert ttl(server) == 300
        assert gslb(server, "status").stdout.count("live.yaml:2:1: ") == 1


def serve_once(tmp_path: Path, zones: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    line = [command("gslb"), "serve", "--zones", str(zones), "--data", str(tmp_path / "data")]
    line += ["--state", str(tmp_path / "state"), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", *arguments]
    return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)


def test_nothing_to_serve(tmp_path: Path, small: dict[str, str]) -> None:
    small["live.yaml"] = small["live.yaml"].replace("192.0.2.80", "192.0.2.800").replace("all: {", "al: {")
    zones = write_files(tmp_path / "zones", small)
    done = serve_once(tmp_path, zones)
    assert (done.returncode, done.stdout) == (78, "")
    plain = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert [line.split(" ")[0] for line in plain] == [f"{zones}/live.yaml:7:12:", f"{zones}/live.yaml:9:16:", "gslb:"]
    assert plain[-1] == "gslb: nothing can be served, and nothing was served before"


def test_no_zones_at_all(tmp_path: Path) -> None:
    done = serve_once(tmp_path, tmp_path / "nowhere")
    assert done.returncode == 78
    assert f"{tmp_path}/nowhere:0:0: no such directory" in done.stderr


@pytest.mark.parametrize("torn", ["cat", "json", "applied"])
def test_a_torn_cache_is_made_again(
    tmp_path: Path, small: dict[str, str], admin_of: Callable[[Server], Any], torn: str
) -> None:
    with serving(tmp_path, zones=small) as server:
        generation = admin_of(server).status()["generation"]
    path = server.state / ("applied" if torn == "applied" else f"catalog/{generation}.{torn}")
    os.truncate(path, path.stat().st_size // 2)
    with serving(tmp_path, zones=server.zones) as server:
        status = admin_of(server).status()
        assert (status["generation"], status["reload"]["state"]) == (generation, "ok")
        assert "the catalog applied last cannot be used" in server.said()
        assert path.with_name(path.name + ".torn").exists() == (torn != "json")
        assert ttl(server) == 300


def test_only_few_catalogs_are_kept(tmp_path: Path, small: dict[str, str], admin_of: Callable[[Server], Any]) -> None:
    with serving(tmp_path, zones=small) as server:
        admin = admin_of(server)
        for number in range(1, 6):
            in_place(server.zones, "live.yaml", small["live.yaml"].replace("ttl: 300", f"ttl: {number}"))
            admin.until(lambda status, number=number: status["reload"]["counts"]["applied"] == number + 1)
        names = sorted(path.suffix for path in (server.state / "catalog").iterdir())
        assert names == [".cat"] * 3 + [".json"] * 3


def test_edits_while_queries_come_lose_none(
    tmp_path: Path, small: dict[str, str], admin_of: Callable[[Server], Any]
) -> None:
    with serving(tmp_path, zones=small, arguments=["--workers", "2"]) as server:
        admin = admin_of(server)
        for number in range(1, 4):
            in_place(server.zones, "live.yaml", small["live.yaml"].replace("ttl: 300", f"ttl: {number}"))
            while admin.status()["reload"]["counts"]["applied"] != number + 1:
                for _ in range(10):
                    assert ttl(server) in (300, number - 1, number)
