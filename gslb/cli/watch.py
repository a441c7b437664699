"""``gslb status --watch``: looks at servers again and again, on a terminal in place, else line by line."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Final, Protocol, Self, TypeVar

import msgspec

from gslb.cli.frame import Frame, Seen, tables, text_lines
from gslb.errors import GslbError
from gslb.server.live import Edges, Services
from gslb.server.status import Status
from gslb.store.admin_port import detail

if TYPE_CHECKING:
    from gslb.cli.client import Server

T = TypeVar("T")

REPLY_S: Final = 2.0
"""A server that takes longer is shown as one that does not answer."""


class Show(Protocol):
    """Where frames are shown."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave everything as it was."""

    def take(self, frame: Frame) -> None:
        """Show a frame."""

    def wait(self, seconds: float) -> bool:
        """Wait for the next one; true where somebody wants no more."""


def watch(servers: Sequence[Server], interval_s: float, frames: int | None, *, as_json: bool) -> None:
    """Show a frame each ``interval_s`` seconds, ``frames`` of them, or until ``q`` or Ctrl-C."""
    show = _show(interval_s, as_json)
    with contextlib.suppress(KeyboardInterrupt), ThreadPoolExecutor(len(servers)) as pool, show:
        count, due_s = 0, time.monotonic()
        while True:
            show.take(look(servers, pool))
            count += 1
            due_s = max(due_s + interval_s, time.monotonic())
            if count == frames or show.wait(due_s - time.monotonic()):
                return


def look(servers: Sequence[Server], pool: ThreadPoolExecutor) -> Frame:
    """One moment as the servers tell it, all asked at the same time."""
    seen = tuple(pool.map(_seen, servers))
    for server, each in zip(servers, seen, strict=True):
        if each.status is not None:
            with contextlib.suppress(GslbError):  # it has no tables to give yet
                return Frame(seen, _told(server, "/v1/edges", Edges), _told(server, "/v1/services", Services))
    return Frame(seen, None, None)


def _seen(server: Server) -> Seen:
    try:
        return Seen(server.place, _told(server, "/v1/status", Status))
    except GslbError as error:
        return Seen(server.place, None, str(error))


def _told(server: Server, path: str, kind: type[T]) -> T:
    """Raises `GslbError` for anything but what was asked for."""
    reply = server.get(path)
    if reply.code != 200:
        raise GslbError(detail(reply))
    try:
        return msgspec.json.decode(reply.body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise GslbError(f"it is another version, or no gslb: {error}") from None


def _show(interval_s: float, as_json: bool) -> Show:
    if as_json or not sys.stdout.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        return _Lines(as_json)
    from gslb.cli.screen import Screen

    return Screen(interval_s)


class _Lines:
    """Frames one below the other, or as JSON a line each."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._between = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def take(self, frame: Frame) -> None:
        if self._as_json:
            text = msgspec.json.encode(frame).decode()
        else:
            text = self._between + "\n\n".join("\n".join(text_lines(each)) for each in tables(frame))
            self._between = "\n"
        print(text, flush=True)

    def wait(self, seconds: float) -> bool:
        time.sleep(max(0.0, seconds))
        return False
