"""What steps are given to compute a table once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from gslb.measure.engine import Engine
from gslb.tables.schemas import Table
from gslb.tables.shaping import Kept


@contextlib.contextmanager
def keeping(engine: Engine) -> Iterator[Kept]:
    """A `Kept` of an engine: all that it computes is kept until the context is left."""
    with contextlib.ExitStack() as stack:

        def kept(table: Table, *, instead_of: Table | None = None) -> Table:
            if instead_of is None:
                return stack.enter_context(engine.kept(table))
            engine.renew(instead_of, table)
            return instead_of

        yield kept
