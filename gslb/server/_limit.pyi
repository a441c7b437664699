# The docstrings are in the .pyx.

from collections.abc import Iterable
from typing import final

@final
class CompiledLimiter:
    def __new__(
        cls, per_second: float, slip: int, window_s: float, allow: Iterable[str], workers: int = 1
    ) -> CompiledLimiter: ...
    def decide(self, source: bytes, kind: str, now: float) -> int: ...
    def positive_is_over(self, source: bytes, now: float) -> bool: ...
