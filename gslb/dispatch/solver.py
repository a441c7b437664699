"""The solver in a process of its own, which is killed where it takes too long: it has no time limit itself."""

from __future__ import annotations

import contextlib
import importlib.util
import multiprocessing
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Final

from gslb.errors import GslbError
from gslb.plan.round import Made, Round, plan_round

START_S: Final = 60.0
"""How long the process may take until it can be asked: it loads the solver's library first."""
END_S: Final = 2.0
"""How long it may take to end by itself."""
_GONE_S: Final = 60.0  # once it is killed, or has broken off
NEEDED: Final = ("ortools", "numpy")

Plan = Callable[[Round, Callable[[], float]], Made]


class SolverError(GslbError):
    """No plan came out; the text says why."""


def check_installed() -> None:
    """Raises `GslbError` where what the solver needs is not installed."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise GslbError(f"{', '.join(missing)} cannot be imported: install gslb[dispatch]")


class Solver:
    """A process that makes plans, one at a time; it is started when first needed, and again after it was killed.

    ``plan`` is what it does, importable there. `made` is called by one thread at a time; `close` by any.
    """

    def __init__(self, plan: Plan = plan_round) -> None:
        self._plan = plan
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._lock = threading.Lock()  # held while the process works on a plan

    def made(self, given: Round, limit_s: float) -> Made:
        """The plan of a round. Raises `SolverError` where there is none after ``limit_s`` seconds."""
        with self._lock:
            pipe = self._started()
            try:
                pipe.send(given)
                if not pipe.poll(limit_s):
                    self._kill()
                    raise SolverError(f"the solver took more than {limit_s:g} s and was stopped")
                found = pipe.recv()
            except (EOFError, OSError):
                code = self._ended()
                raise SolverError(f"the solver's process ended with {code}") from None
        if isinstance(found, Made):
            return found
        raise SolverError(str(found))

    def close(self) -> None:
        """End it, if it runs; where it works on a plan it is killed, and `made` raises."""
        while not self._lock.acquire(timeout=0.05):
            if (process := self._process) is not None:
                process.kill()
        try:
            if self._pipe is not None:
                self._pipe.close()  # which tells it to end
            if self._process is not None:
                self._process.join(END_S)
            self._kill()
        finally:
            self._lock.release()

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
        self._ended()

    def _started(self) -> Connection:
        if self._pipe is not None and self._process is not None and self._process.is_alive():
            return self._pipe
        self._ended()
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, self._plan), name="solver", daemon=True)
        process.start()
        self._process = process
        theirs.close()
        try:
            if self._pipe.poll(START_S):
                self._pipe.recv()
                return self._pipe
        except (EOFError, OSError):
            raise SolverError(f"the solver's process ended with {self._ended()} as it started") from None
        self._kill()
        raise SolverError(f"the solver's process did not start in {START_S:g} s")

    def _ended(self) -> int | None:
        code = None
        if self._process is not None:
            self._process.join(_GONE_S)
            code = self._process.exitcode
        if self._pipe is not None:
            self._pipe.close()
        self._process = self._pipe = None
        return code


def _serve(pipe: Connection, plan: Plan) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):  # who started it ends it
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(EOFError, OSError):
        pipe.send("ready")
        while True:
            given = pipe.recv()
            try:
                found: Made | str = plan(given, time.process_time)
            except Exception as error:
                found = f"the solver failed: {type(error).__name__}: {error}"
            pipe.send(found)
