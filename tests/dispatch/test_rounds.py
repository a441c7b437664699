"""A round in which something happens meanwhile, and what must not be published though it was made."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator

import pytest
from gslbtest.stores import RedisServer, publish

from gslb.dispatch import process
from gslb.dispatch.rounds import FAILED, PUBLISHED, Done, check
from gslb.dispatch.settings import Settings
from gslb.dispatch.solver import Solver
from gslb.model.plan import DOWN, PLAN_SUM, Forced, Plan, PlanRow
from gslb.plan import published
from gslb.plan.round import Made, Round

LEASE, CURRENT = "{gslb}:lease:dispatch", "{gslb}:plan:current"


class Meanwhile(Solver):
    """One process, with something that happens while it solves."""

    def __init__(self) -> None:
        super().__init__()
        self.happens: Callable[[], None] = lambda: None
        self.sees: Callable[[Round], None] = lambda _: None

    def made(self, given: Round, limit_s: float) -> Made:
        """The plan, after what happens."""
        self.happens()
        self.sees(given)
        return super().made(given, limit_s)

    def close(self) -> None:
        """Not at the end of each round."""


@pytest.fixture(scope="module")
def solver() -> Iterator[Meanwhile]:
    found = Meanwhile()
    yield found
    Solver.close(found)


def rounds(settings: Settings, solver: Meanwhile, *happens: Callable[[], None]) -> list[Done]:
    """What becomes of rounds of one dispatcher, in each of which something happens."""

    async def run() -> list[Done]:
        found = []
        async with process._rounds(settings, solver) as one_after_the_other:
            for solver.happens in happens:
                found.append(await one_after_the_other.one())
        return found

    return asyncio.run(run())


def nothing() -> None:
    """Happens."""


def test_the_plan_before_is_the_one_that_was_published_last(settings: Settings, solver: Meanwhile) -> None:
    first, second = rounds(settings, solver, nothing, nothing)
    assert (first.outcome, second.outcome) == (PUBLISHED, PUBLISHED)
    assert first.made is not None
    assert second.made is not None
    assert second.made.plan.base == first.made.plan.version
    assert second.made.report.moved_bps == 0


@pytest.mark.parametrize("restarted", [False, True], ids=["the same process", "started anew"])
def test_where_the_store_lost_its_plans_the_next_stays_near_to_the_last(
    settings: Settings, solver: Meanwhile, server: RedisServer, *, restarted: bool
) -> None:
    def flushed() -> None:
        server.cli("FLUSHALL")

    near: list[Plan | None] = []
    solver.sees = lambda given: near.append(given.before)
    if restarted:
        (first,) = rounds(settings, solver, nothing)
        flushed()
        (after,) = rounds(settings, solver, nothing)
    else:
        first, _, after = rounds(settings, solver, nothing, flushed, nothing)
    assert first.made is not None
    assert after.made is not None
    assert (after.outcome, after.made.plan.base) == (PUBLISHED, "")
    assert near[-1] is not None
    assert near[-1].rows == first.made.plan.rows


@pytest.mark.parametrize("lost", ["the lease", "the base"])
def test_who_was_overtaken_publishes_nothing(
    settings: Settings, solver: Meanwhile, server: RedisServer, lost: str
) -> None:
    def happens() -> None:
        if lost == "the lease":
            server.cli("DEL", LEASE)
        else:  # somebody publishes by hand
            assert publish(server, BEFORE.version, *published.write(BEFORE))

    (done,) = rounds(settings, solver, happens)
    assert done.outcome == FAILED
    assert done.made is not None
    assert done.reason.startswith(f"plan {done.made.plan.version} was refused: ")
    assert server.cli("GET", CURRENT) == ("" if lost == "the lease" else BEFORE.version)


def raising(error: Exception) -> Callable[[], None]:
    def happens() -> None:
        raise error

    return happens


@pytest.mark.parametrize(
    ("happens", "told"),
    [
        (raising(KeyError("x")), "a fault of this program: KeyError: 'x'"),
        (raising(OSError(28, "No space left on device", "/state")), "/state: No space left on device"),
        (raising(OSError("what")), "the state: what"),
    ],
)
def test_whatever_goes_wrong_costs_one_round(
    settings: Settings, solver: Meanwhile, happens: Callable[[], None], told: str
) -> None:
    failed, next_one = rounds(settings, solver, happens, nothing)
    assert (failed.outcome, failed.reason) == (FAILED, told)
    assert next_one.outcome == PUBLISHED


def plan(*rows: tuple[str, dict[str, int], int], forced: tuple[Forced, ...] = ()) -> Plan:
    found = tuple(PlanRow("a.", country, "", "", tuple(weights.items()), (), bps) for country, weights, bps in rows)
    return Plan("v2", rows=found, forced=forced)


ALL_A, ALL_B = {"a": PLAN_SUM}, {"b": PLAN_SUM}
BEFORE = plan(("DE", ALL_A, 40), ("FR", ALL_A, 60))


@pytest.mark.parametrize(
    ("made", "before", "told"),
    [
        (plan(), None, "the plan has no rows"),
        (plan(("DE", ALL_A, 40)), None, ""),
        (plan(("DE", ALL_B, 30), ("FR", ALL_A, 70)), BEFORE, ""),
        (
            plan(("DE", ALL_B, 40), ("FR", ALL_A, 60)),
            BEFORE,
            "the plan moves 40.0% of demand against v2; servers take 30%",
        ),
        (plan(("DE", ALL_B, 40), ("FR", ALL_A, 60), forced=(Forced("a", DOWN, 40),)), BEFORE, ""),
    ],
)
def test_what_servers_would_refuse_is_not_published(made: Plan, before: Plan | None, told: str) -> None:
    assert check(Made(made, None, None), before) == told  # it looks at the plan alone


def test_a_round_is_a_line_of_json(settings: Settings, solver: Meanwhile) -> None:
    (done,) = rounds(settings, solver, nothing)
    told = done.told(5)
    assert json.loads(json.dumps(told)) == told
    assert (told["at_ms"], told["outcome"], told["rows"]) == (5, PUBLISHED, 2)
