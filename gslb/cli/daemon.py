"""What verbs that go on until they are told to end have alike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import typer

if TYPE_CHECKING:
    import asyncio

Found = TypeVar("Found")


def configured(load: Callable[[], Found]) -> Found:
    """The settings that ``load`` reads; where a file of them has faults these are told, and the verb ends with
    `NO_CONFIGURATION`."""
    from gslb.cli import NO_CONFIGURATION
    from gslb.errors import ConfigErrors

    try:
        return load()
    except ConfigErrors as errors:
        typer.echo(str(errors), err=True)
        raise typer.Exit(NO_CONFIGURATION) from None


async def until_told(serve: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Serve; the event is set by SIGTERM and by SIGINT."""
    import asyncio
    import signal

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await serve(stop)


def say(line: str) -> None:
    """Print a line at once: somebody waits for it."""
    print(line, flush=True)
