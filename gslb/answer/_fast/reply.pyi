# The docstrings are in the .pyx.

from typing import Final, final

from gslb.answer.engine import Identity
from gslb.answer.fast import Miss
from gslb.snapshot.catalog import Catalog
from gslb.snapshot.steering import Steering

OUTCOME_NAMES: Final[tuple[str, ...]]
MISS_NAMES: Final[tuple[str, ...]]

@final
class Snapshot:
    @property
    def catalog(self) -> Catalog: ...
    def __new__(
        cls, catalog: Catalog, steering: Steering, identity: Identity, former: Snapshot | None = None
    ) -> Snapshot: ...
    def answer(self, packet: bytes, source: bytes, now_s: int, draw: int) -> bytes | Miss | None: ...

def fits() -> bool: ...
