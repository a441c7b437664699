"""A plan's rows in the numbers of a catalog: positions of classes and of edges in pools in place of keys and ids."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PlannedPolicy:
    """The plan rows of one policy. ``row_of_class`` is a row of the tables, -1 where the class has none.

    ``primary`` and ``backup``, as wide as the longest row, are positions in the pool, -1 past the end; ``weight`` are
    those of the primaries. ``names`` are the rows' keys, ``costs`` those of the primaries and then of the backups,
    where known. ``skipped_of_class`` is the position in ``reasons``, plus 1, why the row that a class would go by first
    cannot be used; 0 where there is none.
    """

    row_of_class: I64
    primary: I64
    weight: I64
    backup: I64
    names: tuple[str, ...]
    costs: tuple[tuple[float, ...], ...] = ()
    skipped_of_class: I64 = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    reasons: tuple[str, ...] = ()
