"""The tables of `gslb.cli.frame` on a terminal, drawn in place; ``q`` ends it."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import time
import tty
from typing import Any, Final, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table as Drawn
from rich.text import Text

from gslb.cli.frame import GAP, Frame, Table, fitted, tables

_ENDS: Final = (b"q", b"Q", b"\x04")  # the last is Ctrl-D


class Screen:
    """The whole terminal, given back as it was."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._console = Console()
        self._live = Live(console=self._console, screen=True, auto_refresh=False)
        self._keys = sys.stdin.fileno() if sys.stdin.isatty() else None
        self._former: list[Any] = []

    def __enter__(self) -> Self:
        if self._keys is not None:
            self._former = termios.tcgetattr(self._keys)
            tty.setcbreak(self._keys)
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()
        if self._former and self._keys is not None:
            termios.tcsetattr(self._keys, termios.TCSADRAIN, self._former)

    def take(self, frame: Frame) -> None:
        """Draw it; what has no room is left out, least what is in trouble."""
        width, height = self._console.size
        drawn = [_drawn(fitted(each, width)) for each in tables(frame, height - 2)]
        self._live.update(Group(Text(self._title(), style="dim"), *drawn), refresh=True)

    def wait(self, seconds: float) -> bool:
        """True once ``q`` is pressed."""
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0:
            if self._keys is None:
                time.sleep(left_s)
            elif select.select([self._keys], [], [], left_s)[0]:
                pressed = b""
                with contextlib.suppress(OSError):  # the terminal is gone: nobody looks any more
                    pressed = os.read(self._keys, 1024)
                if not pressed or any(key in pressed for key in _ENDS):
                    return True
        return False

    def _title(self) -> str:
        return f"gslb  {time.strftime('%H:%M:%S UTC', time.gmtime())}  every {self._interval_s:g} s  q ends"


def _drawn(table: Table) -> Group:
    drawn = Drawn(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="bold")
    for at, head in enumerate(table.heads):
        drawn.add_column(head, justify="right" if at in table.right else "left", no_wrap=True, overflow="ellipsis")
    for row in table.rows:
        drawn.add_row(*(Text(cell.text, style=cell.style) for cell in row))
    return Group(Text(""), drawn, *([Text(table.left_out, style="dim")] if table.left_out else []))
