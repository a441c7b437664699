"""All policies of a scenario in its one world, side by side in processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Final

from gslb.errors import GslbError
from gslb.simulate.policies import KINDS
from gslb.simulate.record import Record
from gslb.simulate.running import run
from gslb.simulate.scenario import Scenario
from gslb.simulate.world import World

Progress = Callable[[str, int], None]

_SLOWEST_FIRST: Final = tuple(reversed(KINDS))


def compare(
    scenario: Scenario, world: World, processes: int, progress: Progress = lambda name, now_s: None
) -> list[Record]:
    """The record of each policy of the scenario, in its order; with ``processes`` 1 all are run by this one.

    ``progress`` is told the policy and how many seconds of its run are done. Raises `GslbError` where a process ends
    without a record.
    """
    names = scenario.policies
    if processes <= 1 or len(names) == 1:
        return [run(scenario, world, name, _for(name, progress)) for name in names]
    context = multiprocessing.get_context("spawn")
    waiting = sorted(names, key=_SLOWEST_FIRST.index)
    running: dict[Connection, tuple[str, BaseProcess]] = {}
    found: dict[str, Record] = {}
    try:
        while waiting or running:
            while waiting and len(running) < processes:
                ours, theirs = context.Pipe(duplex=False)
                begun = context.Process(target=child_run, args=(scenario, world, waiting[0], theirs), daemon=True)
                begun.start()
                theirs.close()
                running[ours] = waiting.pop(0), begun
            for ready in wait(list(running)):
                assert isinstance(ready, Connection)
                name, child = running[ready]
                try:
                    told = ready.recv()
                except EOFError:
                    raise GslbError(f"the run of {name} ended without a record") from None
                if isinstance(told, Record):
                    found[name] = told
                    del running[ready]
                    child.join()
                else:
                    progress(name, told)
    finally:
        for _, child in running.values():
            child.kill()
    return [found[name] for name in names]


def child_run(scenario: Scenario, world: World, name: str, into: Connection) -> None:
    """What a process does: run a policy, tell how far it is, and then hand over the record."""
    into.send(run(scenario, world, name, into.send))


def _for(name: str, progress: Progress) -> Callable[[int], None]:
    return lambda now_s: progress(name, now_s)
