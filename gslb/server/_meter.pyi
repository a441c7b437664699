# The docstrings are in the .pyx.

from typing import final

from gslb.answer._fast.reply import Snapshot
from gslb.server._limit import CompiledLimiter

@final
class Served:
    def __new__(
        cls, snapshot: Snapshot, edge_slots: bytes, limiter: CompiledLimiter | None, catalog: int, steering: int
    ) -> Served: ...

@final
class Meters:
    def __new__(cls, counters: memoryview, number: int, ring: memoryview | None) -> Meters: ...
