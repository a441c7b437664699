"""What hours of `RESOLVERS` come to together: the shares that `resolvers.csv` holds."""

from __future__ import annotations

from typing import Final

from gslb.model import records
from gslb.tables.resolvers import MIN_SHARE
from gslb.tables.schemas import Table
from gslb.tables.shaping import VIEW, one_of_each

COLUMNS: Final[records.Columns] = {
    "resolver_prefix": records.TEXT,
    "client_prefix": records.TEXT,
    "share": records.REAL,
}


def learned(resolvers: Table) -> Table:
    """Of each resolver prefix the client prefixes that stand for its views, with the share that each view has of all
    its questions, above `MIN_SHARE`; columns are `COLUMNS`. A view is stood for by the prefix that asked most in any
    hour."""
    own = ["resolver_prefix", *VIEW]
    views = resolvers.group_by(*own).agg(questions=resolvers.questions.sum())
    best = one_of_each(resolvers, own, [resolvers.questions.desc(), resolvers.client_prefix])
    named = views.join(best.select(*own, "client_prefix"), own)
    named = named.group_by("resolver_prefix", "client_prefix").agg(questions=named.questions.sum())
    totals = named.group_by("resolver_prefix").agg(total=named.questions.sum())
    both = named.join(totals, "resolver_prefix")
    shares = both.select(
        "resolver_prefix",
        "client_prefix",
        share=both.questions.cast("float64") / both.total.nullif(0).cast("float64"),
    )
    return shares.filter(shares.share >= MIN_SHARE)
