"""A real ``gslb serve`` on free ports, over a zones folder of the test's own or the shipped one."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gslbtest.process import command, end, free_port, running, wait_for_text

REPO = Path(__file__).parents[3]
ACTIVATE = """
import os, sys
fds = [int(text) for text in sys.argv[1].split(",")]
for number, fd in enumerate([os.dup2(fd, 100 + at) for at, fd in enumerate(fds)]):
    os.dup2(fd, 3 + number)
os.environ["LISTEN_PID"], os.environ["LISTEN_FDS"] = str(os.getpid()), str(len(fds))
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Stands for systemd, which holds sockets, in which queries wait while a server is restarted: a program that places the
descriptors that it was given at 3, 4, … and becomes the server."""


@dataclass(slots=True)
class Server:
    """A running ``gslb serve``: where it listens, where its files are, and its process."""

    host: str
    port: int
    admin: int
    zones: Path
    data: Path
    state: Path
    log: Path
    process: subprocess.Popen[bytes]

    def said(self) -> str:
        """Everything it wrote so far, standard output and error."""
        return self.log.read_text(errors="replace")

    def stop(self) -> int:
        """End it by SIGTERM and give its exit code."""
        return end(self.process)


@contextlib.contextmanager
def serving(
    folder: Path,
    *,
    zones: Path | Mapping[str, str | bytes] | None = None,
    data: Path | None = None,
    host: str = "127.0.0.1",
    arguments: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    first: bool = False,
) -> Iterator[Server]:
    """Start ``gslb serve``, wait until it says ``ready``, and end it afterwards.

    It finds its catalog built, as at every start but the ``first``, for which it starts a process that builds.

    ``folder`` takes state and log. ``zones`` is a folder, or file names with their contents, which are written to
    ``folder/zones``; without it a copy of the shipped sample is served. ``data`` is a folder, or none: the shipped
    tables with the shipped zones, else an empty folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if zones is None:
        data = data or shutil.copytree(REPO / "data", folder / "data", dirs_exist_ok=True)
        zones = shutil.copytree(REPO / "zones", folder / "zones", dirs_exist_ok=True)
    elif not isinstance(zones, Path):
        zones = write_files(folder / "zones", zones)
    if data is None:
        data = folder / "data"
        data.mkdir(exist_ok=True)
    port, admin = free_port(host), free_port()
    listen = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    state, log = folder / "state", folder / "serve.log"
    if not first and not state.exists():
        applied(zones, data, state)
    line = [command("gslb"), "serve", "--zones", str(zones), "--data", str(data), "--state", str(state)]
    line += ["--listen", listen, "--admin", f"127.0.0.1:{admin}", *arguments]
    with running(line, log, env=env) as process:
        wait_for_text(process, log, "ready ")
        yield Server(host, port, admin, zones, data, state, log, process)


def applied(zones: Path, data: Path, state: Path) -> None:
    """Leave in ``state`` what a server that served these files leaves there."""
    from gslb.server.build import build  # takes a while to load, and most tests serve nothing
    from gslb.store import files

    state.mkdir()
    built = build(zones, data, state, None)
    if built.catalog:
        files.set_applied(state, bytes.fromhex(built.generation))


def arguments(folder: Path, **settings: object) -> list[str]:
    """A command line; what is not set goes to free ports and to ``folder``."""
    line = [command("gslb"), "serve", "--zones", str(folder / "zones"), "--data", str(folder / "data")]
    given = {"state": folder / "state", "listen": "127.0.0.1:0", "admin": "127.0.0.1:0"} | settings
    for name, value in given.items():
        line += [f"--{name.replace('_', '-')}", str(value)]
    return line


def write_files(folder: Path, contents: Mapping[str, str | bytes]) -> Path:
    """Write files, given by their paths below ``folder``, and give the folder."""
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder
