"""From a URL to a store: ``memory://``, ``redis://``, ``rediss://``, ``redis+sentinel://``; to write, also ``http://``.

What each needs is imported when it is opened: most commands open none.
"""

from __future__ import annotations

from typing import Final, Protocol, runtime_checkable

from gslb.errors import GslbError
from gslb.model.report import StoreState
from gslb.store import redis_url
from gslb.store.events import Events
from gslb.store.interface import Store, Writer

MEMORY: Final = "memory://"
_KNOWN: Final = "memory://, redis://…, rediss://… or redis+sentinel://…"


@runtime_checkable
class Followed(Protocol):
    """A store outside of this process."""

    def follow(self) -> None:
        """Begin to follow it, in the loop that runs."""


def check_url(url: str) -> None:
    """Raises `ValueError` with the reason where a server cannot use this URL. The reason shows no password."""
    scheme = url.partition(":")[0]
    if url == MEMORY:
        return
    if scheme == "memory":
        raise ValueError("nothing follows memory://")
    if scheme not in redis_url.SCHEMES:
        raise ValueError(f"the URL of a store is {_KNOWN}")
    redis_url.parse(url)


def open_store(url: str, held: StoreState) -> Store:
    """The store at ``url``, which begins with what was ``held`` on disk. Nothing is connected yet; see `begin`.

    Raises `GslbError` where the URL is faulty.
    """
    _check(url)
    if url == MEMORY:
        from gslb.store.memory import MemoryStore

        return MemoryStore(held=held)
    from gslb.store.redis_store import RedisStore

    return RedisStore(redis_url.parse(url), held)


async def begin(store: Store) -> None:
    """Start following the store, where it has to be followed. Returns at once; ``connected`` tells how far it is."""
    if isinstance(store, Followed):
        store.follow()


def open_writer(url: str, token: str | None = None) -> Writer:
    """A writer to the store at ``url``, or with ``http://ADDR:PORT`` and a token to a server's admin port. It connects
    when it is first asked for something.

    Raises `GslbError` where the URL is faulty, or is that of the embedded store.
    """
    if by_port := _port_token(url, token, "writing to", "write to"):
        from gslb.store.admin_port import AdminWriter

        return AdminWriter(url, by_port)
    from gslb.store.redis_store import RedisWriter

    return RedisWriter(redis_url.parse(url))


def open_events(url: str, token: str | None = None) -> Events:
    """Where the entries of the store at ``url`` are read; of an embedded one through its server's admin port,
    ``http://ADDR:PORT``, with the admin token. It connects when it is first asked for something.

    Raises `GslbError` where the URL is faulty, or is that of the embedded store.
    """
    if by_port := _port_token(url, token, "reading from", "read from"):
        from gslb.store.admin_events import AdminEvents

        return AdminEvents(url, by_port)
    from gslb.store.redis import Link
    from gslb.store.redis_events import RedisEvents

    address = redis_url.parse(url)
    return RedisEvents(Link(address), address.shown)


def _port_token(url: str, token: str | None, doing: str, do: str) -> str:
    """The token where ``url`` is that of an admin port; empty: it is Redis. Raises `GslbError` for any other."""
    if url.startswith("http://"):
        if not token:
            raise GslbError(f"{doing} an admin port needs its token")
        return token
    _check(url)
    if url == MEMORY:
        raise GslbError(f"the embedded store is inside of a server: {do} its admin port, http://ADDR:PORT")
    return ""


def _check(url: str) -> None:
    try:
        check_url(url)
    except ValueError as error:
        raise GslbError(f"the store cannot be opened: {error}") from None
