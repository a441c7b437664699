"""HLS: a playlist that goes on (RFC 8216). A master playlist is followed to its first variant."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urljoin, urlsplit

from gslb.agent.probes import ProbeError
from gslb.agent.probes.http import body_of, check_status, fetched

MAX_BYTES: Final = 4 << 20
_STREAM: Final = "#EXT-X-STREAM-INF:"
_SEQUENCE: Final = "#EXT-X-MEDIA-SEQUENCE:"
_DATE: Final = "#EXT-X-PROGRAM-DATE-TIME:"
_LENGTH: Final = "#EXTINF:"
_PART: Final = "#EXT-X-PART:"
_END: Final = "#EXT-X-ENDLIST"


@dataclass(frozen=True, slots=True)
class Playlist:
    """``variant`` is the URI of a master playlist's first variant, empty in a media playlist. ``position`` is where a
    media playlist ends: another one means that it went on. ``ends_at_s`` is the end of its last segment by its program
    dates, in seconds since 1970; None where it has none."""

    variant: str = ""
    position: tuple[int, str, int] = (0, "", 0)
    ends_at_s: float | None = None
    is_over: bool = False


def parse(text: str) -> Playlist:
    """Raises `ProbeError` where it is no playlist, or one that holds nothing."""
    lines = [line.strip() for line in text.removeprefix("\ufeff").splitlines()]
    if not lines or lines[0] != "#EXTM3U":
        raise ProbeError(f"not a playlist: it begins with {text[:20]!r}")
    sequence, segments, parts, last, length_s = 0, 0, 0, "", 0.0
    ends_at: datetime | None = None
    is_variant = False
    for line in lines:
        if line.startswith(_STREAM):
            is_variant = True
        elif line.startswith(_SEQUENCE):
            sequence = int(_matched(r"\d{1,19}", line, _SEQUENCE))
        elif line.startswith(_DATE):
            ends_at = _date(line)
        elif line.startswith(_LENGTH):
            length_s = float(_matched(r"\d{1,9}(?:\.\d{0,30})?(?=\s*(?:,|$))", line, _LENGTH))
        elif line.startswith(_PART):
            parts += 1
        elif line and not line.startswith("#"):
            if is_variant:
                return Playlist(variant=line)
            segments, parts, last = segments + 1, 0, line
            ends_at = ends_at + timedelta(seconds=length_s) if ends_at is not None else None
    if not segments and not parts:
        raise ProbeError("the playlist holds no segment")
    return Playlist(
        position=(sequence + segments, last, parts),
        ends_at_s=ends_at.timestamp() if ends_at is not None else None,
        is_over=_END in lines,
    )


class Check:
    """Fetches the playlist, and remembers where it ended and since when.

    It is fresh while it went on within ``max_age_s``. At first sight it is as old as its program dates say, or fresh
    where it has none. ``wall_s`` and ``monotonic_s`` tell the time.
    """

    def __init__(
        self,
        url: str,
        max_age_s: float,
        *,
        family: int = socket.AF_UNSPEC,
        host: str = "",
        verify: bool = True,
        wall_s: Callable[[], float] = time.time,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._max_age_s = max_age_s
        self._family, self._host, self._verify = family, host, verify
        self._wall_s, self._monotonic_s = wall_s, monotonic_s
        self._position: tuple[int, str, int] | None = None
        self._went_on_s = 0.0

    async def __call__(self) -> None:
        """Raises `ProbeError` where there is no playlist, or one that stands still."""
        found = parse(await self._text(self._url))
        if found.variant:
            found = parse(await self._text(self._joined(found.variant)))
        if found.variant:
            raise ProbeError("the variant of the master playlist is a master playlist")
        self.judge(found)

    def judge(self, found: Playlist) -> None:
        """What the playlist now says, after what it said before. Raises `ProbeError`."""
        if found.is_over:
            raise ProbeError("the playlist has ended")
        now_s = self._monotonic_s()
        if self._position is None:
            self._went_on_s = now_s
            if found.ends_at_s is not None:
                self._went_on_s -= max(self._wall_s() - found.ends_at_s, 0.0)
        elif found.position != self._position:
            self._went_on_s = now_s
        self._position = found.position
        if now_s - self._went_on_s > self._max_age_s:
            raise ProbeError(f"the playlist stands still for {now_s - self._went_on_s:.0f} s")

    async def _text(self, url: str) -> str:
        async with fetched(url, family=self._family, host=self._host, verify=self._verify) as response:
            check_status(response)
            body = await body_of(response, MAX_BYTES + 1)
        if len(body) > MAX_BYTES:
            raise ProbeError(f"a playlist of more than {MAX_BYTES} bytes")
        return body.decode("utf-8", "replace")

    def _joined(self, uri: str) -> str:
        """The variant's URL at the place that is probed: another host's health is not this edge's."""
        own = urlsplit(self._url)
        try:
            there = urlsplit(urljoin(f"{own.scheme}://{self._host or own.netloc}{own.path}", uri))
        except ValueError:
            there = urlsplit("")
        if there.netloc != (self._host or own.netloc) or there.scheme not in ("http", "https"):
            raise ProbeError(f"the variant {uri[:80]!r} is on another host")
        return own._replace(path=there.path, query=there.query).geturl()


def _matched(pattern: str, line: str, tag: str) -> str:
    found = re.match(pattern, line.removeprefix(tag).strip(), re.ASCII)
    if found is None:
        raise ProbeError(f"not a playlist: {line[:80]!r}")
    return found[0]


def _date(line: str) -> datetime:
    try:
        found = datetime.fromisoformat(line.removeprefix(_DATE).strip())
    except ValueError:
        raise ProbeError(f"not a playlist: {line[:80]!r}") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
