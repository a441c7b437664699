"""RTMP: the handshake, section 5.2 of Adobe's specification of RTMP 1.0."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Final

from gslb.agent.probes import ProbeError
from gslb.agent.probes.tcp import connected

VERSION: Final = 3
PACKET: Final = 1536
_STAMPS: Final = 8  # two times before the random bytes


async def check(
    host: str, port: int, *, family: int = socket.AF_UNSPEC, random: Callable[[int], bytes] = os.urandom
) -> None:
    """C0 and C1 out, S0 and S1 in, C2 out, S2 in: of version 3, and S2 the echo of C1. Raises `ProbeError`."""
    sent = bytes(_STAMPS) + random(PACKET - _STAMPS)
    async with connected(host, port, family) as (reader, writer):
        writer.write(bytes([VERSION]) + sent)
        version = (await reader.readexactly(1))[0]
        if version != VERSION:
            raise ProbeError(f"not RTMP: its version is {version}")
        theirs = await reader.readexactly(PACKET)
        writer.write(theirs[:4] + bytes(4) + theirs[_STAMPS:])
        echo = await reader.readexactly(PACKET)
        if echo[_STAMPS:] != sent[_STAMPS:]:
            raise ProbeError("not RTMP: what comes back is not what was sent")
