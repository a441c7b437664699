"""The command line: `gslb VERB`. Exit codes: 0 ok, 1 errors found or failure, 2 usage, 78 nothing to serve at start."""

from __future__ import annotations

import io
import os
import sys

from gslb.errors import GslbError, UsageError

FAILURE = 1
USAGE = 2
NO_CONFIGURATION = 78


def main() -> None:
    """The console script. What is heavy is imported by the verb that needs it."""
    from gslb.cli.app import app

    _prepare_output()
    try:
        app()
    except GslbError as error:
        for line in str(error).splitlines():
            print(f"gslb: {line}", file=sys.stderr)
        sys.exit(USAGE if isinstance(error, UsageError) else FAILURE)


def _prepare_output() -> None:
    """What was done is done: a verb does not fail at telling of it to a terminal that lacks a letter, or to nobody."""
    if sys.stdout is None:  # closed by who called
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123  # until the process ends
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
