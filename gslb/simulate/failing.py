"""What breaks in a scenario, as the condition of edges at each second."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from gslb.simulate.scenario import GREY, LARGEST, LINK, POP, STALE, Failure, Scenario
from gslb.simulate.telemetry import Condition
from gslb.simulate.world import World

Mask = npt.NDArray[np.bool_]


def conditions(scenario: Scenario, world: World) -> Callable[[int], Condition]:
    """The condition of edges at a second of the run, warm-up included.

    Raises ValueError where a failure is of a PoP or an edge that the world has not.
    """
    capacity = np.array([float(edge.capacity_bps) for edge in world.edges])
    nothing = np.zeros(len(capacity), dtype=np.bool_)
    meant = [(each, struck(each, world)) for each in scenario.failures]
    sound = Condition(nothing, nothing, capacity, capacity)
    known: dict[tuple[bool, ...], Condition] = {}

    def at(now_s: int) -> Condition:
        since_s = now_s - scenario.warmup_s
        acting = tuple(each.at_s <= since_s < each.until_s for each, _ in meant)
        if acting not in known:
            known[acting] = _with(sound, [pair for pair, acts in zip(meant, acting, strict=True) if acts])
        return known[acting]

    return at


def struck(failure: Failure, world: World) -> Mask:
    """Which edges a failure is of."""
    if failure.edge:
        found = np.array([edge.id == failure.edge for edge in world.edges])
    else:
        pop = largest(world) if failure.pop == LARGEST else failure.pop
        found = np.array([edge.pop == pop for edge in world.edges])
    if not found.any():
        raise ValueError(f"a failure is of {failure.edge or failure.pop!r}, and the world has no such thing")
    return found


def largest(world: World) -> str:
    """The PoP with most capacity."""
    capacity = np.array([float(edge.capacity_bps) for edge in world.edges])
    return world.pops[int(np.bincount(world.pop_of_edge, weights=capacity).argmax())]


def _with(sound: Condition, failures: list[tuple[Failure, Mask]]) -> Condition:
    dead, silent, says, true = sound.dead.copy(), sound.silent.copy(), sound.says_bps.copy(), sound.true_bps.copy()
    for failure, edges in failures:
        if failure.kind == POP:
            dead |= edges
        elif failure.kind == STALE:
            silent |= edges
        else:
            true[edges] *= 1.0 - failure.loss
            if failure.kind == LINK:
                says[edges] *= 1.0 - failure.loss
            assert failure.kind in (LINK, GREY)
    return Condition(dead, silent, says, true)
