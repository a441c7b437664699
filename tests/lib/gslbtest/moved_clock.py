"""A clock of the day that a test moves, for processes it starts: a small library is compiled and preloaded."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Final

from gslbtest.process import program

_SOURCE: Final = Path(__file__).with_suffix(".c")
_PAGE: Final = 4096


class MovedClock:
    """The clock of all processes that are started with `env`: the true one, moved. Clocks that only count on, and so
    sleeps and time-outs, stay as they are."""

    def __init__(self, folder: Path) -> None:
        library = folder / "moved_clock.so"
        self._file = folder / "moved_clock"
        self._file.write_bytes(bytes(_PAGE))
        subprocess.run([program("cc"), "-O1", "-shared", "-fPIC", "-o", library, _SOURCE], check=True)
        self.env = {"LD_PRELOAD": str(library), "MOVED_CLOCK": str(self._file)}

    def show(self, time_s: float) -> None:
        """Show this time from now on, and go on."""
        self._move(time_s - time.time())

    def show_true(self) -> None:
        """Show the true time."""
        self._move(0.0)

    def _move(self, by_s: float) -> None:
        with self._file.open("r+b") as file:
            file.write(round(by_s * 1e9).to_bytes(8, "little", signed=True))
