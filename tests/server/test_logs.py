"""Log lines: JSON where a machine reads, words on a terminal, and the same for the libraries' own loggers."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from gslbtest.process import SOON_S

SAY = """
import logging, structlog
from gslb.server.log import configure
configure("{level}")
log = structlog.get_logger("x")
log.debug("small")
log.info("event", number=1, text="é")
try:
    1 / 0
except ZeroDivisionError:
    log.error("fault", exc_info=True)
logging.getLogger("uvicorn.error").error("theirs %s", "too")
logging.getLogger("asyncio").info("not theirs")
"""


def test_json_for_machines() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SAY.format(level="info")], capture_output=True, text=True, timeout=SOON_S, check=True
    )
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(line["event"], line["level"]) for line in lines] == [
        ("event", "info"),
        ("fault", "error"),
        ("theirs too", "error"),
    ]
    assert (lines[0]["number"], lines[0]["text"]) == (1, "é")
    assert "ZeroDivisionError" in lines[1]["exception"]
    assert all(line["timestamp"].endswith("Z") for line in lines)
    assert done.stdout == ""


@pytest.mark.parametrize("stderr", ["full", "unread", "closed"])
def test_a_log_that_cannot_be_written_stops_nothing(stderr: str) -> None:
    code = SAY.format(level="info") + "\nprint('done')"
    if stderr == "closed":
        line = ["sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, code]
        done = subprocess.run(line, stdout=subprocess.PIPE, timeout=SOON_S, check=False)
    else:
        ours, theirs = os.pipe()
        os.close(ours)
        with Path("/dev/full").open("wb") if stderr == "full" else os.fdopen(theirs, "wb") as target:
            done = subprocess.run(
                [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=target, timeout=SOON_S, check=False
            )
        if stderr == "full":
            os.close(theirs)
    assert (done.returncode, done.stdout) == (0, b"done\n")


def test_words_on_a_terminal() -> None:
    ours, theirs = pty.openpty()
    done = subprocess.Popen([sys.executable, "-c", SAY.format(level="debug")], stderr=theirs)
    os.close(theirs)
    said = b""
    try:
        while piece := os.read(ours, 65536):
            said += piece
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    assert done.wait(SOON_S) == 0
    text = said.decode()
    assert "small" in text
    assert "ZeroDivisionError" in text
    assert not text.startswith("{")
