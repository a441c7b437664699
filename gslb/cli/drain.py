"""``gslb drain`` and ``gslb undrain``: take an edge or a PoP out of answers for a while, and give it back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from gslb.cli import ordering
from gslb.cli.remote import Admin, AsJson, State
from gslb.cli.serve import Config
from gslb.errors import GslbError
from gslb.model.override import Override

if TYPE_CHECKING:  # imported by the verb that needs it
    from gslb.cli.desk import Desk

Name = Annotated[str, typer.Argument(metavar="EDGE|POP", help="An edge, or a PoP with all its edges")]


def drain(
    name: Name,
    reason: ordering.Reason,
    begin: ordering.From = "now",
    lasting: ordering.For = ordering.FOR,
    ramp: ordering.Ramp = "0s",
    service: ordering.Service = "",
    view: ordering.View = "",
    author: ordering.Author = None,
    id_: ordering.Id = "",
    is_edge: ordering.IsEdge = False,
    is_pop: ordering.IsPop = False,
    force: ordering.Force = False,
    store: ordering.Store = None,
    admin: Admin = None,
    state: State = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Take an edge or a PoP out of answers for a while. It comes back by itself when --for is over.

    Refused where clients of a service would be left without a healthy edge, unless --force. TTLs are short ahead of it,
    so that viewers are gone by the time it begins.
    """

    def draft(place: Mapping[str, str]) -> ordering.Draft:
        target = {**place, "service": service, "view": ordering.view_of(view)}
        return ordering.Draft("drain", target, begin, lasting, ramp, ordering.author_of(author), reason)

    where = store, admin, state, config
    ordering.place_order_at(where, name, draft, id_, is_edge=is_edge, is_pop=is_pop, force=force, as_json=as_json)


def undrain(
    name: Name,
    is_edge: ordering.IsEdge = False,
    is_pop: ordering.IsPop = False,
    store: ordering.Store = None,
    admin: Admin = None,
    state: State = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """End every drain of exactly this edge or PoP now, or call off one to come. Its weight comes back by slow start."""
    import sys

    from gslb.cli.desk import desk as open_desk
    from gslb.errors import UsageError
    from gslb.model.override import KIND_DRAIN

    ordering.check_place(is_edge=is_edge, is_pop=is_pop)
    desk = open_desk(store, admin, state, config)
    kept = desk.kept()
    clock_s = kept.clock_ms // 1000
    drains = [each for each in kept.overrides if each.kind == KIND_DRAIN and each.until_s > clock_s]
    of_edge = [each for each in drains if each.target.edge == name and not is_pop]
    of_pop = [each for each in drains if each.target.pop == name and not is_edge]
    if of_edge and of_pop:
        raise UsageError(f"{name!r} is drained as an edge and as a PoP; say --edge or --pop")
    edges = desk.edges()
    if not of_edge and not of_pop:
        raise GslbError(_nothing(desk, edges, name, drains))
    ordering.end(desk, [*of_edge, *of_pop], clock_s, as_json=as_json)
    for line in _still(edges or {}, name, [each for each in drains if each not in of_edge and each not in of_pop]):
        print(f"gslb: {line}", file=sys.stderr)


def _nothing(desk: Desk, edges: dict[str, str] | None, name: str, drains: Sequence[Override]) -> str:
    """Why there is nothing to end, with what else may have been meant."""
    if edges is not None and name not in edges and name not in edges.values():
        return ordering.unknown(name, edges)
    names = [each.target.edge or each.target.pop for each in drains]
    return "\n".join([f"nothing drains {name!r}{ordering.near(name, names)}", *_still(edges or {}, name, drains)])


def _still(edges: dict[str, str], name: str, drains: Sequence[Override]) -> list[str]:
    """The other drains that act on an edge or on edges of a PoP."""
    from gslb.cli.show_orders import what

    return [
        f"{each.id} still says: {what(each)}"
        for each in drains
        if (each.target.pop and each.target.pop == edges.get(name))
        or (each.target.edge and edges.get(each.target.edge) == name)
    ]
