"""Work side by side: what takes long is done by threads, what becomes of it is settled by one thread, in order."""

from __future__ import annotations

import functools
import itertools
import queue
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from gslb.measure.engine import Engine

T = TypeVar("T")

Job = Callable[[Engine], T]
"""What is done with an engine of its own."""


def abreast(engine: Engine, jobs: Iterable[Job[T]]) -> Generator[Callable[[], T], None, None]:
    """For each job, in their order, what returns its result or raises what it raised.

    They are done by threads, one for each of ``engine.others``, while the caller settles those before; one job alone,
    or of an engine without others, is done in this thread when its result is asked for. ``jobs`` are made here, a few
    ahead. Who stops early waits for those that were begun.
    """
    coming = iter(jobs)
    first = list(itertools.islice(coming, 2))
    if len(first) < 2 or not engine.others:
        yield from (functools.partial(job, engine) for job in itertools.chain(first, coming))
        return
    free: queue.SimpleQueue[Engine] = queue.SimpleQueue()
    for other in engine.others:
        free.put(other)

    def done(job: Job[T]) -> T:
        own = free.get()
        try:
            return job(own)
        finally:
            free.put(own)

    ahead: deque[Future[T]] = deque()
    pool = ThreadPoolExecutor(len(engine.others), thread_name_prefix="abreast")
    try:
        for job in itertools.chain(first, coming):
            ahead.append(pool.submit(done, job))
            if len(ahead) > len(engine.others):
                yield ahead.popleft().result
        while ahead:
            yield ahead.popleft().result
    finally:
        pool.shutdown(cancel_futures=True)
