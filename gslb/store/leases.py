"""A lease in the store: it is held by one process, which prolongs it while it lives, and passes on when it ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
from dataclasses import dataclass, field

from gslb.errors import GslbError
from gslb.store.interface import Lease, Publisher


def holder() -> str:
    """What names this process to the store: host, process and something that no other one has."""
    host = "".join(letter for letter in socket.gethostname() if letter.isascii() and letter.isprintable())[:64]
    return f"{host.replace(' ', '-')}:{os.getpid()}:{secrets.token_hex(4)}"


@dataclass(slots=True)
class Leasing:
    """The lease ``name`` as this process, ``holder``, sees it. ``lease`` is what it was told last."""

    publisher: Publisher
    name: str
    lasting_ms: int
    holder: str = field(default_factory=holder)
    lease: Lease | None = field(default=None)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def leads(self) -> bool:
        """Whether this process has the lease, as far as it knows."""
        return self.lease is not None and self.lease.token > 0

    async def take(self) -> Lease:
        """Take or prolong it; who has it now. Raises `GslbError` where the store cannot be reached or refuses."""
        async with self._turn:
            return await self._take()

    async def renew(self) -> None:
        """Prolong it again and again while this process has it, until cancelled: work may take as long as it likes."""
        while True:
            await asyncio.sleep(self.lasting_ms / 4000)
            async with self._turn:
                if self.leads:
                    with contextlib.suppress(GslbError):  # who loses it is told by the store
                        await self._take()

    async def drop(self) -> None:
        """Give it back, where this process has it. Raises `GslbError`."""
        async with self._turn:
            if self.leads:
                self.lease = None
                await self.publisher.drop_lease(self.name, self.holder)

    async def _take(self) -> Lease:
        self.lease = await self.publisher.take_lease(self.name, self.holder, self.lasting_ms)
        return self.lease
