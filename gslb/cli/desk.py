"""Where orders of operators go: to a server, which checks them against what it serves, or straight into a store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from gslb.errors import GslbError
from gslb.store.admin_port import Kept, detail, read_kept

if TYPE_CHECKING:  # imported by the desk that needs it
    from collections.abc import Awaitable, Callable

    from gslb.cli.client import Server
    from gslb.model.override import Override
    from gslb.store.admin_port import Reply
    from gslb.store.interface import Outcome, Writer

T = TypeVar("T")

REPLY_S = 30.0
"""A server checks an order against all that it serves."""
UNCHECKED = "written to the store as it stands: no server has checked that each service keeps a healthy edge"


class Refusal(GslbError):
    """An order that was not taken. ``told`` is the same as data; ``faults`` are pairs of key and reason, where single
    keys of the override are at fault."""

    def __init__(self, text: str, told: dict[str, Any], faults: list[tuple[str, str]] | None = None) -> None:
        super().__init__(text)
        self.told = told
        self.faults = faults or []


class Desk(Protocol):
    """Takes orders; ``checks`` tells whether against what is served. All methods raise `GslbError` where nobody
    answers, and `Refusal` for what is not taken."""

    checks: bool

    def kept(self) -> Kept:
        """The overrides that there are, and what time it is."""

    def edges(self) -> dict[str, str] | None:
        """The PoP of each edge; None where nobody here knows them."""

    def order(self, override: Override, *, force: bool) -> None:
        """Write an override; ``force`` lets through what leaves clients without a healthy edge."""

    def cancel(self, override: Override) -> Override:
        """Let one that is kept end now; gives it back as it ends."""


def desk(store: str | None, admin: str | None, state: Path | None, config: Path | None) -> Desk:
    """The one that the options name. Raises `UsageError`."""
    from gslb.errors import UsageError

    if store is None:
        from gslb.cli.client import Server

        return _AtServer(Server(admin, state, config, REPLY_S))
    if admin is not None:
        raise UsageError("--store and --admin: an order goes to the one or to the other")
    if store.startswith("memory:"):
        raise UsageError("--store: the embedded store is inside of a server; name its port by --admin")
    if store.startswith("http:"):
        raise UsageError("--store: that is an admin port; name it by --admin")
    from gslb.store.opening import check_url

    try:
        check_url(store)
    except ValueError as error:
        raise UsageError(f"--store: {error}") from None
    return _InStore(store)


class _AtServer:
    checks = True

    def __init__(self, server: Server) -> None:
        self._server = server

    def kept(self) -> Kept:
        reply = self._server.get("/v1/overrides")
        _check(reply)
        try:
            return read_kept(reply.body)
        except ValueError as error:
            raise self._unreadable(error) from None

    def edges(self) -> dict[str, str] | None:
        reply = self._server.get("/v1/edges")
        _check(reply)
        try:
            return {str(row["edge"]): str(row["pop"]) for row in json.loads(reply.body)["edges"]}
        except (ValueError, KeyError, TypeError):
            raise self._unreadable("not a list of edges") from None

    def order(self, override: Override, *, force: bool) -> None:
        from gslb.health.override import text

        _check(self._server.post("/v1/overrides", text(override).encode(), force="true" if force else "false"))

    def cancel(self, override: Override) -> Override:
        from gslb.health.override import read

        reply = self._server.delete(f"/v1/overrides/{override.id}")
        _check(reply)
        return read(reply.body)

    def _unreadable(self, reason: object) -> GslbError:
        return GslbError(f"the server on {self._server.place} gives what cannot be read: {reason}")


class _InStore:
    checks = False

    def __init__(self, url: str) -> None:
        self._url = url

    def kept(self) -> Kept:
        async def read(writer: Writer) -> Kept:
            found = await writer.overrides()
            return Kept(found, writer.clock_ms, True)

        return self._with_writer(read)

    def edges(self) -> dict[str, str] | None:
        return None

    def order(self, override: Override, *, force: bool) -> None:
        self._write(override)

    def cancel(self, override: Override) -> Override:
        from gslb.policy.override import cancelled

        found = cancelled(override, self.kept().clock_ms // 1000)
        if found != override:
            self._write(found)
        return found

    def _write(self, override: Override) -> None:
        async def write(writer: Writer) -> Outcome:
            return await writer.override(override)

        outcome = self._with_writer(write)
        if not outcome.accepted:
            raise Refusal(outcome.reason, {"detail": outcome.reason})

    def _with_writer(self, use: Callable[[Writer], Awaitable[T]]) -> T:
        import asyncio

        from gslb.store.opening import open_writer

        async def run() -> T:
            writer: Writer = open_writer(self._url)
            try:
                return await use(writer)
            finally:
                await writer.close()

        return asyncio.run(run())


def _check(reply: Reply) -> None:
    """Raises `Refusal` for anything but a success."""
    if reply.code == 200:
        return
    text = detail(reply)
    try:
        told = json.loads(reply.body)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        told = {"detail": text}
    faults = [(str(each.get("key", "")), str(each.get("reason", ""))) for each in told.get("faults") or ()]
    raise Refusal("\n".join(_reasons(told)) or text, told, faults)


def _reasons(told: dict[str, Any]) -> list[str]:
    """What a person's word would let through, one reason a line; empty for other refusals."""
    reasons = [str(each) for key in ("cut", "emptied") for each in told.get(key) or ()]
    return [*reasons, "nothing was changed; --force orders it all the same"] if reasons else []
