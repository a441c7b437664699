"""Real redis-server and redis-sentinel processes that tests kill, stop and start again, and certificates for TLS."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Self

from gslb.model.report import Report, StoreState
from gslb.store.interface import Store
from gslb.store.opening import begin, open_store
from gslbtest.process import SOON_S, end, free_port, program, wait_for_tcp

ANSWER_S = 5.0
"""After this time a Redis that is asked whether it has become something counts as one that has not, yet."""
SERVICE = "gslb"
"""The name by which Sentinels know the primary."""


class RedisServer:
    """A redis-server on a free loopback port, or another program of its kind; it keeps port and folder when it is
    started again. Nothing is written to disk, unless ``arguments`` say so. ``@PORT`` in them stands for the port."""

    def __init__(self, folder: Path, *arguments: str, line: Sequence[str] = ()) -> None:
        """``line`` takes the place of the whole command."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.log = folder / "redis.log"
        line = line or [
            program("redis-server"), "--port", "@PORT", "--bind", "127.0.0.1", "--dir", str(folder),
            "--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0", *arguments,
        ]  # fmt: skip
        self._line = [part.replace("@PORT", str(self.port)) for part in line]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            end(self._process)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """What runs now, or ran last."""
        assert self._process is not None, "it was never started"
        return self._process

    def start(self) -> None:
        """Start it, again if it has ended, and wait until it takes connections."""
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(
                self._line, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, cwd=self.folder
            )
        wait_for_tcp(self._process, self.log, self.port)

    def kill(self) -> None:
        """End it without warning."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Let it stand still; connections stay open."""
        self.process.send_signal(signal.SIGSTOP)

    def cont(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def cli(self, *arguments: str | bytes, given: bytes | None = None) -> str:
        """What redis-cli prints; ``given`` is its standard input. An answer that is an error fails the test."""
        done = self._asked(arguments, given, SOON_S)
        assert done.returncode == 0, f"{arguments}\n{done.stdout!r}{done.stderr!r}"
        return _text(done.stdout)

    def says(self, *arguments: str) -> str:
        """As `cli`, for whoever asks again until it is so: empty where it is not there, breaks the connection off (as
        a Sentinel makes it do when it promotes it), loads its data, or gives no answer within `ANSWER_S`."""
        try:
            done = self._asked(arguments, None, ANSWER_S)
        except subprocess.TimeoutExpired:
            return ""
        return "" if done.returncode else _text(done.stdout)

    def is_primary(self) -> bool:
        """Whether it takes itself for a primary; not while it cannot be asked."""
        return "role:master" in self.says("INFO", "replication")

    def _asked(
        self, arguments: Sequence[str | bytes], given: bytes | None, limit_s: float
    ) -> subprocess.CompletedProcess[bytes]:
        line: list[str | bytes] = [program("redis-cli"), "-e", "-p", str(self.port), *arguments]
        return subprocess.run(line, input=given, capture_output=True, timeout=limit_s, check=False)


def _text(out: bytes) -> str:
    return out.decode("utf-8", "backslashreplace").rstrip("\n")


@contextlib.contextmanager
def replicated(folder: Path, *arguments: str, sentinels: int = 3) -> Iterator[tuple[list[RedisServer], str]]:
    """A primary, its replica, and Sentinels that watch over them: the two servers and the URL of the whole."""
    with contextlib.ExitStack() as stack:
        primary = stack.enter_context(RedisServer(folder / "primary", *arguments))
        of = ["--replicaof", "127.0.0.1", str(primary.port)]
        replica = stack.enter_context(RedisServer(folder / "replica", *of, *arguments))
        wait_for(lambda: "state=online" in primary.says("INFO", "replication"))
        watching = [stack.enter_context(sentinel(folder / f"s{number}", primary)) for number in range(sentinels)]
        known = f"slaves=1,sentinels={sentinels}"
        wait_for(lambda: all(known in each.says("INFO", "sentinel") for each in watching))
        hosts = ",".join(f"127.0.0.1:{each.port}" for each in watching)
        yield [primary, replica], f"redis+sentinel://{hosts}/{SERVICE}"


def sentinel(folder: Path, primary: RedisServer, *settings: str) -> RedisServer:
    """A Sentinel, not yet started, that watches over this primary and takes two to agree that it is gone. ``settings``
    are lines of its configuration."""
    folder.mkdir(parents=True)
    config = folder / "sentinel.conf"
    server = RedisServer(folder, line=[program("redis-sentinel"), str(config)])
    config.write_text(
        f"port {server.port}\nbind 127.0.0.1\ndir {folder}\n"
        + "".join(f"{each}\n" for each in settings).replace("@PORT", str(server.port))
        + f"sentinel monitor {SERVICE} 127.0.0.1 {primary.port} 2\n"
        f"sentinel down-after-milliseconds {SERVICE} 500\nsentinel failover-timeout {SERVICE} 4000\n"
    )
    return server


def over_tls(folder: Path) -> list[str]:
    """Arguments that make a redis-server speak TLS alone, to clients that show a certificate. ``folder`` is one of
    `certificates`."""
    files = {"cert-file": "server.crt", "key-file": "server.key", "ca-cert-file": "ca.crt"}
    paths = [part for key, name in files.items() for part in (f"--tls-{key}", str(folder / name))]
    return ["--port", "0", "--tls-port", "@PORT", *paths]


def certificates(folder: Path) -> Path:
    """A folder with ca.crt, and with server and client .crt and .key of that authority; the server is 127.0.0.1."""
    folder.mkdir(parents=True, exist_ok=True)

    def openssl(*arguments: str) -> None:
        subprocess.run([program("openssl"), *arguments], cwd=folder, check=True, capture_output=True, timeout=SOON_S)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-days", "2", "-subj", "/CN=test authority")
    for name in ("server", "client"):
        openssl("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        (folder / "ext").write_text("subjectAltName=IP:127.0.0.1\n")
        openssl(
            "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", "ext", "-out", f"{name}.crt",
        )  # fmt: skip
    return folder


@contextlib.asynccontextmanager
async def following(url: str, held: StoreState | None = None, *, wait: bool = True) -> AsyncIterator[Store]:
    """A store that is followed; with ``wait``, once it is connected."""
    store = open_store(url, held or StoreState())
    await begin(store)
    try:
        if wait:
            await until(lambda: store.connected)
        yield store
    finally:
        await store.close()


async def until(true: Callable[[], bool]) -> None:
    """Wait until something is so."""
    end_s = time.monotonic() + SOON_S
    while not true():
        assert time.monotonic() < end_s, "it never became so"
        await asyncio.sleep(0.005)


async def becomes(store: Store, true: Callable[[StoreState], bool]) -> StoreState:
    """Wait until a reader's state is so; that state."""
    end_s = time.monotonic() + SOON_S
    while not true(state := await store.state()):
        assert time.monotonic() < end_s, f"it never became so: {state}; {store.faults}"
        await asyncio.sleep(0.001)
    return state


def publish(server: RedisServer, version: str, data: bytes, sha256: str, token: str = "") -> str:
    """Publish a text as a plan in place of what counts, whatever it is; the answer of the function."""
    current = server.cli("GET", "{gslb}:plan:current")
    base = current if server.cli("EXISTS", f"{{gslb}}:plan:{current}") == "1" else ""
    call = ("FCALL", "gslb_plan", "1", f"{{gslb}}:plan:{version}", "2", "DATA", sha256, base, token)
    return server.cli("-X", "DATA", *call, given=data)


async def seen_by(store: Store, report: Report) -> Report:
    """Wait until a reader has this report or a newer one; the one it has."""

    def there(state: StoreState) -> bool:
        found = state.reports.get(report.edge)
        return found is not None and (found.epoch, found.seq) >= (report.epoch, report.seq)

    return (await becomes(store, there)).reports[report.edge]


def wait_for(true: Callable[[], bool]) -> None:
    """Wait until something is so, where no loop runs."""
    end_s = time.monotonic() + SOON_S
    while not true():
        assert time.monotonic() < end_s, "it never became so"
        time.sleep(0.02)
