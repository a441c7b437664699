"""One round of a dispatcher: everything that a plan needs is read, the solver makes it, and it is published.

A step that fails ends the round with one line, and the last plan stays. Outcomes: `PUBLISHED`; `DRY`, made and not
published; `STANDBY`, somebody else has the lease; `FROZEN`, by an operator's order; `FAILED`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from gslb.dispatch import routes, standing
from gslb.dispatch.keeping import Keeper
from gslb.dispatch.link import Link
from gslb.dispatch.network import Network, NetworkReader
from gslb.dispatch.outlook import Outlook, look
from gslb.dispatch.settings import Settings
from gslb.dispatch.solver import Solver
from gslb.errors import ConfigErrors, GslbError
from gslb.model.plan import Plan
from gslb.plan.round import Made, Round
from gslb.snapshot import planning
from gslb.snapshot.acceptance import MAX_SHIFT, shift
from gslb.store.leases import Leasing

PUBLISHED: Final = "published"
DRY: Final = "dry"
STANDBY: Final = "standby"
FROZEN: Final = "frozen"
FAILED: Final = "failed"
OUTCOMES: Final = (PUBLISHED, DRY, STANDBY, FROZEN, FAILED)

LEASE_MS: Final = 10_000
"""How long the lease lasts, counted from when it was prolonged last: a quarter of that ago, while its holder lives. So
another takes over within 10 s when it is killed, and at once when it ends in order."""

MOST_LINES: Final = 20
"""Of what is wrong in a round."""


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a round. ``reason`` is fit for a person, and empty where it went well; ``warnings`` tell what was
    passed over. ``made`` is there where a plan was made."""

    outcome: str
    reason: str = ""
    made: Made | None = None
    network: Network | None = None
    demand_age_s: float | None = None
    warnings: tuple[str, ...] = ()

    def told(self, at_ms: int) -> dict[str, Any]:
        """As a line of the file of rounds."""
        found: dict[str, Any] = {"at_ms": at_ms, "outcome": self.outcome}
        if self.reason:
            found["reason"] = self.reason
        if self.demand_age_s is not None:
            found["demand_age_s"] = round(self.demand_age_s, 1)
        if self.made is not None:
            found |= summary(self.made)
        return found


def summary(made: Made) -> dict[str, Any]:
    """The numbers of a round: rates in bits per second, money in currency per month, times in seconds of CPU."""
    plan, report, solution = made.plan, made.report, made.solution
    return {
        "version": plan.version,
        "base": plan.base,
        "rows": len(plan.rows),
        "demand_bps": report.demand_bps,
        "moved_bps": report.moved_bps,
        "forced_bps": forced_bps(made.plan),
        "waiting_bps": report.waiting_bps,
        "overload_bps": report.overload_bps,
        "unserved_bps": report.unserved_bps,
        "projection_error": round(report.surprise_total, 6),
        "forced": [each._asdict() for each in plan.forced],
        "shortfalls": [str(each) for each in report.shortfalls],
        "objective": round(solution.objective, 6),
        "dual_bound": round(solution.dual_bound, 6),
        "build_s": round(solution.build_s, 4),
        "solve_s": round(solution.solve_s, 4),
    }


def forced_bps(plan: Plan) -> int:
    """How much had to move, off all edges."""
    return sum(each.bps for each in plan.forced)


@dataclass(slots=True)
class Rounds:
    """Does one round after the other; ``leasing`` is the lease without which nothing is published."""

    settings: Settings
    link: Link
    solver: Solver
    reader: NetworkReader
    keeper: Keeper
    leasing: Leasing
    _published: Plan | None = field(default=None)

    async def one(self, *, dry: bool = False, at_ms: int | None = None) -> Done:
        """Do one round. Raises nothing: whatever goes wrong, the last plan stays and the next round may go well.

        With ``dry`` no lease is taken and nothing published; ``at_ms``, in ms since 1970, is then taken for the time
        that it is, None: the store's clock."""
        try:
            return await self._one(dry, at_ms)
        except GslbError as error:
            return Done(FAILED, _first_lines(str(error)))
        except OSError as error:
            return Done(FAILED, f"{error.filename or 'the state'}: {error.strerror or error}")
        except Exception as error:
            return Done(FAILED, f"a fault of this program: {type(error).__name__}: {error}")

    async def _one(self, dry: bool, at_ms: int | None) -> Done:
        network = await asyncio.to_thread(self.reader.read)
        warnings: tuple[str, ...] = (
            (f"the files have errors, those from before count: {self.reader.fault}",) if self.reader.fault else ()
        )
        writer = self.link.writer
        if not dry:
            lease = await self.leasing.take()
            if not lease.token:
                reason = f"{lease.holder} has the lease for {lease.left_ms / 1000:.0f} s more"
                return Done(STANDBY, reason, network=network, warnings=warnings)
            if (frozen := await writer.frozen()) is not None:
                until = datetime.fromtimestamp(frozen.until_ms / 1000, UTC).isoformat(timespec="seconds")
                reason = f"until {until} by {frozen.author}: {frozen.reason}"
                return Done(FROZEN, reason, network=network, warnings=warnings)
        if not network.planned:
            raise GslbError("no service is planned: set dispatch: true where one is to be")
        state = await self.link.state([edge.id for edge in network.edges])
        versions = await writer.plan_versions()
        before = await self._before(versions)
        now_ms = writer.clock_ms if at_ms is None else at_ms
        if not (versions or dry):
            before = self._lost(now_ms)
        if at_ms is not None and before is not None and before.issued_at_ms > at_ms:
            warnings += (f"plan {before.version} was issued later than --at: it does not count here",)
            before = None
        seen = await asyncio.to_thread(self._seen, network, now_ms / 1000)
        warnings += tuple(map(str, seen.findings.warnings))
        expected = seen.forecast
        if expected is None:
            reason = _first_lines(str(ConfigErrors(seen.findings.errors)))
            return Done(FAILED, reason, None, network, seen.age_s, warnings)

        def given() -> Round:
            stood = standing.standing(network, state, now_ms)
            barred = standing.barred(network, state, now_ms // 1000, expected.keys)
            return Round(
                version=version_at(now_ms),
                now_ms=now_ms,
                sites=stood.sites,
                live=stood.live,
                groups=expected.groups,
                candidates=routes.candidates(network, expected.keys, stood.usable, before, barred),
                rules=network.rules,
                before=before,
                inputs={**seen.inputs, "files": network.input},
                ttl_s=network.ttl_s,
                history_bps=expected.window_bps,
                measured_bps=expected.measured_bps,
            )

        ready = await asyncio.to_thread(given)
        made = await asyncio.to_thread(self.solver.made, ready, network.rules.solve_limit_s)
        base = versions[0] if versions else ""
        if made.plan.base != base:
            made = replace(made, plan=replace(made.plan, base=base))
        done = Done(DRY, "", made, network, seen.age_s, warnings)
        if fault := check(made, before):
            return replace(done, outcome=FAILED, reason=fault)
        if dry:
            return done
        return await self._publish(done, made.plan)

    async def _publish(self, done: Done, plan: Plan) -> Done:
        writer = self.link.writer
        lease = self.leasing.lease
        assert lease is not None
        try:
            outcome = await writer.publish(plan, lease.token)
        except GslbError:
            if plan.version not in (await writer.plan_versions())[:1]:  # it may have arrived all the same
                raise
        else:
            if not outcome.accepted:
                return replace(done, outcome=FAILED, reason=f"plan {plan.version} was refused: {outcome.reason}")
        self._published = plan
        try:
            await asyncio.to_thread(self.keeper.keep, plan)
        except OSError as error:
            warning = f"plan {plan.version} is published, and not kept: {error.filename}: {error.strerror}"
            done = replace(done, warnings=(*done.warnings, warning))
        return replace(done, outcome=PUBLISHED)

    async def _before(self, versions: Sequence[str]) -> Plan | None:
        """The plan that counts; where the store cannot give it what the state has, so that shares stay near to it all
        the same."""
        if not versions:
            return None
        if self._published is not None and self._published.version == versions[0]:
            return self._published
        if (found := await self.link.writer.plan()) is not None:
            return found
        try:
            return self.keeper.plan(versions[0]) or self.keeper.newest()
        except GslbError:
            return self.keeper.newest()

    def _lost(self, now_ms: int) -> Plan | None:
        """What servers still go by where the store has lost its plans: the last one known here, until it has faded."""
        last = self._published or self.keeper.newest()
        return last if last is not None and planning.faded(last, now_ms) < planning.STEPS else None

    def _seen(self, network: Network, now_s: float) -> Outlook:
        settings = self.settings
        return look(
            settings.demand_path,
            settings.demand_live,
            network.isps,
            network.services,
            network.rules,
            network.intent.events,
            now_s,
        )


def check(made: Made, before: Plan | None) -> str:
    """Why a plan must not be published, though it was made; empty where it may. Servers would refuse it."""
    if not made.plan.rows:
        return "the plan has no rows"
    if before is not None and (moved := shift(made.plan, before)) > MAX_SHIFT:
        return f"the plan moves {moved:.1%} of demand against {before.version}; servers take {MAX_SHIFT:.0%}"
    return ""


def _first_lines(text: str) -> str:
    """What a log can take of all that is wrong with a file."""
    lines = text.splitlines()
    return (
        text if len(lines) <= MOST_LINES else "\n".join([*lines[:MOST_LINES], f"… and {len(lines) - MOST_LINES} more"])
    )


def version_at(now_ms: int) -> str:
    """The version of a plan that is made at ``now_ms``: ``20261128T220510.125Z``."""
    at = datetime.fromtimestamp(now_ms // 1000, UTC)
    return f"{at:%Y%m%dT%H%M%S}.{now_ms % 1000:03d}Z"
