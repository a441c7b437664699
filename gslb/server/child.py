"""A process of the server's own that is told what to do over a socket pair: how it is started."""

from __future__ import annotations

import asyncio
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import Callable, Sequence

from gslb.server.frames import Channel, Frame


async def child(
    module: str,
    first: Sequence[tuple[Frame, Sequence[int]]],
    on_frame: Callable[[Frame, list[int]], None],
    on_close: Callable[[], None],
) -> tuple[Channel, Process]:
    """Start ``python -m module FD``, FD being its end, with the ``first`` frames and their descriptors waiting for it.

    Raises ``OSError`` where it cannot be started; then nothing is left open.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        channel = Channel(ours, on_frame, on_close)
        try:
            for frame, fds in first:
                channel.send(frame, fds)
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", module, str(theirs.fileno()),
                pass_fds=[theirs.fileno()], stdin=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
        except BaseException:
            channel.close()
            raise
    return channel, process
