"""The entries of an embedded store, for those who keep a history of it."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from gslb.server.refusal import Refused
from gslb.store import admin_events
from gslb.store.events import Page, Position, position
from gslb.store.interface import Store


@runtime_checkable
class _Embedded(Protocol):
    async def after(self, position: Position, limit: int) -> Page:
        """The next entries after a position."""


class Entries:
    """Tells them in pages."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def after(self, after: str, n: int, limit: int) -> dict[str, Any]:
        """The next entries after the id ``after``, whose running number is ``n``.

        Raises `Refused`: no id (400); a store that is not embedded, which tells its entries itself (409).
        """
        try:
            begin = position(after, n)
        except ValueError as error:
            raise Refused(400, f"after: {error}") from None
        if not isinstance(self._store, _Embedded):
            raise Refused(409, "the store is not inside of this server: read the entries of the store itself")
        return admin_events.mapping(await self._store.after(begin, limit))
