"""``gslb serve``: the control process. It owns lock, sockets, files and state; the workers only answer."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib.util
import os
import resource
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import structlog
import uvloop

from gslb import __version__
from gslb.errors import ConfigErrors, GslbError
from gslb.model.report import StoreState
from gslb.server import frames, listen, statedir
from gslb.server.catalogs import Catalogs
from gslb.server.control import Control
from gslb.server.drawn import EVERY_S
from gslb.server.fleet import Fleet
from gslb.server.history import History
from gslb.server.keeping import Keeper
from gslb.server.live import Served
from gslb.server.log import Lossy, configure
from gslb.server.meta import read_meta
from gslb.server.notify import Notifier, listen_fds
from gslb.server.querylog.link import Link
from gslb.server.reload import Reloader
from gslb.server.settings import SECRET_BYTES, Settings, read_secrets
from gslb.server.snapshots import Snapshots
from gslb.server.status import Built
from gslb.server.watch import watch
from gslb.store import kept, opening
from gslb.store.interface import Store

Made = TypeVar("Made")

OK = 0
FAILURE = 1
NO_CONFIGURATION = 78
STORE_FIRST_S = 0.5
"""For how long the first answers wait for the store, at most; workers are started meanwhile."""
ADMIN_AFTER_S = 2.0
"""When the admin port begins to answer, at the latest; its libraries are loaded after the first answers are ready."""


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; the exit code. Faults of the start are told on standard error."""
    configure(settings.log_level)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    settings = settings.model_copy(update={"state": settings.state.absolute()})
    if settings.query_log_dir is not None and importlib.util.find_spec("pyarrow") is None:
        print("gslb: query_log_dir needs pyarrow: install gslb[log]", file=sys.stderr)
        return NO_CONFIGURATION
    try:
        locked = _in_state(statedir.lock, settings.state)
        handed = listen_fds(os.environ)
        if handed:
            opened = listen.adopt(handed, settings.workers, settings.receive_buffer)
        else:
            opened = listen.open_all(settings.listen, settings.workers, settings.receive_buffer)
        admin = listen.listen_admin(settings.admin)
        tokens = _in_state(_tokens, settings.state)
        keys = _secrets(settings)
        held = _held(settings.state)
        store = opening.open_store(settings.store, held)
    except ConfigErrors as errors:
        print(errors, file=sys.stderr)
        return NO_CONFIGURATION
    except (GslbError, OSError) as error:
        print(f"gslb: {error}", file=sys.stderr)
        return FAILURE
    try:
        return uvloop.run(_Process(settings, opened, admin, tokens, keys, store, held).run())
    finally:
        os.close(locked)


def _in_state(make: Callable[[Path], Made], state: Path) -> Made:
    """A full disk is told without a path by the system."""
    try:
        return make(state)
    except OSError as error:
        raise GslbError(f"the state directory {state} cannot be used: {error.strerror}") from None


def _tokens(state: Path) -> tuple[str, str]:
    """Of the admin port: for everything, and for reports alone."""
    return statedir.admin_token(state), statedir.report_token(state)


def _held(state: Path) -> StoreState:
    """What the store held when the server last ran; nothing where that cannot be read, which is told."""
    try:
        return kept.load(state)
    except (GslbError, OSError) as error:
        structlog.get_logger("gslb.serve").error("the state kept on disk cannot be used", reason=str(error))
        return StoreState()


def _say(stream: Any, *lines: object) -> None:
    """Nobody reads them: no reason to stop."""
    Lossy(stream).write("".join(f"{line}\n" for line in lines))


def _secrets(settings: Settings) -> tuple[bytes, ...]:
    if settings.cookie_secret_file:
        return read_secrets(settings.cookie_secret_file)
    return settings.cookie_secrets or (secrets.token_bytes(SECRET_BYTES),)


class _Process:
    """Everything put together, and its life from start to drain."""

    def __init__(
        self,
        settings: Settings,
        opened: listen.Opened,
        admin: socket.socket,
        tokens: tuple[str, str],
        keys: tuple[bytes, ...],
        store: Store,
        held: StoreState,
    ) -> None:
        self._settings = settings
        self._admin = admin
        self._tokens = tokens
        self._keys = keys
        self._notifier = Notifier(os.environ)
        self._log: Any = structlog.get_logger("gslb.serve")
        self._stop = asyncio.Event()
        self._ready = asyncio.Event()
        self._admin_stop = asyncio.Event()
        start = frames.Start(
            slot=0,
            workers=settings.workers,
            log_level=settings.log_level,
            tcp_connections=settings.tcp_connections,
            tcp_per_client=settings.tcp_per_client,
            tcp_idle_s=settings.tcp_idle_s,
            query_log=settings.logged_one_in,
        )
        self._query_log = Link.by(settings)
        self._fleet = Fleet(opened, start, self._query_log)
        self._store = store
        self._history = History(settings.state, lambda: store.clock_ms)
        self._snapshots = Snapshots(self._fleet, store, self._identity, self._steered, held.plan, self._history.keep)
        self._keeper = Keeper(store, settings.state, held, lambda: self._snapshots.plan)
        self._catalogs = Catalogs(settings.zones, settings.data, settings.state)
        self._reloader = Reloader(self._catalogs.generation, self._catalogs.build, self._take, self._remember)
        self._control = Control(
            settings,
            opened,
            admin,
            self._fleet,
            self._snapshots,
            self._reloader,
            store,
            self._keeper,
            self._history.at,
            self._query_log,
        )
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._spawn(self._hang_up()))
        stopped = asyncio.ensure_future(self._stop.wait())
        starting = asyncio.ensure_future(self._start())
        admin = asyncio.ensure_future(self._serve_admin())
        await asyncio.wait((stopped, starting), return_when=asyncio.FIRST_COMPLETED)
        code = OK
        try:
            if starting.done():
                code = starting.result()
                if code == OK:
                    await stopped
        finally:
            await _cancel(starting, stopped)
            self._notifier.stopping()
            await self._control.end()
            await _cancel(*self._tasks)
            if code == OK:
                await self._keeper.end()
            await self._store.close()
            await self._fleet.drain()
            if self._query_log:
                await self._query_log.end()
            self._admin_stop.set()
            self._ready.set()
            await admin
            self._control.close()
            self._log.info("stopped", exit_code=code)
        return code

    async def _start(self) -> int:
        """From nothing to answering; the exit code where that cannot be."""
        self._spawn(watch((self._settings.zones, self._settings.data), self._reloader.request))
        await opening.begin(self._store)
        if self._query_log:
            await self._query_log.begin(self._fleet.slots)
        await asyncio.gather(self._fleet.start(), self._first_state())
        await self._take_kept()
        await self._reloader.reload()
        if self._snapshots.catalog is None:
            why = self._catalogs.unusable
            before = f"what was applied last cannot be used: {why}" if why else "nothing was served before"
            _say(sys.stderr, *self._reloader.status.errors, f"gslb: nothing can be served, and {before}")
            return NO_CONFIGURATION
        self._ready.set()
        _say(sys.stdout, self._control.ready_line())
        self._notifier.ready(self._control.summary())
        gc.collect()
        gc.freeze()
        self._spawn(self._snapshots.run())
        self._spawn(self._reloader.run())
        self._spawn(self._keeper.run())
        self._spawn(self._count())
        if self._notifier.watchdog_s:
            self._spawn(self._breathe(self._notifier.watchdog_s))
        return OK

    async def _first_state(self) -> None:
        """Wait for the store, but not for long: what it held last is good enough to begin with."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STORE_FIRST_S):
                while not self._store.connected:  # noqa: ASYNC110 changes() is for one who follows
                    await asyncio.sleep(0.01)

    async def _count(self) -> None:
        """Look at how answers are spread, now and then."""
        while True:
            self._control.drawn.sample(time.monotonic())
            await asyncio.sleep(EVERY_S)

    def _steered(self, served: Served, cause: str) -> None:
        """Called in a thread, one call at a time."""
        states = served.steering.arrays["edge_state"]
        connected = self._store.connected
        self._history.steered(served.catalog, served.state, states, served.now_ms, cause, connected)

    async def _take_kept(self) -> None:
        """Serve what was applied last at once; what the files say now is then compared with it."""
        kept = await asyncio.to_thread(self._catalogs.applied, verify=False)
        if kept is None:
            return
        try:
            await self._snapshots.take(kept.path, kept.meta.rate_limit)
        except GslbError as error:
            self._catalogs.unusable = str(error)
            self._log.error("the catalog applied last is not served", reason=str(error))
        else:
            self._catalogs.served = kept.path
            self._reloader.adopt(kept.generation, kept.meta.warnings)

    async def _take(self, built: Built) -> None:
        path = Path(built.catalog)
        meta = read_meta(path)
        await self._snapshots.take(path, meta.rate_limit if meta else None)
        self._catalogs.served = path

    async def _remember(self, built: Built) -> None:
        await asyncio.to_thread(self._catalogs.remember, built)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks = [task for task in self._tasks if not task.done()]
        task = asyncio.ensure_future(work)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Future[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            self._log.error("a task of the control process met a fault of this program", exc_info=error)

    async def _hang_up(self) -> None:
        """SIGHUP: read files and cookie secrets again."""
        self._notifier.reloading()
        try:
            if self._settings.cookie_secret_file:
                await self._read_secrets()
            if self._snapshots.catalog is not None:
                await self._reloader.reload()
        finally:
            if not self._control.draining:
                self._notifier.ready(self._control.summary())

    async def _read_secrets(self) -> None:
        """Take cookie secrets that have changed; where that cannot be, the former stay until the next SIGHUP."""
        former = self._keys
        try:
            self._keys = await asyncio.to_thread(_secrets, self._settings)
            if self._keys != former:
                await self._snapshots.again()
        except ConfigErrors as errors:
            self._log.error("cookie secrets cannot be read, the former stay", reasons=str(errors).splitlines())
        except (GslbError, OSError) as error:
            self._keys = former
            self._log.error("cookie secrets cannot be taken, the former stay", reason=str(error))

    async def _breathe(self, interval_s: float) -> None:
        while True:
            self._notifier.alive()
            await asyncio.sleep(interval_s)

    async def _serve_admin(self) -> None:
        """The admin port: loaded once answers are ready, or the start takes long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ADMIN_AFTER_S):
                await self._ready.wait()
        if self._admin_stop.is_set():
            self._admin.close()
            return
        module = await asyncio.to_thread(_admin_module)
        await module.serve(module.build_app(self._control, *self._tokens), self._admin, self._admin_stop)

    def _identity(self) -> frames.Identity:
        settings = self._settings
        return frames.Identity(
            server_id=settings.server_id.encode(),
            version=f"gslb {__version__}".encode(),
            cookie_secrets=self._keys,
            debug_acl=tuple(map(str, settings.debug_acl)),
            keepalive_ds=min(65535, round(settings.tcp_idle_s * 10)),
        )


def _admin_module() -> Any:
    from gslb.server import admin

    return admin


async def _cancel(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
