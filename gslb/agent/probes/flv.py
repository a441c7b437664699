"""HTTP-FLV: the header of the stream and its first tag arrive, and are what they should be.

Adobe Flash Video File Format Specification 10.1, annex E: E.2 the header, E.3 the body, E.4.1 the tag.
"""

from __future__ import annotations

import socket
from typing import Final

from gslb.agent.probes import ProbeError
from gslb.agent.probes.http import check_status, fetched

HEADER: Final = 9
TAG_HEADER: Final = 11
LENGTH: Final = 4
"""Bytes of the length of the tag before, which follows the header and every tag."""
MAX_HEADER: Final = 1024
_CHUNK: Final = 1 << 14
_TYPES: Final = {8: "audio", 9: "video", 18: "script"}


class FirstTag:
    """Reads a stream until its first tag is over. Fed byte by byte or at once, it says the same."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._passed = 0  # bytes of the tag's data that were let go
        self.kind = ""
        """audio, video or script, once the tag's header is there."""

    def feed(self, data: bytes) -> bool:
        """Take bytes in; whether the first tag is complete. Raises `ProbeError` where they are no FLV."""
        self._held += data
        if self._held[:4] != b"FLV\x01"[: len(self._held)]:
            raise ProbeError(f"not FLV: it begins with {bytes(self._held[:8])!r}")
        if len(self._held) < HEADER:
            return False
        begin = self._header()
        if len(self._held) < begin + LENGTH + TAG_HEADER:
            return False
        if any(self._held[begin : begin + LENGTH]):
            raise ProbeError("not FLV: a tag before the first one")
        begin += LENGTH
        size = self._tag(self._held[begin : begin + TAG_HEADER])
        end = begin + TAG_HEADER + size
        if len(self._held) < end + LENGTH:
            return False
        if int.from_bytes(self._held[end : end + LENGTH], "big") != TAG_HEADER + size:
            raise ProbeError("not FLV: the length after the first tag is not the tag's")
        return True

    def _header(self) -> int:
        flags, begin = self._held[4], int.from_bytes(self._held[5:HEADER], "big")
        if flags & ~0x05 or not HEADER <= begin <= MAX_HEADER:
            raise ProbeError("not FLV: the header is not one of version 1")
        return begin

    def _tag(self, header: bytes | bytearray) -> int:
        """The size of the tag's data."""
        kind = header[0] & 0x1F
        if kind not in _TYPES or header[0] & 0xC0 or any(header[8:]):
            raise ProbeError("not FLV: the first tag is neither audio, video nor script")
        self.kind = _TYPES[kind]
        return int.from_bytes(header[1:4], "big")


async def check(url: str, *, family: int = socket.AF_UNSPEC, host: str = "", verify: bool = True) -> None:
    """Header and first tag of a stream arrive. Raises `ProbeError`."""
    reading = FirstTag()
    async with fetched(url, family=family, host=host, verify=verify) as response:
        check_status(response)
        while part := await response.content.read(_CHUNK):
            if reading.feed(part):
                return
    raise ProbeError("the stream ended before its first tag was over")
