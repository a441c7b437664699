"""Measure's own port: who may send what, how much and how often; what was taken is on disk once it is said to be."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import io
import json
import os
import socket
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from gslbtest.process import SOON_S

from gslb.errors import ConfigErrors
from gslb.measure import delivery, port, receiving, tokens
from gslb.measure.receiving import Receiver
from gslb.measure.tokens import Tokens

NOW_S = 1_795_932_000  # 2026-11-29T06:00:00Z
HEADER = "minute,edge,service,client_prefix,bytes,sessions_started"
GOOD = f"{HEADER}\n2026-11-29T05:58:00Z,fra-1,cam.pull.live.example.,198.51.100.0/24,4500000000,7\n"
FRA, ANY = "fra-token-0123456789", "any-token-0123456789"
CSV, PARQUET = "text/csv", "application/vnd.apache.parquet"
BAD_ROW = "2026-11-29T05:58:00Z,fra-1,cam.pull.live.example.,198.51.100.1/24,4500000000,7\n"
BITS = "client_prefix: '198.51.100.1/24' has bits set past its length; the prefix is 198.51.100.0/24"


@dataclass
class Clock:
    """A time that tests move."""

    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Port:
    """A port that is served, and how to send to it."""

    url: str
    folder: Path
    receiver: Receiver
    session: aiohttp.ClientSession
    clock: Clock = field(default_factory=Clock)

    async def post(self, body: Any, token: str | None = FRA, kind: str = CSV, **headers: str) -> tuple[int, Any, Any]:
        """Code, reply and headers."""
        told = {"Content-Type": kind} | ({"Authorization": f"Bearer {token}"} if token else {}) | headers
        async with self.session.post(f"{self.url}/v1/delivery", data=body, headers=told) as reply:
            return reply.status, json.loads(await reply.read()), reply.headers

    @property
    def files(self) -> list[str]:
        """What has landed."""
        return sorted(path.name for path in self.folder.iterdir()) if self.folder.exists() else []


@contextlib.asynccontextmanager
async def served(folder: Path, *, body_s: float = 30.0, ready: str = "") -> AsyncIterator[Port]:
    (folder / "tokens").write_text(f"# who may send\nfra-1 {FRA}\n\n* {ANY}\n")
    clock = Clock()
    receiver = Receiver(folder / "log/delivery", Tokens(folder / "tokens", clock), lambda: NOW_S, clock)
    app = port.build_app(receiver, lambda: b"gslb_measure_up 1\n", lambda: ready, body_s)
    stopped = asyncio.Event()
    with socket.create_server(("127.0.0.1", 0)) as sock:
        serving = asyncio.ensure_future(port.serve(app, sock, stopped))
        timeout = aiohttp.ClientTimeout(total=SOON_S)
        try:
            async with aiohttp.ClientSession(timeout=timeout) as session:
                url = f"http://127.0.0.1:{sock.getsockname()[1]}"
                yield Port(url, folder / "log/delivery", receiver, session, clock)
        finally:
            stopped.set()
            await serving


def name_of(content: str | bytes, ending: str = ".csv", whose: str = "fra-1") -> str:
    data = content.encode() if isinstance(content, str) else content
    return f"{whose}-{hashlib.sha256(data).hexdigest()[:32]}{ending}"


def parquet() -> bytes:
    out = io.BytesIO()
    columns = {
        "minute": pa.array([datetime(2026, 11, 29, 5, 58, tzinfo=UTC)], pa.timestamp("us", "UTC")),
        "edge": ["fra-1"], "service": ["cam.pull.live.example."], "client_prefix": ["198.51.100.0/24"],
        "bytes": [4_500_000_000], "sessions_started": [7],
    }  # fmt: skip
    pq.write_table(pa.table(columns), out)
    return out.getvalue()


async def test_what_is_taken(tmp_path: Path) -> None:
    packed = gzip.compress(GOOD.encode() * 1) + gzip.compress(GOOD.split("\n")[1].encode())
    unpacked = GOOD + GOOD.split("\n")[1]
    mixed = GOOD + BAD_ROW
    async with served(tmp_path) as found:
        rejected = {
            "errors": [{"line": 3, "column": 51, "reason": BITS}],
            "counts": {"client_prefix: is not a prefix": 1},
        }
        none: dict[str, Any] = {"errors": [], "counts": {}}
        for body, kind, headers, reply in (
            (GOOD, CSV, {}, {"accepted": 1, "rejected": 0, "file": name_of(GOOD), **none}),
            (GOOD, "Text/CSV; charset=utf-8", {}, {"accepted": 1, "rejected": 0, "file": name_of(GOOD), **none}),
            (packed, CSV, {"Content-Encoding": "gzip"},
             {"accepted": 2, "rejected": 0, "file": name_of(unpacked), **none}),
            (mixed, CSV, {}, {"accepted": 1, "rejected": 1, "file": name_of(mixed), **rejected}),
            (parquet(), PARQUET, {}, {"accepted": 1, "rejected": 0, "file": name_of(parquet(), ".parquet"), **none}),
            (HEADER, CSV, {}, {"accepted": 0, "rejected": 0, "file": "", **none}),
        ):  # fmt: skip
            code, told, _ = await found.post(body, kind=kind, **headers)
            assert (code, told) == (200, reply)
            if told["file"]:  # what landed is what the pipeline takes
                again = delivery.take(found.folder / told["file"], NOW_S, tmp_path / "out.parquet")
                assert (again.rows, again.rejects.rows) == (told["accepted"], told["rejected"])
        assert len(found.files) == 4  # the same body lands once
        received = found.receiver.received
        assert (received.files, received.accepted, received.rejected) == (5, 6, 1)
        assert received.replies == {200: 6}
        assert [name for name in found.files if name.startswith(".")] == []


async def test_a_token_for_all(tmp_path: Path) -> None:
    async with served(tmp_path) as found:
        code, told, _ = await found.post(GOOD.replace("fra-1", "sha-ct"), ANY)
        assert (code, told["accepted"]) == (200, 1)
        assert told["file"].startswith("all-")


async def test_rows_are_judged_once(tmp_path: Path) -> None:
    """By the time they came in at, whoever reads them when: else a row of another edge, whose time has not yet come,
    would lie beside one that is taken, and be taken later."""
    body = GOOD + GOOD.split("\n")[1].replace("fra-1", "sha-ct").replace("05:58", "06:06") + "\n"
    rejected = {"minute: lies ahead": 1}
    async with served(tmp_path) as found:
        _, told, _ = await found.post(body)
        assert (told["accepted"], told["counts"]) == (1, rejected)
        path = found.folder / told["file"]
        assert path.stat().st_mtime_ns == NOW_S * 10**9
        again = delivery.take(path, path.stat().st_mtime_ns // 10**9, tmp_path / "out.parquet")
        assert (again.rows, again.rejects.counts) == (1, rejected)
        os.utime(path, (NOW_S - 1, NOW_S - 1))  # as if it had come a second ago
        assert (await found.post(body))[1] == told
        os.utime(path, (NOW_S + 60, NOW_S + 60))
        assert (await found.post(body))[0] == 403


def refusals() -> list[tuple[str, dict[str, Any], int, dict[str, Any]]]:
    """Body or its maker, how it is sent, code, and some keys of the reply."""
    torn = gzip.compress(GOOD.encode())[:-9]
    bomb = zlib.compressobj(9, zlib.DEFLATED, 31)
    bombs = b"".join([*(bomb.compress(bytes(1 << 20)) for _ in range(65)), bomb.flush()])
    return [
        (GOOD, {"token": None}, 401, {"detail": "the token is missing or wrong"}),
        (GOOD, {"token": "wrong"}, 401, {"detail": "the token is missing or wrong"}),
        (GOOD, {"token": None, "Authorization": f"Basic {FRA}"}, 401, {"detail": "the token is missing or wrong"}),
        (GOOD, {"token": "ÿ"}, 401, {"detail": "the token is missing or wrong"}),
        (
            GOOD + "".join(GOOD.split("\n")[1].replace("fra-1", f"x{at}") + "\n" for at in range(7)),
            {},
            403,
            {
                "detail": "the token is that of edge 'fra-1'; there are rows of 'x0', 'x1', 'x2', 'x3', 'x4'"
                " and 2 more"
            },
        ),
        (GOOD, {"kind": "application/json"}, 415,
         {"detail": f"the type of the body is not one of {CSV}, {PARQUET}"}),
        (GOOD, {"Content-Encoding": "br"}, 415, {"detail": "the encoding of the body is not gzip"}),
        (GOOD, {"Content-Encoding": "gzip"}, 400, {"detail": "the body is not gzip"}),
        (torn, {"Content-Encoding": "gzip"}, 400, {"detail": "the body ends before it is whole"}),
        (gzip.compress(b"") * 101, {"Content-Encoding": "gzip"}, 400,
         {"detail": "the body was packed in more than 100 pieces"}),
        (bombs, {"Content-Encoding": "gzip"}, 413,
         {"detail": "the body has more than 67108864 bytes when unpacked"}),
        (io.BytesIO(bytes(port.MAX_BODY + 1)), {}, 413, {"detail": "the body has more than 16777216 bytes"}),
        (GOOD, {"kind": PARQUET}, 422, {"detail": f"the body is not {PARQUET}", "errors": []}),
        (parquet(), {}, 422, {"detail": f"the body is not {CSV}", "errors": []}),
        (
            GOOD.replace("edge", "egde").replace("bytes,", ""),
            {},
            422,
            {
                "detail": "body.csv:1:1: column 'bytes' is missing;"
                " body.csv:1:8: unknown column 'egde'; did you mean 'edge'?",
                "errors": [
                    {"line": 1, "column": 1, "reason": "column 'bytes' is missing"},
                    {"line": 1, "column": 8, "reason": "unknown column 'egde'; did you mean 'edge'?"},
                ],
            },
        ),
        (
            f"{HEADER}\n{BAD_ROW}",
            {},
            422,
            {
                "detail": f"no row can be taken; the first: body.csv:2:51: {BITS}",
                "errors": [{"line": 2, "column": 51, "reason": BITS}],
                "counts": {"client_prefix: is not a prefix": 1},
            },
        ),
    ]  # fmt: skip


async def test_what_is_refused(tmp_path: Path) -> None:
    async with served(tmp_path) as found:
        for body, sent, code, reply in refusals():
            try:
                assert (await found.post(body, **sent))[:2] == (code, reply)
            except aiohttp.ClientOSError:  # it was refused before all of it was sent
                assert code == 413
        assert found.files == []
        assert found.receiver.received.replies[401] == 4
        assert (await found.post(GOOD))[0] == 200


async def test_a_body_of_no_known_length_has_bounds(tmp_path: Path) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 1 << 28:
            yield bytes(1 << 18)
            sent += 1 << 18

    async with served(tmp_path) as found:
        with contextlib.suppress(aiohttp.ClientOSError):
            assert (await found.post(endless()))[0] == 413
        assert found.receiver.received.replies == {413: 1}
        assert sent < 2 * port.MAX_BODY


async def test_rates(tmp_path: Path) -> None:
    async with served(tmp_path) as found:
        codes = [(await found.post(GOOD, CSV if at % 2 else FRA))[0] for at in range(4)]
        assert codes == [200, 401, 200, 401]
        for _ in range(58):
            found.receiver.end(found.receiver.begin(f"Bearer {FRA}"))
        code, told, headers = await found.post(GOOD)
        assert (code, told["detail"], headers["Retry-After"]) == (429, "more than 1 bodies a second", "2")
        assert (await found.post(GOOD, ANY))[0] == 200  # another one's
        found.clock.now_s += 1.5
        assert [(await found.post(GOOD))[0] for _ in range(2)] == [200, 429]


async def test_bodies_at_one_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that does not come holds neither its sender's place nor anyone's for long."""
    monkeypatch.setattr(port, "READ_AT_ONCE", 1)
    may_go = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"minute,"
        await may_go.wait()
        yield b"x"

    async with served(tmp_path, body_s=0.5) as found:
        waiting = asyncio.ensure_future(found.post(slow()))
        async with asyncio.timeout(SOON_S):
            while not found.receiver._under_way:  # noqa: ASYNC110 nothing tells of it
                await asyncio.sleep(0.005)
        sender = found.receiver.begin(f"Bearer {FRA}")
        code, told, headers = await found.post(GOOD)
        assert (code, told["detail"], headers["Retry-After"]) == (429, "more than 2 bodies at one time", "1")
        found.receiver.end(sender)
        code, told, headers = await found.post(GOOD, ANY)
        assert (code, told["detail"], headers["Retry-After"]) == (503, "1 bodies are read at this time", "1")
        assert (await waiting)[:2] == (408, {"detail": "the body did not come within 0.5 s"})
        assert (await found.post(GOOD))[0] == 200


async def test_a_sender_who_goes_away(tmp_path: Path) -> None:
    async with served(tmp_path) as found:
        host, at = found.url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(at))
        head = f"POST /v1/delivery HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {FRA}\r\nContent-Type: {CSV}\r\n"
        writer.write(f"{head}Content-Length: 100\r\n\r\nminute".encode())
        await writer.drain()
        writer.close()
        async with asyncio.timeout(SOON_S):
            while not found.receiver.received.replies:  # noqa: ASYNC110 nothing tells of it
                await asyncio.sleep(0.005)
        assert found.receiver.received.replies == {400: 1}


async def test_many_at_once(tmp_path: Path) -> None:
    """Each lands once, whoever sends it at the same time."""
    bodies = [GOOD.replace(",7\n", f",{at % 8}\n") for at in range(24)]
    async with served(tmp_path) as found:
        pause = asyncio.Semaphore(receiving.AT_ONCE)

        async def send(body: str) -> int:
            async with pause:
                return (await found.post(body))[0]

        assert await asyncio.gather(*map(send, bodies)) == [200] * 24
        assert found.files == sorted({name_of(body) for body in bodies})
        assert {(found.folder / name_of(body)).read_text() for body in bodies} == set(bodies)


def test_what_an_end_left_torn_is_removed(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(f"fra-1 {FRA}\n")
    names = [f".{name_of(GOOD)}.17.tmp", ".theirs.csv.17.tmp", "theirs.tmp", name_of(GOOD)]
    for name in names:
        (tmp_path / name).write_text("minute")
    Receiver(tmp_path, Tokens(tmp_path / "tokens", Clock()))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*names[1:], "tokens"])


async def test_no_room(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("in the way")
    async with served(tmp_path) as found:
        code, told, headers = await found.post(GOOD)
        assert (code, headers["Retry-After"]) == (507, "60")
        assert told["detail"].startswith("the body cannot be kept: ")


async def test_other_pages(tmp_path: Path) -> None:
    async with served(tmp_path, ready="no run has ended yet") as found:
        pages = []
        for method, path in (
            ("GET", "/livez"), ("GET", "/readyz"), ("GET", "/metrics"), ("GET", "/v1/delivery"), ("POST", "/livez"),
            ("GET", "/"),
        ):  # fmt: skip
            async with found.session.request(method, found.url + path) as reply:
                pages.append((reply.status, await reply.text()))
        assert pages == [
            (200, "live\n"), (503, "no run has ended yet\n"), (200, "gslb_measure_up 1\n"),
            (405, "Method Not Allowed"), (405, "Method Not Allowed"), (404, "Not Found"),
        ]  # fmt: skip
    async with served(tmp_path) as found, found.session.get(f"{found.url}/readyz") as reply:
        assert (reply.status, await reply.text()) == (200, "ready\n")


FAULTY = [
    ("", "0:0: no token in it"),
    ("# nobody\n\n", "0:0: no token in it"),
    ("fra-1\n", "1:7: expected is one token behind the edge"),
    ("fra-1 short\n", "1:7: a token has at least 16 characters, printable ASCII"),
    (f"fra-1 {FRA} {ANY}\n", "1:7: expected is one token behind the edge"),
    (f"fra/1 {FRA}\n", "1:1: 'fra/1' is not the name of an edge, nor *"),
    (f"fra-1 {FRA}\nsha-ct {FRA}\n* {'ä' * 20}\n",
     "2:8: the token of line 1 again\n@3:3: a token has at least 16 characters, printable ASCII"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "faults"), FAULTY)
def test_a_faulty_file_of_tokens(tmp_path: Path, text: str, faults: str) -> None:
    path = tmp_path / "tokens"
    path.write_text(text)
    with pytest.raises(ConfigErrors) as raised:
        tokens.read(path)
    assert str(raised.value) == f"@{faults}".replace("@", f"{path}:")
    assert FRA not in str(raised.value)


def test_tokens_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, clock = tmp_path / "tokens", Clock()
    with pytest.raises(ConfigErrors, match="No such file"):
        Tokens(path, clock)
    path.write_text(f"fra-1 {FRA}\n")
    found = Tokens(path, clock)

    def edge(token: str) -> str | None:
        clock.now_s += tokens.LOOK_S
        sender = found.sender(f"bearer {token}")
        return sender.edge if sender else None

    assert (edge(FRA), edge(ANY)) == ("fra-1", None)
    path.write_text(f"fra-1 {FRA}\n* {ANY}\n")
    assert (edge(FRA), edge(ANY), found.fault) == ("fra-1", "*", "")
    path.write_text("fra-1\n")
    assert (edge(FRA), edge(ANY)) == ("fra-1", "*")
    assert found.fault == f"{path}:1:7: expected is one token behind the edge"
    path.unlink()
    assert (edge(FRA), found.fault) == ("fra-1", f"{path}:0:0: No such file or directory")
    path.write_text(f"sha-ct {FRA}\n")
    assert (edge(FRA), edge(ANY), found.fault) == ("sha-ct", None, "")
    monkeypatch.setattr(tokens, "MAX_BYTES", 5)
    with pytest.raises(ConfigErrors, match="more than 5 bytes"):
        tokens.read(path)
