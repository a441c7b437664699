"""An edge to be probed: a small server of bytes good, slow, wrong or dead, and nginx with its stream modules."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gslbtest.process import free_port, program, running, wait_for_tcp

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
FLV_HEADER = b"FLV\x01\x05\x00\x00\x00\x09" + bytes(4)
SEGMENTS = 3


@contextlib.asynccontextmanager
async def answering(handler: Handler, host: str = "127.0.0.1") -> AsyncIterator[int]:
    """A TCP server whose every connection ``handler`` serves, and which is closed when it returns; gives its port."""
    open_now: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_now.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await handler(reader, writer)
                await writer.drain()
        finally:
            open_now.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, host, 0)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for task in list(open_now):
            task.cancel()
        await asyncio.gather(*open_now)


def http(body: bytes, status: str = "200 OK", *, headers: str = "", pause_s: float = 0.0, length: int = -1) -> Handler:
    """Answers any request; ``pause_s`` lies between every two bytes of the body. The body is ``length`` bytes long by
    what is said (-1: as long as it is)."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        size = len(body) if length < 0 else length
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {size}\r\nConnection: close\r\n{headers}\r\n".encode())
        await dribble(body, pause_s)(reader, writer)

    return handler


def dribble(data: bytes, pause_s: float = 0.0) -> Handler:
    """Sends ``data`` whatever comes in, with ``pause_s`` between every two bytes."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not pause_s:
            writer.write(data)
            return
        for byte in data:
            writer.write(bytes([byte]))
            await asyncio.sleep(pause_s)

    return handler


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accepts, and never says a word."""
    await asyncio.sleep(3600)


async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accepts, reads what comes first, and closes."""
    await reader.read(1)


def rtmp(version: int = 3, echo: Callable[[bytes], bytes] = bytes) -> Handler:
    """A server's side of the RTMP handshake; ``echo`` makes S2 of C1."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs = (await reader.readexactly(1537))[1:]
        ours = bytes(8) + b"s" * 1528
        writer.write(bytes([version]) + ours + echo(theirs))
        if await reader.readexactly(1536) == ours:
            await reader.read(1)

    return handler


def flv_tag(kind: int = 18, data: bytes = b"x" * 20, *, length: int | None = None) -> bytes:
    """A tag and the length that follows it (that of the tag unless ``length`` is given)."""
    size = 11 + len(data) if length is None else length
    return bytes([kind]) + len(data).to_bytes(3, "big") + bytes(7) + data + size.to_bytes(4, "big")


def playlist(sequence: int, *, date: str = "", end: bool = False, first: int = 0) -> str:
    """A media playlist of `SEGMENTS` segments of 2 s; ``date`` is the program date of its first."""
    lines = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:2", f"#EXT-X-MEDIA-SEQUENCE:{sequence}"]
    lines += [f"#EXT-X-PROGRAM-DATE-TIME:{date}"] if date else []
    for number in range(SEGMENTS):
        lines += ["#EXTINF:2.000,", f"{first or sequence + number}.ts"]
    return "\n".join([*lines, *(["#EXT-X-ENDLIST"] if end else [])]) + "\n"


@dataclass(frozen=True, slots=True)
class Nginx:
    """Ports of a running nginx: HTTP on IPv4 and IPv6, HTTPS, RTMP. ``root`` holds what it serves, and ``certificate``
    is that of its HTTPS, made out to live.example."""

    root: Path
    http: int
    https: int
    rtmp: int
    certificate: Path


@contextlib.contextmanager
def nginx(folder: Path) -> Iterator[Nginx]:
    """nginx with its flv and rtmp modules on free loopback ports."""
    root = folder / "www"
    root.mkdir(parents=True)
    certificate, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=live.example"
        f" -addext subjectAltName=DNS:live.example -keyout {key} -out {certificate}".split(),
        check=True,
        capture_output=True,
    )
    found = Nginx(root, free_port("::1"), free_port(), free_port(), certificate)
    config = folder / "nginx.conf"
    config.write_text(
        f"""load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
daemon off;
master_process off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{found.http};
    listen [::1]:{found.http};
    listen 127.0.0.1:{found.https} ssl;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    root {root};
    location = /health {{ return 200 "all is well at $host\\n"; }}
    location = /away {{ return 302 /health; }}
    location = /broken {{ return 503 "no\\n"; }}
    location ~ \\.flv$ {{ flv; }}
  }}
}}
rtmp {{
  server {{
    listen 127.0.0.1:{found.rtmp};
    listen [::1]:{found.rtmp} ipv6only=on;
    application live {{ live on; }}
  }}
}}
""",
        encoding="utf-8",
    )
    log = folder / "nginx.log"
    with running([program("nginx"), "-p", str(folder), "-e", "stderr", "-c", str(config)], log) as process:
        wait_for_tcp(process, log, found.http)
        wait_for_tcp(process, log, found.rtmp)
        yield found
