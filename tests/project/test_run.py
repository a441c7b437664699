"""``make run``: what it says, that the commands it prints work, and what it says when a port is taken."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from gslbtest.checkout import checkout
from gslbtest.process import SOON_S, end, free_port, running, wait_for_text

PRINTED = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkout(tmp_path_factory.mktemp("run") / "gslb")


def test_run_serves_and_its_commands_answer(folder: Path, tmp_path: Path) -> None:
    port, admin = free_port(), free_port()
    log = tmp_path / "run.log"
    line = ["make", "run", f"PORT={port}", f"ADMIN=127.0.0.1:{admin}"]
    with running(line, log, cwd=folder) as process:
        said = wait_for_text(process, log, "ready ")
        commands = [row for row in said.splitlines() if row.startswith("dig ")]
        assert len(commands) == PRINTED
        assert sum(" CH TXT " in command for command in commands) == 1
        outputs = [_output(command) for command in commands]
        assert all(outputs)
        assert len(set(outputs)) == PRINTED
        taken = [
            ([f"PORT={port}", f"ADMIN=127.0.0.1:{free_port()}"], f"127.0.0.1:{port}"),
            ([f"PORT={free_port()}", f"ADMIN=127.0.0.1:{admin}"], f"127.0.0.1:{admin}"),
        ]
        for settings, where in taken:
            again = ["make", "run", f"STATE={tmp_path / 'other'}", *settings]
            done = subprocess.run(again, cwd=folder, capture_output=True, text=True, timeout=SOON_S, check=False)
            assert done.returncode != 0
            assert f"cannot listen on {where}" in done.stdout + done.stderr
        assert end(process) in {0, 2, -15}  # make itself may be ended by the signal before the server is
    assert (folder / ".state").is_dir()


def test_help_names_every_target(folder: Path) -> None:
    shown = subprocess.run(["make"], cwd=folder, capture_output=True, text=True, timeout=SOON_S, check=True).stdout
    assert [row.split()[1] for row in shown.splitlines()] == ["run", "test", "soak", "fuzz", "simulate", "bench"]


def _output(command: str) -> str:
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=SOON_S, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout.strip()
