"""``gslb override``: all that operators ordered for a while. A drain has a verb of its own."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from gslb.cli import ordering
from gslb.cli.drain import Name
from gslb.cli.remote import Admin, AsJson, State
from gslb.cli.serve import Config
from gslb.errors import GslbError

if TYPE_CHECKING:  # imported by the verb that needs it
    from gslb.cli.desk import Desk
    from gslb.model.override import Override
    from gslb.store.admin_port import Kept

override = typer.Typer(no_args_is_help=True, help="Show, set and end what operators order for a while.")
setting = typer.Typer(no_args_is_help=True, help="Order a change of weight (ramp), or where viewers go (pin).")
override.add_typer(setting, name="set")

_PERCENT = re.compile(r"(\d{1,3})(?:\.(\d))?%", re.ASCII)


@override.command("list")
def list_(
    every: Annotated[bool, typer.Option("--all", help="Those too that ended within the last minutes")] = False,
    store: ordering.Store = None,
    admin: Admin = None,
    state: State = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """List the overrides that act or are to come."""
    from gslb.cli.desk import desk as open_desk
    from gslb.cli.show_orders import as_data, table_lines

    kept = _kept(open_desk(store, admin, state, config))
    clock_s = kept.clock_ms // 1000
    found = [each for each in kept.overrides if every or each.until_s > clock_s]
    if as_json:
        print(json.dumps([as_data(each, clock_s) for each in found]))
    else:
        print("\n".join(table_lines(found, clock_s)) or "no overrides")


@override.command()
def show(
    id_: Annotated[str, typer.Argument(metavar="ID", help="As `gslb override list` shows it")],
    store: ordering.Store = None,
    admin: Admin = None,
    state: State = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show all of one override."""
    from gslb.cli.desk import desk as open_desk
    from gslb.cli.show_orders import as_data, full_lines

    kept = _kept(open_desk(store, admin, state, config))
    found, clock_s = _named(kept, [id_])[0], kept.clock_ms // 1000
    print(json.dumps(as_data(found, clock_s)) if as_json else "\n".join(full_lines(found, clock_s)))


@override.command()
def cancel(
    ids: Annotated[list[str], typer.Argument(metavar="ID…", help="As `gslb override list` shows them")],
    store: ordering.Store = None,
    admin: Admin = None,
    state: State = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """End overrides now, or call off those to come. Weights come back by slow start."""
    from gslb.cli.desk import desk as open_desk

    desk = open_desk(store, admin, state, config)
    kept = _kept(desk)
    found = _named(kept, list(dict.fromkeys(ids)))
    ordering.end(desk, found, kept.clock_ms // 1000, as_json=as_json)


@setting.command()
def ramp(
    name: Name,
    weight: Annotated[str, typer.Option(metavar="PERCENT", help="The part of its weight that is left, such as 30%")],
    reason: ordering.Reason,
    begin: ordering.From = "now",
    lasting: ordering.For = ordering.FOR,
    over: Annotated[str, typer.Option("--ramp", metavar="DURATION", help="Get there over this time, as 10m")] = "0s",
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
    """Leave an edge, or each edge of a PoP, a part of its weight for a while."""

    def draft(place: Mapping[str, str]) -> ordering.Draft:
        target = {**place, "service": service, "view": ordering.view_of(view)}
        who, (milli, faults) = ordering.author_of(author), _milli(weight)
        return ordering.Draft("ramp", target, begin, lasting, over, who, reason, milli, {"value": "--weight"}, faults)

    where = store, admin, state, config
    ordering.place_order_at(where, name, draft, id_, is_edge=is_edge, is_pop=is_pop, force=force, as_json=as_json)


@setting.command()
def pin(
    service: Annotated[str, typer.Argument(metavar="SERVICE", help="Its name, such as pull.live.example.")],
    edges: Annotated[str, typer.Option(metavar="EDGE,EDGE…", help="The edges that answer alone while one lives")],
    reason: ordering.Reason,
    view: ordering.View = "",
    begin: ordering.From = "now",
    lasting: ordering.For = ordering.FOR,
    author: ordering.Author = None,
    id_: ordering.Id = "",
    force: ordering.Force = False,
    store: ordering.Store = None,
    admin: Admin = None,
    state: State = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Answer some viewers of a service, or all, with these edges alone for a while."""
    from gslb.cli.desk import desk as open_desk

    target = {"service": service, "view": ordering.view_of(view)}
    value = [each.strip() for each in edges.split(",")]
    named = {"value": "--edges", "target.service": "SERVICE"}
    who = ordering.author_of(author)
    draft = ordering.Draft("pin", target, begin, lasting, "0s", who, reason, value, named)
    ordering.check(draft, id_)
    ordering.place_order(open_desk(store, admin, state, config), draft, id_, force=force, as_json=as_json)


def _kept(desk: Desk) -> Kept:
    kept = desk.kept()
    if not kept.connected:
        print("gslb: the store is away; these are the overrides that the server acts upon", file=sys.stderr)
    return kept


def _named(kept: Kept, ids: list[str]) -> list[Override]:
    """The overrides of these ids. Raises `GslbError` with every one that is not kept."""
    known = {each.id: each for each in kept.overrides}
    missing = [f"no override {each!r} is kept{ordering.near(each, known)}" for each in ids if each not in known]
    if missing:
        raise GslbError("\n".join(missing))
    return [known[each] for each in ids]


def _milli(text: str) -> tuple[int, tuple[str, ...]]:
    """``30%`` → 300, and what is wrong with it."""
    found = _PERCENT.fullmatch(text)
    milli = 10 * int(found[1]) + int(found[2] or 0) if found else 1001
    if milli > 1000:
        return 0, (f"--weight: {text!r} is not a part of its weight from 0% to 100%, such as 30%",)
    return milli, ()
