"""Where clients are: a prefix join by equality alone.

`PLACES` holds nested prefixes, and what is known of a client prefix is what the longest of them says that covers it,
as servers find it: what is longer than the client's own prefix never decides. Each distinct client is looked for once
under each length that occurs, so that engines hash and never compare ranges.
"""

from __future__ import annotations

import ibis

from gslb.tables.schemas import Table
from gslb.tables.shaping import CLIENT, VIEW, Kept, net_mask


def located(table: Table, places: Table, kept: Kept | None = None) -> Table:
    """``table``, which has the columns of a client, with country, region and isp of each row; empty where nothing is
    known, and of rows without a client. ``kept`` computes a table once: an engine that knows how many clients there are
    joins the better."""
    clients = table.select(*CLIENT).distinct()
    clients = clients.filter(clients.client_family != 0)
    views = _views(clients, places)
    return _beside(table, kept(views) if kept is not None else views)


def _views(clients: Table, places: Table) -> Table:
    """Clients, each once, with their views; those that nothing is known of are left out."""
    inner = _without_shell(clients)
    lengths = places.select("family", "len").distinct()
    lengths = lengths.mutate(mask=net_mask(lengths.family, lengths.len))
    asked = inner.join(lengths, "family")
    asked = asked.filter(asked.len <= asked.own_len)
    asked = asked.mutate(net=asked.own_net & asked.mask)
    hits = asked.join(places, ["family", "len", "net"])
    return hits.group_by(*CLIENT).agg(**{name: hits[name].argmax(hits.len) for name in VIEW})


def _without_shell(clients: Table) -> Table:
    """With family, own_net and own_len to look up: of a 6to4 prefix (RFC 3056) those of the IPv4 prefix inside."""
    is_6to4 = (clients.client_family == 6) & (clients.client_len > 16)
    is_6to4 &= (clients.client_net >> ibis.literal(48, "int32")) == 0x2002
    inner = (clients.client_net >> ibis.literal(16, "int32")) & 0xFFFFFFFF
    return clients.mutate(
        family=is_6to4.ifelse(4, clients.client_family).cast("int64"),
        own_net=is_6to4.ifelse(inner, clients.client_net),
        own_len=is_6to4.ifelse(ibis.least(clients.client_len - 16, 32), clients.client_len),
    )


def _beside(table: Table, views: Table) -> Table:
    """The rows with the view of their client."""
    views = views.rename({f"_{name}": name for name in CLIENT})
    joined = table.left_join(views, [table[name] == views[f"_{name}"] for name in CLIENT])
    return joined.select(*table.columns, **{name: joined[name].fill_null("") for name in VIEW})
