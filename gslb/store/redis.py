"""A connection to Redis: plain, over TLS, or to the primary that Sentinels name. The only importer of redis-py."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from redis.asyncio.connection import Connection, SSLConnection
from redis.exceptions import RedisError, ResponseError

from gslb.store.interface import StoreError
from gslb.store.redis_reading import Command, Refused
from gslb.store.redis_url import Address, Tls

CONNECT_S: Final = 2.0
"""How long a connection may take to be made, TLS and logging in included."""
ANSWER_S: Final = 1.5
"""How long the answers to `_SLICE` commands may take."""

_CLOSE_S: Final = 0.1  # who does not answer is not waited for
_SLICE: Final = 500


class Link:
    """One connection, made when it is needed and after it was lost. As `redis_follow.Link`; of several callers at once
    each waits for its turn."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._connection: Connection | None = None
        self._lock = asyncio.Lock()

    async def many(self, commands: Sequence[Command], wait_s: float = 0.0) -> list[Any]:
        """As `redis_reading.Many`. After a `StoreError` the connection is closed."""
        async with self._lock:
            try:
                async with asyncio.timeout(CONNECT_S):
                    connection = await self._connected()
                answers: list[Any] = []
                for at in range(0, len(commands), _SLICE):
                    async with asyncio.timeout(ANSWER_S + wait_s):
                        answers += await _answers(connection, commands[at : at + _SLICE])
            except TimeoutError:
                await self.drop()
                raise StoreError(f"{self._address.shown}: no answer in time") from None
            except (RedisError, OSError) as error:
                await self.drop()
                raise StoreError(f"{self._address.shown}: {_reason(error)}") from None
            except BaseException:
                await self.drop()  # answers still to come would be taken for those to other commands
                raise
            return answers

    async def drop(self) -> None:
        """Close the connection; the next commands make another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await _close(connection)

    async def _connected(self) -> Connection:
        if self._connection is not None:
            with contextlib.suppress(RedisError, OSError):
                if not await self._connection.can_read():
                    return self._connection
            await self.drop()  # closed by Redis, or something came that nobody asked for
        address = self._address
        if not address.service:
            self._connection = await _connect(address, *address.hosts[0])
            return self._connection
        host, port = await self._primary()
        self._connection = await _connect(address, host, port)
        (role,) = await _answers(self._connection, [("ROLE",)])
        if not isinstance(role, Refused) and role[0] != b"master":
            raise StoreError(f"{address.shown}: {host}:{port}, which the Sentinels name, is not the primary")
        return self._connection

    async def _primary(self) -> tuple[str, int]:
        """What more than half of the Sentinels say, else most of those that answer: one may have missed a failover."""
        hosts = self._address.hosts
        votes: Counter[tuple[str, int]] = Counter()
        reasons: list[str] = []
        asked = [asyncio.ensure_future(self._sentinel_says(*host)) for host in hosts]
        try:
            for answer in asyncio.as_completed(asked, timeout=CONNECT_S / 2):
                try:
                    votes[await answer] += 1
                except TimeoutError:
                    break
                except (StoreError, RedisError, OSError) as error:
                    reasons.append(_reason(error))
                if votes and 2 * votes.most_common(1)[0][1] > len(hosts):
                    break
        finally:
            for each in asked:
                each.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        if not votes:
            why = "; ".join(reasons) or "no answer in time"
            raise StoreError(f"{self._address.shown}: no Sentinel names the primary: {why}")
        return votes.most_common(1)[0][0]

    async def _sentinel_says(self, host: str, port: int) -> tuple[str, int]:
        service = self._address.service
        connection = await _connect(self._address, host, port, sentinel=True)
        try:
            (found,) = await _answers(connection, [("SENTINEL", "GET-MASTER-ADDR-BY-NAME", service)])
        finally:
            await _close(connection)
        if found is None:
            raise StoreError(f"{host}:{port} knows no {service!r}")
        if isinstance(found, Refused):
            raise StoreError(f"{host}:{port}: {found}")
        return found[0].decode(), int(found[1])


async def _connect(address: Address, host: str, port: int, *, sentinel: bool = False) -> Connection:
    options: dict[str, Any] = {
        "host": host,
        "port": port,
        "db": 0 if sentinel else address.db,
        "username": (address.sentinel_user if sentinel else address.user) or None,
        "password": (address.sentinel_password if sentinel else address.password) or None,
        "socket_timeout": None,  # whoever asks waits no longer than he wants to
        "socket_connect_timeout": CONNECT_S,
        "protocol": 2,
        "driver_info": None,  # users with few rights may not say it
    }
    tls = address.tls
    if tls is None:
        connection = Connection(**options)
    else:
        _check_files(address.shown, tls)
        connection = SSLConnection(
            ssl_ca_certs=tls.ca_certs or None,
            ssl_certfile=tls.certfile or None,
            ssl_keyfile=tls.keyfile or None,
            ssl_check_hostname=tls.check_hostname,
            **options,
        )
    try:
        await connection.connect()  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
    except BaseException:
        await _close(connection)
        raise
    return connection


def _check_files(shown: str, tls: Tls) -> None:
    """Raises `StoreError` with the file that cannot be read, which the library of TLS does not tell."""
    for path in filter(None, (tls.ca_certs, tls.certfile, tls.keyfile)):
        try:
            Path(path).open("rb").close()
        except OSError as error:
            raise StoreError(f"{shown}: {path}: {error.strerror}") from None


async def _close(connection: Connection) -> None:
    """Sockets are closed in a later turn of the loop, those of TLS once the other side has said so too; without waiting
    for that, they would be left open where the loop ends here."""
    with contextlib.suppress(RedisError, OSError, TimeoutError):
        async with asyncio.timeout(_CLOSE_S):
            await connection.disconnect()


async def _answers(connection: Connection, commands: Sequence[Command]) -> list[Any]:
    await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
    found: list[Any] = []
    for _ in commands:
        try:
            found.append(await connection.read_response(disconnect_on_error=False))
        except ResponseError as error:
            found.append(Refused(f"{error.status_code} {error}" if error.status_code else str(error)))
    return found


def _reason(error: Exception) -> str:
    """The text of an error, on one line."""
    return " ".join(str(error).split()) or type(error).__name__
