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
from gslbtest.process import SOON_S, command
from gslbtest.serving import Server, serving, write_files


def ttl(server: Server) -> int:
    return int(ask(server.port, "www.live.example.").answer[0].ttl)


def with_ttl(small: dict[str, str], ttl_s: int) -> str:
    return small["live.yaml"].replace("ttl: 300", f"ttl: {ttl_s}")


def applied(count: int) -> Callable[[dict[str, Any]], bool]:
    return lambda status: status["reload"]["counts"]["applied"] == count


def test_good_edits_are_taken(tmp_path: Path, small: dict[str, str], admin_of: Callable[[Server], Any]) -> None:
    """In place, by an atomic rename, and where no watch sees it by SIGHUP; meanwhile no query is lost."""
    zones = write_files(tmp_path / "zones", small)
    (zones / "live.yaml").rename(tmp_path / "elsewhere.yaml")
    (zones / "live.yaml").symlink_to(tmp_path / "elsewhere.yaml")
    with serving(tmp_path, zones=zones, arguments=["--workers", "2"]) as server:
        admin = admin_of(server)
        assert ttl(server) == 300
        (tmp_path / "elsewhere.yaml").write_text(with_ttl(small, 1))
        server.process.send_signal(signal.SIGHUP)
        admin.until(applied(2))
        assert ttl(server) == 1
        (zones / ".live.yaml.new").write_text(with_ttl(small, 2))
        (zones / ".live.yaml.new").rename(zones / "live.yaml")
        while admin.status()["reload"]["counts"]["applied"] < 3:
            for _ in range(10):
                assert ttl(server) in (1, 2)
        assert ttl(server) == 2
        (zones / "live.yaml").write_text(with_ttl(small, 3))
        status = admin.until(applied(4))
        assert ttl(server) == 3
        assert status["reload"]["state"] == "ok"
        assert (server.state / "applied").read_text().strip() == status["generation"]
        assert {path.stem for path in (server.state / "catalog").iterdir()} >= {status["generation"]}


def test_a_bad_edit_changes_nothing(tmp_path: Path, small: dict[str, str], admin_of: Callable[[Server], Any]) -> None:
    """Neither while the server runs nor when it starts again."""
    bad = small["live.yaml"].replace("192.0.2.80", "192.0.2.800").replace("all: {", "al: {")
    with serving(tmp_path, zones=small) as server:
        admin = admin_of(server)
        before = admin.status()
        path = server.zones / "live.yaml"
        path.write_text(bad)
        status = admin.until(lambda status: status["reload"]["state"] == "failed")
        assert status["generation"] == before["generation"]
        places = [f"{error['line']}:{error['column']}" for error in status["reload"]["errors"]]
        assert places == ["7:12", "9:16"]
        assert ttl(server) == 300
        assert admin.metrics()["gslb_reload_failed"] == 1
        assert admin.metrics()['gslb_reloads_total{result="failed"}'] == 1
        for place in places:
            assert f"{path}:{place}" in server.said()
        assert "reload failed, nothing changed" in server.said()
        path.write_text(small["live.yaml"])
        status = admin.until(lambda status: status["reload"]["state"] == "ok")
        assert status["reload"]["errors"] == []
        assert admin.metrics()["gslb_reload_failed"] == 0
    path.write_text(bad)
    with serving(tmp_path, zones=server.zones) as server:
        status = admin_of(server).status()
        assert (status["generation"], status["ready"]) == (before["generation"], True)
        assert status["reload"]["state"] == "failed"
        assert ttl(server) == 300
        said = gslb(server, "status").stdout
        assert all(f"  {path}:{place}: " in said for place in places)
    # With a torn catalog besides there is nothing left to serve.
    catalog = next((server.state / "catalog").glob("*.cat"))
    os.truncate(catalog, 1000)
    done = serve_once(tmp_path, server.zones)
    assert (done.returncode, done.stdout) == (78, "")
    assert "the catalog applied last is not served" in done.stderr
    last = [line for line in done.stderr.splitlines() if not line.startswith("{")][-1]
    assert last.startswith(f"gslb: nothing can be served, and what was applied last cannot be used: {catalog}: ")
    assert catalog.with_name(catalog.name + ".torn").exists()


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
        write_files(zones / "..2", small | {"live.yaml": with_ttl(small, 99)})
        (zones / "..data_tmp").symlink_to("..2")
        (zones / "..data_tmp").rename(zones / "..data")
        shutil.rmtree(zones / "..1")
        admin.until(applied(2))
        assert ttl(server) == 99


def test_a_release_folder_is_switched(tmp_path: Path, small: dict[str, str], admin_of: Callable[[Server], Any]) -> None:
    """zones itself is a symlink: the watch follows it to the new folder, and goes on there."""
    one = write_files(tmp_path / "1", small)
    two = write_files(tmp_path / "2", small | {"live.yaml": with_ttl(small, 99)})
    (tmp_path / "current").symlink_to(one)
    with serving(tmp_path, zones=tmp_path / "current") as server:
        admin = admin_of(server)
        (tmp_path / "next").symlink_to(two)
        (tmp_path / "next").rename(tmp_path / "current")
        admin.until(applied(2))
        assert ttl(server) == 99
        (two / "live.yaml").write_text(with_ttl(small, 98))
        admin.until(applied(3))
        assert ttl(server) == 98


def gslb(server: Server, *arguments: str) -> subprocess.CompletedProcess[str]:
    where = ["--admin", f"127.0.0.1:{server.admin}", "--state", str(server.state)]
    return subprocess.run(
        [command("gslb"), *arguments, *where], capture_output=True, text=True, timeout=SOON_S, check=False
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
        (server.zones / "live.yaml").write_text(large)
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
        (server.zones / "live.yaml").write_text(small["live.yaml"])
        admin.until(lambda status: status["reload"]["state"] == "pending")
        (server.zones / "live.yaml").write_text(large)
        admin.until(lambda status: status["reload"]["state"] == "ok")
        assert edge_of(server) == ["192.0.2.20"]


def serve_once(folder: Path, zones: Path) -> subprocess.CompletedProcess[str]:
    line = [command("gslb"), "serve", "--zones", str(zones), "--data", str(folder / "data")]
    line += ["--state", str(folder / "state"), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
    return subprocess.run(line, capture_output=True, text=True, timeout=SOON_S, check=False)


def test_what_cannot_be_remembered_is_served(
    tmp_path: Path, small: dict[str, str], admin_of: Callable[[Server], Any]
) -> None:
    with serving(tmp_path, zones=small) as server:
        admin = admin_of(server)
        remembered = server.state / "applied"
        remembered.rename(server.state / "aside")
        (remembered / "x").mkdir(parents=True)
        (server.zones / "live.yaml").write_text(with_ttl(small, 1))
        status = admin.until(applied(2))
        assert (status["reload"]["state"], ttl(server)) == ("ok", 1)
        fault = f"served, but could not be remembered: {remembered}: cannot be written: Is a directory"
        assert [error["message"] for error in status["reload"]["errors"]] == [fault]
        said = gslb(server, "status").stdout
        assert "reload      NOT REMEMBERED: " in said
        assert f"  {fault}\n" in said
        shutil.rmtree(remembered)
        assert gslb(server, "apply").stdout.startswith("reload      ok\n")
        assert remembered.read_text().strip() == status["generation"]


def test_nothing_to_serve(tmp_path: Path, small: dict[str, str]) -> None:
    small["live.yaml"] = small["live.yaml"].replace("192.0.2.80", "192.0.2.800").replace("all: {", "al: {")
    zones = write_files(tmp_path / "zones", small)
    done = serve_once(tmp_path, zones)
    assert (done.returncode, done.stdout) == (78, "")
    plain = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert [line.split(" ")[0] for line in plain] == [f"{zones}/live.yaml:7:12:", f"{zones}/live.yaml:9:16:", "gslb:"]
    assert plain[-1] == "gslb: nothing can be served, and nothing was served before"
