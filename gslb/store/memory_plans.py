"""Plans, leases and the freeze of the embedded store. It does what plans.lua does in Redis, with the same words.

Leases and a freeze are forgotten when the process ends, as are all plans but the one that counts: dispatchers take the
lease anew then, and get a greater token.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from gslb.errors import GslbError
from gslb.model.plan import Plan
from gslb.plan import published
from gslb.store.interface import (
    DISPATCH,
    EXPIRE_MS,
    MAX_HOLDER,
    MAX_LASTING_MS,
    MAX_WORDS,
    PLANS_KEPT,
    Freeze,
    Lease,
    Outcome,
)

MAX_LEASES: Final = 100
JUMP_MS: Final = 10_000
"""A clock that was set back by more than this begins store time anew, and ends leases (JUMP_MS of gslb.lua)."""

_MAX_MS: Final = (1 << 53) - 1
_SHOWN: Final = 40
_TAKEN: Final = ("current", "versions")  # names of other keys in Redis
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_HOLDER: Final = re.compile(rf"[!-~]{{1,{MAX_HOLDER}}}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


class _Held(NamedTuple):
    """A lease that was taken; ``until_ms`` is 0 once it was dropped."""

    token: int
    holder: str
    until_ms: int
    lasting_ms: int


class MemoryPlans:
    """The plans that a store keeps, beginning with the one that was ``held``. ``clock_ms`` tells ms since 1970."""

    def __init__(self, clock_ms: Callable[[], int], held: Plan | None) -> None:
        self._clock_ms = clock_ms
        self._plans = {held.version: (held, clock_ms() + EXPIRE_MS)} if held is not None else {}
        self._leases: dict[str, _Held] = {}
        self._freeze: Freeze | None = None

    @property
    def base(self) -> Plan | None:
        """What the plan that counts is based on, where it is still kept."""
        newest = next(iter(self._plans.values()), None)
        found = self._plans.get(newest[0].base) if newest else None
        return found[0] if found else None

    def plan(self, version: str | None) -> Plan | None:
        """As `Publisher.plan`."""
        versions = self.versions()
        wanted = version if version is not None else next(iter(versions), "")
        return self._plans[wanted][0] if wanted in versions else None

    def versions(self) -> tuple[str, ...]:
        """As `Publisher.plan_versions`."""
        now_ms = self._clock_ms()
        return tuple(version for version, (_, until_ms) in self._plans.items() if now_ms < until_ms)

    def refusal(self, plan: Plan, token: int | None) -> str:
        """Why a plan may not be published now; empty where it may. Whether it can be read is not asked here."""
        what = f"plan {plan.version!r}: "
        if plan.version in _TAKEN:
            return what + "the name is taken"
        reason = self._fenced(token) if token is not None else ""
        if reason:
            return what + reason
        versions = self.versions()
        counts = versions[0] if versions else ""
        if plan.base != counts:
            return f"{what}is based on {_quoted(plan.base)}, and what counts is {_quoted(counts)}"
        return f"{what}the version is kept already" if plan.version in versions else ""

    def take(self, plan: Plan) -> None:
        """Have a plan count from now on."""
        newest = {version: self._plans[version] for version in self.versions()[: PLANS_KEPT - 1]}
        self._plans = {plan.version: (plan, self._clock_ms() + EXPIRE_MS)} | newest

    def take_lease(self, name: str, holder: str, lasting_ms: int) -> Lease:
        """As `Publisher.take_lease`; raises `GslbError` too where too many are kept."""
        what = f"lease {name!r}: "
        if not _NAME.fullmatch(name):
            raise GslbError(f"'{name}' is not the name of a lease")
        if not _HOLDER.fullmatch(holder):
            raise GslbError(f"{what}holder: {_quoted(holder)} is not 1 to {MAX_HOLDER} printable ASCII characters")
        if not 1 <= lasting_ms <= MAX_LASTING_MS:
            raise GslbError(
                f"{what}lasting_ms: {_quoted(str(lasting_ms))} is not a decimal number from 1 to {MAX_LASTING_MS}"
            )
        if name not in self._leases and len(self._leases) >= MAX_LEASES:
            raise GslbError(f"{what}{MAX_LEASES} leases are kept already")
        now_ms = self._clock_ms()
        lease = self._standing(name)
        if lease.left_ms and lease.holder != holder:
            return Lease(0, lease.holder, lease.left_ms)
        token = lease.token if lease.left_ms else max(lease.token + 1, now_ms)
        self._leases[name] = _Held(token, holder, now_ms + lasting_ms, lasting_ms)
        return Lease(token, holder, lasting_ms)

    def drop_lease(self, name: str, holder: str) -> Outcome:
        """As `Publisher.drop_lease`."""
        lease = self._standing(name)
        if not lease.left_ms:
            return Outcome(False, f"lease {name!r}: nobody holds it")
        if lease.holder != holder:
            return Outcome(False, f"lease {name!r}: {_held_by(lease)}")
        self._leases[name] = self._leases[name]._replace(until_ms=0)
        return Outcome(True)

    def freeze(self, until_ms: int, author: str, reason: str) -> Outcome:
        """As `Publisher.freeze`."""
        now_ms = self._clock_ms()
        faults = []
        if not 0 <= until_ms <= _MAX_MS:
            faults.append(f"until_ms: {_quoted(str(until_ms))} is not a decimal number from 0 to {_MAX_MS}")
        elif until_ms > now_ms + EXPIRE_MS:
            faults.append(f"until_ms: is more than {EXPIRE_MS // 86_400_000} days away")
        for key, text in (("author", author), ("reason", reason)):
            size = len(text.encode(errors="surrogateescape"))
            if not 1 <= size <= MAX_WORDS or _CONTROL.search(text):
                faults.append(f"{key}: is not 1 to {MAX_WORDS} bytes without control characters")
        if faults:
            return Outcome(False, f"freeze: {'; '.join(faults)}")
        self._freeze = Freeze(until_ms, author, reason) if until_ms > now_ms else None
        return Outcome(True)

    def frozen(self) -> Freeze | None:
        """As `Publisher.frozen`."""
        found = self._freeze
        return found if found is not None and found.until_ms > self._clock_ms() else None

    def _fenced(self, token: int) -> str:
        """Why a dispatcher with this token may not publish."""
        lease = self._standing(DISPATCH)
        if not lease.left_ms:
            return f"the lease {DISPATCH} has ended, or was never taken"
        if token != lease.token:
            return f"the token {_quoted(str(token))} is not that of the lease {DISPATCH}, which {_held_by(lease)}"
        found = self.frozen()
        return f"plans are frozen by {_quoted(found.author)}: {_quoted(found.reason)}" if found else ""

    def _standing(self, name: str) -> Lease:
        """A lease as it stands; ``left_ms`` 0 where it has ended or never was."""
        held = self._leases.get(name)
        if held is None:
            return Lease(0, "", 0)
        left_ms = held.until_ms - self._clock_ms()
        return Lease(held.token, held.holder, left_ms if 0 < left_ms <= held.lasting_ms + JUMP_MS else 0)


def check(plan: Plan) -> str:
    """Why a plan cannot be read by servers; empty where it can. Takes a second for a large one."""
    try:
        published.check(plan)
    except GslbError as error:
        return str(error)
    return ""


def _held_by(lease: Lease) -> str:
    return f"is held by {_quoted(lease.holder)} for another {lease.left_ms} ms"


def _quoted(text: str) -> str:
    """As ``quoted`` of gslb.lua."""
    cut = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    return f"'{_CONTROL.sub('?', cut)}'"
