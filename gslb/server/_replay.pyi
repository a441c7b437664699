# The docstrings are in the .pyx.

from collections.abc import Sequence

from gslb.server._meter import Meters, Served

def replay(
    served: Served, meters: Meters, packets: Sequence[bytes], sources: Sequence[bytes], rounds: int, *, metered_: bool
) -> tuple[int, float]: ...
