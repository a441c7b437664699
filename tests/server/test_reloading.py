"""Edits of a served network: taken, refused or held, by every way in which files change."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gslbtest.asking import addresses, ask
from gslbtest.process import SOON_S, command
from gslbtest.serving import Server, applied, serving, write_files


@pytest.fixture(scope="module")
def files(network: dict[str, str]) -> dict[str, str]:
    """The small network; of the known clients of its service 40 % may be moved by an edit."""
    return network | {"live.yaml": network["live.yaml"].replace("ttl: 20", "ttl: 20, max_change: 0.4")}


@pytest.fixture(scope="module")
def server(files: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for edits: each test leaves files that are applied."""
    with serving(tmp_path_factory.mktemp("reloading"), zones=files) as found:
        yield found


def where(server: Server) -> list[str]:
    return ["--admin", f"127.0.0.1:{server.admin}", "--state", str(server.state)]


def ttl(server: Server) -> int:
    return int(ask(server.port, "www.live.example.").answer[0].ttl)


def with_ttl(text: str, ttl_s: int) -> str:
    return text.replace("ttl: 300", f"ttl: {ttl_s}")


def edge_of(server: Server) -> list[str]:
    return addresses(ask(server.port, "pull.live.example.", subnet="198.51.100.0/24"))


def bad(text: str) -> str:
    return text.replace("192.0.2.80", "192.0.2.800").replace("all: {", "al: {")


PLACES = ["7:12", "9:16"]
"""Where a bad edit is wrong."""


def large(text: str) -> str:
    return text.replace("sha: 100", "sha: 0")


HELD = [{"service": "pull.live.example.", "fraction": 0.5, "max_change": pytest.approx(0.4)}]


def test_edits_are_taken_however_files_change(
    tmp_path: Path, files: dict[str, str], admin_of: Callable[[Server], Any]
) -> None:
    """The folder is a link to a release, and meanwhile no query is lost."""
    one, live = write_files(tmp_path / "1", files), files["live.yaml"]
    (one / "live.yaml").rename(tmp_path / "elsewhere.yaml")
    (one / "live.yaml").symlink_to(tmp_path / "elsewhere.yaml")
    zones = tmp_path / "current"
    zones.symlink_to(one)
    with serving(tmp_path, zones=zones, arguments=["--workers", "2"]) as server:
        admin = admin_of(server)

        def taken(ttl_s: int) -> dict[str, Any]:
            """How the server is once that edit answers; until then the one before it does."""
            while (found := ttl(server)) != ttl_s:
                assert found == ttl_s - 1
                time.sleep(0.02)
            status: dict[str, Any] = admin.until(lambda status: status["reload"]["counts"]["applied"] == ttl_s - 300)
            assert status["reload"]["state"] == "ok"
            return status

        assert ttl(server) == 300
        # Behind a link, where no watch sees it: by SIGHUP.
        (tmp_path / "elsewhere.yaml").write_text(with_ttl(live, 301))
        server.process.send_signal(signal.SIGHUP)
        taken(301)
        # By an atomic rename.
        (zones / ".live.yaml.new").write_text(with_ttl(live, 302))
        (zones / ".live.yaml.new").rename(zones / "live.yaml")
        taken(302)
        # In place.
        (zones / "live.yaml").write_text(with_ttl(live, 303))
        status = taken(303)
        assert (server.state / "applied").read_text().strip() == status["generation"]
        assert {path.stem for path in (server.state / "catalog").iterdir()} >= {status["generation"]}
        # To another release: the watch follows the link, and goes on there.
        two = write_files(tmp_path / "2", files | {"live.yaml": with_ttl(live, 304)})
        (tmp_path / "next").symlink_to(two)
        (tmp_path / "next").rename(zones)
        taken(304)
        (two / "live.yaml").write_text(with_ttl(live, 305))
        taken(305)


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
        write_files(zones / "..2", small | {"live.yaml": with_ttl(small["live.yaml"], 99)})
        (zones / "..data_tmp").symlink_to("..2")
        (zones / "..data_tmp").rename(zones / "..data")
        shutil.rmtree(zones / "..1")
        admin_of(server).until(lambda status: status["reload"]["counts"]["applied"] == 1)
        assert ttl(server) == 99


def test_a_bad_edit_changes_nothing(server: Server, admin_of: Callable[[Server], Any]) -> None:
    admin = admin_of(server)
    before, metrics = admin.status(), admin.metrics()
    path = server.zones / "live.yaml"
    good = path.read_text()
    path.write_text(bad(good))
    status = admin.until(lambda status: status["reload"]["state"] == "failed")
    assert status["generation"] == before["generation"]
    assert [f"{error['line']}:{error['column']}" for error in status["reload"]["errors"]] == PLACES
    assert ttl(server) == 300
    failed = 'gslb_reloads_total{result="failed"}'
    assert admin.metrics()["gslb_reload_failed"] == 1
    assert admin.metrics()[failed] - metrics[failed] == 1
    for place in PLACES:
        assert f"{path}:{place}" in server.said()
    assert "reload failed, nothing changed" in server.said()
    path.write_text(good)
    status = admin.until(lambda status: status["reload"]["state"] == "ok")
    assert status["reload"]["errors"] == []
    assert admin.metrics()["gslb_reload_failed"] == 0


def test_a_bad_edit_changes_nothing_at_a_start_either(
    tmp_path: Path, files: dict[str, str], gslb, admin_of: Callable[[Server], Any]
) -> None:
    zones = write_files(tmp_path / "zones", files)
    (tmp_path / "data").mkdir()
    applied(zones, tmp_path / "data", tmp_path / "state")
    generation = (tmp_path / "state/applied").read_text().strip()
    path = zones / "live.yaml"
    path.write_text(bad(files["live.yaml"]))
    with serving(tmp_path, zones=zones) as server:
        status = admin_of(server).status()
        assert (status["generation"], status["ready"]) == (generation, True)
        assert status["reload"]["state"] == "failed"
        assert ttl(server) == 300
        said = gslb("status", *where(server)).out
        assert all(f"  {path}:{place}: " in said for place in PLACES)
    # With a torn catalog besides there is nothing left to serve.
    catalog = next((server.state / "catalog").glob("*.cat"))
    os.truncate(catalog, 1000)
    done = serve_once(tmp_path, zones)
    assert (done.returncode, done.stdout) == (78, "")
    assert "the catalog applied last is not served" in done.stderr
    last = [line for line in done.stderr.splitlines() if not line.startswith("{")][-1]
    assert last.startswith(f"gslb: nothing can be served, and what was applied last cannot be used: {catalog}: ")
    assert catalog.with_name(catalog.name + ".torn").exists()


def test_a_large_change_is_held_and_forced(server: Server, gslb, admin_of: Callable[[Server], Any]) -> None:
    admin = admin_of(server)
    path = server.zones / "live.yaml"
    before = path.read_text()
    assert edge_of(server) == ["192.0.2.10"]
    path.write_text(large(before))
    status = admin.until(lambda status: status["reload"]["state"] == "pending")
    assert status["reload"]["pending"]["held"] == HELD
    assert edge_of(server) == ["192.0.2.10"]
    assert admin.metrics()["gslb_reload_pending"] == 1
    assert "reload held: gslb apply --force lets it through" in server.said()
    done = gslb("apply", *where(server))
    assert done.code == 1
    assert "pull.live.example. moves 50.0% of its known clients, may 40.0%" in done.out
    done = gslb("apply", "--force", *where(server))
    assert (done.code, done.err) == (0, "")
    assert edge_of(server) == ["192.0.2.20"]
    assert admin.metrics()["gslb_reload_pending"] == 0
    # Back again is as large a change; taking the file back to what is applied ends the wait.
    path.write_text(before)
    admin.until(lambda status: status["reload"]["state"] == "pending")
    path.write_text(large(before))
    admin.until(lambda status: status["reload"]["state"] == "ok")
    assert edge_of(server) == ["192.0.2.20"]


def test_a_large_change_is_held_over_a_restart(
    tmp_path: Path, files: dict[str, str], admin_of: Callable[[Server], Any]
) -> None:
    """The base is what was applied, not what lies there."""
    zones = write_files(tmp_path / "zones", files)
    (tmp_path / "data").mkdir()
    applied(zones, tmp_path / "data", tmp_path / "state")
    (zones / "live.yaml").write_text(large(files["live.yaml"]))
    with serving(tmp_path, zones=zones) as server:
        reload = admin_of(server).status()["reload"]
        assert (reload["state"], reload["pending"]["held"]) == ("pending", HELD)
        assert edge_of(server) == ["192.0.2.10"]


def serve_once(folder: Path, zones: Path) -> subprocess.CompletedProcess[str]:
    line = [command("gslb"), "serve", "--zones", str(zones), "--data", str(folder / "data")]
    line += ["--state", str(folder / "state"), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
    return subprocess.run(line, capture_output=True, text=True, timeout=SOON_S, check=False)


def test_what_cannot_be_remembered_is_served(server: Server, gslb, admin_of: Callable[[Server], Any]) -> None:
    admin = admin_of(server)
    remembered = server.state / "applied"
    remembered.rename(server.state / "aside")
    (remembered / "x").mkdir(parents=True)
    before, path = admin.status(), server.zones / "live.yaml"
    path.write_text(with_ttl(path.read_text(), 1))
    status = admin.until(lambda status: status["generation"] != before["generation"] and status["reload"]["errors"])
    assert (status["reload"]["state"], ttl(server)) == ("ok", 1)
    fault = f"served, but could not be remembered: {remembered}: cannot be written: Is a directory"
    assert [error["message"] for error in status["reload"]["errors"]] == [fault]
    said = gslb("status", *where(server)).out
    assert "reload      NOT REMEMBERED: " in said
    assert f"  {fault}\n" in said
    shutil.rmtree(remembered)
    assert gslb("apply", *where(server)).out.startswith("reload      ok\n")
    assert remembered.read_text().strip() == status["generation"]


def test_nothing_to_serve(tmp_path: Path, files: dict[str, str]) -> None:
    zones = write_files(tmp_path / "zones", files | {"live.yaml": bad(files["live.yaml"])})
    done = serve_once(tmp_path, zones)
    assert (done.returncode, done.stdout) == (78, "")
    plain = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert [line.split(" ")[0] for line in plain] == [*(f"{zones}/live.yaml:{place}:" for place in PLACES), "gslb:"]
    assert plain[-1] == "gslb: nothing can be served, and nothing was served before"
