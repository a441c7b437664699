"""Connections of the admin port: however many there are and however slow, those who ask at once are answered."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from gslbtest.desk import TOKEN, Desk
from gslbtest.process import SOON_S

from gslb.server.admin import serve
from gslb.server.status import ReloadStatus
from gslb.store.serving import Limits

AUTH = f"Host: x\r\nAuthorization: Bearer {TOKEN}\r\n"


class Slow(Desk):
    """A reload takes until it is allowed to end."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.begun = 0
        self.may_end = asyncio.Event()

    async def reload(self, *, force: bool = False) -> ReloadStatus:
        self.begun += 1
        await self.may_end.wait()
        return await super().reload(force=force)


class Client:
    """One connection to it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def code(self) -> int:
        """The HTTP code of the next answer; 0 where the connection ends without one."""
        async with asyncio.timeout(SOON_S):
            try:
                line = await self.reader.readline()
            except ConnectionResetError:
                line = b""
        return int(line.split()[1]) if line else 0

    async def close(self) -> None:
        """Leave."""
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


@contextlib.asynccontextmanager
async def port(desk: Desk, limits: Limits) -> AsyncIterator[Callable[[str], Awaitable[Client]]]:
    """An admin port; gives how to connect and send something."""
    stopped = asyncio.Event()
    async with contextlib.AsyncExitStack() as stack:
        sock = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        address = sock.getsockname()
        serving = asyncio.ensure_future(serve(desk.app, sock, stopped, limits))

        async def client(said: str) -> Client:
            client = Client(*await asyncio.open_connection(*address))
            stack.push_async_callback(client.close)
            client.writer.write(said.encode())
            return client

        yield client
        stopped.set()
        await serving


@pytest.mark.parametrize(
    "said",
    [
        "",
        "GET /livez HT",
        f"PUT /v1/edges/x/report HTTP/1.1\r\n{AUTH}Content-Length: 9\r\n\r\n",
        f"POST /v1/overrides HTTP/1.1\r\n{AUTH}Content-Length: 9\r\n\r\n{{",
        f"POST /v1/overrides HTTP/1.1\r\n{AUTH}Transfer-Encoding: chunked\r\n\r\n1\r\n{{\r\n",
    ],
    ids=["nothing", "half a head", "no body", "half a body", "half of the chunks"],
)
async def test_who_does_not_come_to_an_end_is_closed(said: str) -> None:
    async with port(Desk(), Limits(patience_s=0.2)) as connect:
        client = await connect(said)
        assert await client.code() in (0, 404)  # an edge that nobody knows needs no body
        async with asyncio.timeout(SOON_S):
            with contextlib.suppress(ConnectionResetError):
                await client.reader.read()


async def test_who_drips_is_closed_too() -> None:
    async with port(Desk(), Limits(patience_s=0.3)) as connect:
        client = await connect("GET /livez HTTP/1.1\r\n")
        async with asyncio.timeout(SOON_S):
            while not client.reader.at_eof() and client.reader.exception() is None:
                client.writer.write(b"a: b\r\n")
                await asyncio.sleep(0.05)


async def test_the_servers_own_work_is_waited_for() -> None:
    desk = Slow()
    async with port(desk, Limits(patience_s=0.1)) as connect:
        client = await connect(f"POST /v1/reload HTTP/1.1\r\n{AUTH}\r\n")
        idle = await connect("")
        assert await idle.code() == 0
        assert desk.begun == 1
        await asyncio.sleep(0.5)
        desk.may_end.set()
        assert await client.code() == 200


async def test_an_answer_begins_patience_anew() -> None:
    async with port(Desk(), Limits(most=2, patience_s=3600)) as connect:
        asking, idle = await connect(""), await connect("")
        asking.writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await asking.code() == 200
        further = await connect("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await further.code(), await idle.code()) == (200, 0)
        async with asyncio.timeout(SOON_S):
            await asking.reader.readuntil(b"live\n")
        asking.writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await asking.code() == 200


async def test_the_longest_idle_makes_room() -> None:
    desk = Slow()
    async with port(desk, Limits(most=3, patience_s=3600)) as connect:
        working = await connect(f"POST /v1/reload HTTP/1.1\r\n{AUTH}\r\n")
        async with asyncio.timeout(SOON_S):
            while not desk.begun:  # noqa: ASYNC110 what is waited for sets no event
                await asyncio.sleep(0.005)
        idle = [await connect("GET /") for _ in range(5)]
        assert [await client.code() for client in idle[:3]] == [0, 0, 0]
        asking = await connect("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await asking.code() == 200
        desk.may_end.set()
        assert await working.code() == 200


async def test_where_all_are_being_answered_a_further_one_is_refused() -> None:
    desk = Slow()
    async with port(desk, Limits(most=2, patience_s=3600)) as connect:
        working = [await connect(f"POST /v1/reload HTTP/1.1\r\n{AUTH}\r\n") for _ in range(2)]
        async with asyncio.timeout(SOON_S):
            while desk.begun < 2:  # noqa: ASYNC110 what is waited for sets no event
                await asyncio.sleep(0.005)
        further = await connect("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await further.code() == 0
        desk.may_end.set()
        assert [await client.code() for client in working] == [200, 200]
