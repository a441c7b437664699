"""The command line: `gslb VERB`. Exit codes: 0 ok, 1 errors found or failure, 2 usage, 78 nothing to serve at start."""

from __future__ import annotations

import io
import os
import sys

from gslb.errors import GslbError

FAILURE = 1
USAGE = 2
NO_CONFIGURATION = 78


def main() -> None:
    """The console script. What is heavy is imported by the verb that needs it."""
    from gslb.cli.app import app

    _prepare_output()
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except GslbError as error:
        for line in str(error).splitlines():
            print(f"gslb: {line}", file=sys.stderr)
        sys.exit(USAGE if type(error).__name__ == "UsageError" else FAILURE)
    except BrokenPipeError:
        _give_up_output()
        sys.exit(FAILURE)
    except OSError as error:
        print(f"gslb: {f'{error.filename}: ' if error.filename else ''}{error.strerror or error}", file=sys.stderr)
        _give_up_output()
        sys.exit(FAILURE)


def _prepare_output() -> None:
    """Whatever standard output is, what was done is done: a verb does not fail at telling of it."""
    if sys.stdout is None:  # closed by who called
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # open until the process ends
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that knows no ü shows a question mark


def _give_up_output() -> None:
    """What is still to be written is let go: else the interpreter tries once more at its end, and complains."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
