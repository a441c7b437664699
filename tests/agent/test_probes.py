"""Each probe against a good, a slow, a wrong and a dead edge: nginx, and a small server of bytes."""

from __future__ import annotations

import asyncio
import functools
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gslbtest.edge import (
    FLV_HEADER,
    Handler,
    Nginx,
    answering,
    closing,
    dribble,
    flv_tag,
    http,
    nginx,
    playlist,
    rtmp,
    silent,
)
from gslbtest.process import SOON_S, free_port

from gslb.agent.config import load
from gslb.agent.probes import Check, ProbeError, hls, run
from gslb.agent.probes import flv as flv_probe
from gslb.agent.probes import http as http_probe
from gslb.agent.probes.making import made

"""For what is to succeed: generous, so that a busy machine fails no test."""
LATE_S = 0.3
"""For what never answers in time."""


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with nginx(tmp_path_factory.mktemp("nginx")) as found:
        (found.root / "live.flv").write_bytes(FLV_HEADER + flv_tag() + flv_tag(9, b"y" * 5000))
        (found.root / "broken.flv").write_bytes(b"<html>" * 100)
        (found.root / "short.flv").write_bytes((FLV_HEADER + flv_tag())[:-5])
        (found.root / "empty.flv").write_bytes(b"")
        (found.root / "live.m3u8").write_text(playlist(7))
        (found.root / "over.m3u8").write_text(playlist(7, end=True))
        (found.root / "old.m3u8").write_text(playlist(7, date="2020-01-01T00:00:00Z"))
        (found.root / "master.m3u8").write_text("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlive.m3u8\n")
        yield found


async def outcome(tmp_path: Path, probe: str, timeout_s: float = SOON_S) -> str:
    """What a probe of the file says, its every target once: empty where all are well."""
    path = tmp_path / "agent.yaml"
    path.write_text(f"edge: e\nstore: redis://h\nprobes: [{{{probe}}}]\n")
    found = load(path, None, None, {}).probes[0]
    reasons = [await run(made(found, target), timeout_s) for target in found.targets]
    return "; ".join(reason for reason in reasons if reason)


NGINX = [
    ("http: 'http://127.0.0.1:HTTP/health'", ""),
    ("http: 'http://[::1]:HTTP/health'", ""),
    ("http: 'http://localhost:HTTP/health', family: 4", ""),
    ("http: 'http://127.0.0.1:HTTP/health', status: 204", "status 200"),
    ("http: 'http://127.0.0.1:HTTP/health', body: all is well at 127.0.0.1", ""),
    ("http: 'http://127.0.0.1:HTTP/health', body: well at live.example, host: live.example", ""),
    ("http: 'http://127.0.0.1:HTTP/health', body: on fire", '"on fire" is not in the body'),
    ("http: 'http://127.0.0.1:HTTP/broken'", "status 503"),
    ("http: 'http://127.0.0.1:HTTP/broken', status: [200, 503], body: 'no'", ""),
    ("http: 'http://127.0.0.1:HTTP/away'", "status 302"),
    ("http: 'https://127.0.0.1:HTTPS/health', verify: no", ""),
    ("http: 'https://127.0.0.1:HTTPS/health', verify: no, host: live.example, body: at live.example", ""),
    ("flv: 'http://127.0.0.1:HTTP/live.flv'", ""),
    ("flv: 'http://[::1]:HTTP/live.flv?start=0'", ""),
    ("flv: 'https://127.0.0.1:HTTPS/live.flv', verify: no", ""),
    ("flv: 'http://127.0.0.1:HTTP/other.flv'", "status 404"),
    ("flv: 'http://127.0.0.1:HTTP/broken.flv'", "not FLV: it begins with b'<html><h'"),
    ("flv: 'http://127.0.0.1:HTTP/short.flv'", "the stream ended before its first tag was over"),
    ("flv: 'http://127.0.0.1:HTTP/empty.flv'", "the stream ended before its first tag was over"),
    ("hls: 'http://127.0.0.1:HTTP/live.m3u8'", ""),
    ("hls: 'http://[::1]:HTTP/master.m3u8'", ""),
    ("hls: 'http://127.0.0.1:HTTP/master.m3u8', host: live.example", ""),
    ("hls: 'http://127.0.0.1:HTTP/over.m3u8'", "the playlist has ended"),
    ("hls: 'http://127.0.0.1:HTTP/other.m3u8'", "status 404"),
    ("hls: 'http://127.0.0.1:HTTP/health'", "not a playlist: it begins with 'all is well at 127.0'"),
    ("rtmp: '127.0.0.1:RTMP'", ""),
    ("rtmp: '[::1]:RTMP'", ""),
    ("rtmp: 'localhost:RTMP', family: 4", ""),
    ("rtmp: '127.0.0.1:HTTP'", "not RTMP: its version is 72"),
    ("tcp: '127.0.0.1:HTTP'", ""),
    ("tcp: '[::1]:RTMP'", ""),
    ("tcp: 'localhost:HTTP', family: 4", ""),
]


@pytest.mark.parametrize(("probe", "reason"), NGINX)
async def test_nginx(edge: Nginx, tmp_path: Path, probe: str, reason: str) -> None:
    for name, port in (("HTTPS", edge.https), ("HTTP", edge.http), ("RTMP", edge.rtmp)):
        probe = probe.replace(f":{name}", f":{port}")
    assert await outcome(tmp_path, probe) == reason


async def test_a_certificate_that_nobody_vouches_for(edge: Nginx, tmp_path: Path) -> None:
    said = await outcome(tmp_path, f"http: 'https://127.0.0.1:{edge.https}/health', host: live.example")
    assert said.startswith("certificate: ")


async def test_playlists_that_stand_still(edge: Nginx, tmp_path: Path) -> None:
    said = await outcome(tmp_path, f"hls: 'http://127.0.0.1:{edge.http}/old.m3u8'")
    assert said.startswith("the playlist stands still for ")


HTTP_OK = http(b"ok")
STREAM = FLV_HEADER + flv_tag()
MASTER = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n"
ANOTHER = "the variant 'http://example.net/a.m3u8' is on another host"
BYTES: list[tuple[str, Handler, str]] = [
    # good
    ("http: 'http://HERE/'", HTTP_OK, ""),
    ("http: 'http://HERE/', body: ok", http(b"ok", pause_s=0.01), ""),
    ("http: 'http://HERE/', body: ok", http(b"ok" + b"." * (1 << 21)), ""),
    ("flv: 'http://HERE/'", http(STREAM, length=1 << 30), ""),
    ("flv: 'http://HERE/'", http(STREAM, pause_s=0.001), ""),
    ("hls: 'http://HERE/a/b'", http(playlist(1).replace("\n", "\r\n").encode()), ""),
    ("rtmp: HERE", rtmp(), ""),
    ("tcp: HERE", silent, ""),
    # wrong
    ("http: 'http://HERE/', body: ok", http(b"." * (1 << 20) + b"ok"), '"ok" is not in the body'),
    ("http: 'http://HERE/', body: ok", http(b"o", length=2), "the body ended early"),
    ("http: 'http://HERE/'", dribble(b"SSH-2.0-OpenSSH\r\n"), "not HTTP: Bad status line"),
    ("flv: 'http://HERE/'", http(STREAM, "404 Not Found"), "status 404"),
    ("flv: 'http://HERE/'", http(STREAM[:-1], length=1 << 30), "the body ended early"),
    (
        "hls: 'http://HERE/'",
        http((MASTER + "b.m3u8\n").encode()),
        "the variant of the master playlist is a master playlist",
    ),
    ("hls: 'http://HERE/'", http((MASTER + "http://example.net/a.m3u8\n").encode()), ANOTHER),
    ("hls: 'http://HERE/'", http((MASTER + "http://[/\n").encode()), "the variant 'http://[/' is on another host"),
    (
        "hls: 'http://HERE/'",
        http(playlist(1).encode() + b"#" * hls.MAX_BYTES),
        f"a playlist of more than {hls.MAX_BYTES} bytes",
    ),
    ("rtmp: HERE", rtmp(version=6), "not RTMP: its version is 6"),
    (
        "rtmp: HERE",
        rtmp(echo=lambda theirs: theirs[:-1] + bytes([theirs[-1] ^ 1])),
        "not RTMP: what comes back is not what was sent",
    ),
    # gone within
    ("http: 'http://HERE/'", closing, "the connection was closed"),
    ("flv: 'http://HERE/'", closing, "the connection was closed"),
    ("hls: 'http://HERE/'", closing, "the connection was closed"),
    ("rtmp: HERE", closing, "the connection was closed"),
    ("rtmp: HERE", dribble(b"\x03" + bytes(1536 + 1535)), "the connection was closed"),
]


@pytest.mark.parametrize(("probe", "handler", "reason"), BYTES)
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_bytes(tmp_path: Path, probe: str, handler: Handler, reason: str, host: str) -> None:
    async with answering(handler, host) as port:
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        probe = probe.replace("HERE", place if "'" in probe else f"'{place}'")
        assert (await outcome(tmp_path, probe)).startswith(reason)


KINDS = ["http: 'http://HERE/'", "flv: 'http://HERE/'", "hls: 'http://HERE/'", "rtmp: 'HERE'", "tcp: 'HERE'"]
SLOW: list[tuple[str, Handler]] = [
    *[(kind, silent) for kind in KINDS[:-1]],
    ("http: 'http://HERE/', body: ok", http(b"...................ok", pause_s=0.1)),
    ("flv: 'http://HERE/'", http(STREAM, pause_s=0.1)),
    ("flv: 'http://HERE/'", http(STREAM[:30], length=1 << 30, pause_s=0.001)),
    ("hls: 'http://HERE/'", http(playlist(1).encode(), pause_s=0.1)),
    ("rtmp: 'HERE'", dribble(b"\x03" + bytes(1536), pause_s=0.1)),
]


@pytest.mark.parametrize(("probe", "handler"), SLOW)
async def test_slow(tmp_path: Path, probe: str, handler: Handler) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await handler(reader, writer)
        await silent(reader, writer)

    async with answering(cut) as port:
        said = await outcome(tmp_path, probe.replace("HERE", f"127.0.0.1:{port}"), LATE_S)
    assert said == f"no answer within {LATE_S:g} s"


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
@pytest.mark.parametrize("probe", KINDS)
async def test_dead(tmp_path: Path, probe: str, host: str) -> None:
    port = free_port(host.strip("[]"))
    assert await outcome(tmp_path, probe.replace("HERE", f"{host}:{port}")) == "connection refused"


async def test_one_family_is_dead(tmp_path: Path) -> None:
    async with answering(HTTP_OK) as port:
        for kind in ("http: 'http://localhost:{}/'", "tcp: 'localhost:{}'"):
            probe = kind.format(port)
            assert await outcome(tmp_path, f"{probe}, family: 4") == ""
            # Where the name has an address of IPv6 at all, nobody listens there.
            for family in ("6", "both"):
                said = await outcome(tmp_path, f"{probe}, family: {family}")
                assert said in (
                    "connection refused",
                    "name or service not known",
                    "no address associated with hostname",
                )


async def test_a_name_that_nobody_knows(tmp_path: Path) -> None:
    for probe in ("tcp: 'a.invalid:1'", "http: 'http://a.invalid/'"):
        assert "name" in await outcome(tmp_path, f"{probe}, family: 4")


async def test_a_fault_of_ours_is_an_outcome() -> None:
    async def check() -> None:
        raise KeyError("x")

    assert await run(check, SOON_S) == "KeyError: 'x'"


async def test_ten_probes_leave_nothing_open(tmp_path: Path) -> None:
    closed: asyncio.Queue[None] = asyncio.Queue()

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await http(STREAM, length=1 << 30)(reader, writer)
        await reader.read()
        closed.put_nowait(None)

    async with answering(endless) as port:
        for _ in range(10):
            assert await outcome(tmp_path, f"flv: 'http://127.0.0.1:{port}/'") == ""
            async with asyncio.timeout(SOON_S):
                await closed.get()


FLV_FAULTS = [
    (b"FLV\x02", "not FLV: it begins with "),
    (b"FLV\x01\xff\x00\x00\x00\x09", "not FLV: the header is not one of version 1"),
    (b"FLV\x01\x05\x00\x00\x00\x08", "not FLV: the header is not one of version 1"),
    (b"FLV\x01\x05\x00\x01\x00\x09", "not FLV: the header is not one of version 1"),
    (FLV_HEADER[:-1] + b"\x01" + flv_tag(), "not FLV: a tag before the first one"),
    (FLV_HEADER + flv_tag(1), "not FLV: the first tag is neither audio, video nor script"),
    (FLV_HEADER + flv_tag(0x49), "not FLV: the first tag is neither audio, video nor script"),
    (FLV_HEADER + flv_tag(length=30), "not FLV: the length after the first tag is not the tag's"),
]


def fed(reading: flv_probe.FirstTag, data: bytes, step: int) -> bool:
    return any(reading.feed(data[at : at + step]) for at in range(0, len(data), step))


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
@pytest.mark.parametrize(("data", "reason"), FLV_FAULTS)
def test_no_flv(data: bytes, reason: str, step: int) -> None:
    with pytest.raises(ProbeError, match=f"^{reason}"):
        fed(flv_probe.FirstTag(), data, step)


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
@pytest.mark.parametrize(("kind", "name"), [(8, "audio"), (9, "video"), (18, "script"), (0x29, "video")])
def test_flv(kind: int, name: str, step: int) -> None:
    reading = flv_probe.FirstTag()
    tag = flv_tag(kind, b"z" * 70_000)
    assert not fed(reading, FLV_HEADER + tag[:-1], step)
    assert reading.kind == name
    assert reading.feed(tag[-1:])


PLAYLISTS = [
    ("", "not a playlist: it begins with ''"),
    ("#EXTM3U", "the playlist holds no segment"),
    ("#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:x\na.ts", "not a playlist: '#EXT-X-MEDIA-SEQUENCE:x'"),
    ("#EXTM3U\n#EXTINF:two,\na.ts", "not a playlist: '#EXTINF:two,'"),
    ("#EXTM3U\n#EXT-X-PROGRAM-DATE-TIME:today\na.ts", "not a playlist: '#EXT-X-PROGRAM-DATE-TIME:today'"),
]


@pytest.mark.parametrize(("text", "reason"), PLAYLISTS)
def test_no_playlist(text: str, reason: str) -> None:
    with pytest.raises(ProbeError) as raised:
        hls.parse(text)
    assert str(raised.value) == reason


def test_playlists() -> None:
    found = hls.parse(playlist(7, date="2026-01-01T00:00:00.500+01:00"))
    assert found.position == (10, "9.ts", 0)
    assert found.ends_at_s == 1767222000.5 + 3 * 2
    assert hls.parse(playlist(7, date="1970-01-01T00:00:00")).ends_at_s == 6.0
    low_latency = playlist(7) + '#EXT-X-PART:DURATION=0.3,URI="10.1.ts"\n'
    assert hls.parse(low_latency).position == (10, "9.ts", 1)
    assert hls.parse("\ufeff" + MASTER + "a/b.m3u8").variant == "a/b.m3u8"


LENGTHS = [("4", 4.0), ("4.", 4.0), ("4.004000000000000,", 4.004), ("3.9999999999999996, a title", 4.0), ("2 ,", 2.0)]


@pytest.mark.parametrize(("text", "seconds"), LENGTHS)
def test_lengths_of_segments(text: str, seconds: float) -> None:
    found = hls.parse(f"#EXTM3U\n#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:00Z\n#EXTINF:{text}\na.ts\n")
    assert found.ends_at_s == pytest.approx(seconds, abs=1e-6)


DATE = "1970-01-01T00:16:34Z"  # 994 s, so that three segments end at 1000 s
STEPS = [
    # (seconds, playlist) one after another: whether it is fresh. At most 5 s old, the clock says 1000 s at first.
    ("goes on", [(0, playlist(1), True), (4, playlist(2), True), (8, playlist(3), True)]),
    (
        "stands still",
        [(0, playlist(1), True), (5, playlist(1), True), (5.1, playlist(1), False), (6, playlist(2), True)],
    ),
    ("begins anew", [(0, playlist(900), True), (4, playlist(1), True), (8, playlist(2), True)]),
    ("another segment of the same number", [(0, playlist(1), True), (6, playlist(1, first=99), True)]),
    ("fresh by its date", [(0, playlist(1, date=DATE), True), (5.1, playlist(1, date=DATE), False)]),
    ("dated ahead", [(-30, playlist(1, date=DATE), True), (-24, playlist(1, date=DATE), False)]),
    ("old by its date", [(6, playlist(1, date=DATE), False), (7, playlist(2, date=DATE), True)]),
]


@pytest.mark.parametrize(("title", "steps"), STEPS, ids=[title for title, _ in STEPS])
def test_freshness(title: str, steps: list[tuple[float, str, bool]]) -> None:
    now_s = 0.0

    def clock(offset_s: float) -> Callable[[], float]:
        return lambda: now_s + offset_s

    check = hls.Check("http://h/", 5.0, wall_s=clock(1000), monotonic_s=clock(50_000))
    for now_s, text, is_fresh in steps:
        said = ""
        try:
            check.judge(hls.parse(text))
        except ProbeError as error:
            said = str(error)
        assert said.startswith("" if is_fresh else "the playlist stands still for "), now_s
        assert is_fresh == (not said), now_s


async def test_a_playlist_by_nginx_goes_on(edge: Nginx) -> None:
    path = edge.root / "moving.m3u8"
    check: Check = hls.Check(f"http://127.0.0.1:{edge.http}/moving.m3u8", 0.4)
    said = []
    for sequence in (1, 1, 2):
        path.write_text(playlist(sequence))
        said.append(await run(check, SOON_S))
        await asyncio.sleep(0.5)
    assert (said[0], said[2]) == ("", "")
    assert re.fullmatch(r"the playlist stands still for \d+ s", said[1])


async def test_http_is_not_unpacked(tmp_path: Path) -> None:
    handler = http(b"\x1f\x8b ok", headers="Content-Encoding: gzip\r\n")
    async with answering(handler) as port:
        assert await outcome(tmp_path, f"http: 'http://127.0.0.1:{port}/', body: ok") == ""


async def test_addresses_of_a_family_only() -> None:
    async with answering(HTTP_OK) as port:
        ask = functools.partial(http_probe.check, f"http://127.0.0.1:{port}/")
        assert await run(functools.partial(ask, family=socket.AF_INET), SOON_S) == ""


async def test_nginx_that_waits_for_more(edge: Nginx, tmp_path: Path) -> None:
    said = await outcome(tmp_path, f"http: 'http://127.0.0.1:{edge.rtmp}/'", LATE_S)
    assert said == f"no answer within {LATE_S:g} s"
