"""How answers were really spread over the edges: counted over the last minute, for comparison with what was meant."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from gslb.server import cells

WINDOW_S = 60.0
EVERY_S = 5.0
"""Between two samples."""

U64 = npt.NDArray[np.uint64]


class Drawn:
    """Samples of the workers' counters, `EVERY_S` apart, over `WINDOW_S`, whoever reads them and how often."""

    def __init__(
        self, counters: Callable[[], Sequence[memoryview]], edge_slots: Callable[[], Mapping[str, int]]
    ) -> None:
        self._counters = counters
        self._edge_slots = edge_slots
        self._samples: deque[tuple[float, U64]] = deque()

    def sample(self, now_s: float) -> None:
        """Look at the counters; ``now_s`` is a clock that never goes back."""
        self._samples.append((now_s, self._sums()))
        while now_s - self._samples[0][0] > WINDOW_S:
            self._samples.popleft()

    def shares(self) -> dict[str, float]:
        """Edge → the part, 0 to 1, of the answers since the oldest sample that named it first; 0 where there were
        none."""
        sums = self._sums()
        counts = sums.copy()
        if self._samples:
            former = self._samples[0][1]
            counts[: len(former)] -= former
        total = int(counts.sum())
        return {edge: int(counts[slot]) / total if total else 0.0 for edge, slot in self._edge_slots().items() if slot}

    def _sums(self) -> U64:
        """Answers by slot, over all workers; slot 0 is that of edges without one of their own."""
        used = len(self._edge_slots()) + 1
        found = np.zeros(used, dtype=np.uint64)
        for each in self._counters():
            found += np.frombuffer(each, dtype=np.uint64, count=used, offset=cells.EDGES * 8)
        return found
