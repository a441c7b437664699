"""Verbs of the command line, run in the process of the test."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest
import structlog
import typer.main

from gslb.cli import main

_commands = functools.cache(typer.main.get_command)
"""Of all verbs: to make them anew takes nine tenths of the time of a verb that asks something."""


class Done(NamedTuple):
    """What a verb came to."""

    code: int
    out: str
    err: str


Run = Callable[..., Done]


def typed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs ``gslb`` with these arguments."""
    monkeypatch.setattr(typer.main, "get_command", _commands)

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["gslb", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            code: object = 0
        except SystemExit as end:
            code = end.code or 0
        finally:
            structlog.reset_defaults()  # some verbs have it write to this test's standard error
        assert isinstance(code, int)
        return Done(code, *capsys.readouterr())

    return run
