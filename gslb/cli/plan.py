"""``gslb plan``: the published plans; show, compare and explain them, freeze them, put another one in force."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gslb.cli import ordering
from gslb.cli.files import Data
from gslb.cli.remote import Admin, AsJson, State
from gslb.cli.serve import Config
from gslb.cli.units import TIME_HELP
from gslb.errors import GslbError

if TYPE_CHECKING:  # imported by the verb that needs it
    from gslb.cli.plan_desk import PlanDesk
    from gslb.model.plan import Plan

plan = typer.Typer(no_args_is_help=True, help="Show, compare, explain, freeze and roll back published plans.")

Store = Annotated[
    str | None, typer.Option("--store", metavar="URL", help="The store, where no server is at hand: redis://…")
]
Kept = Annotated[
    Path,
    typer.Option(
        "--kept", metavar="DIR", help="A dispatcher's state directory, for plans that the store has forgotten"
    ),
]
KEPT = Path("/var/lib/gslb-dispatch")
WHICH = "PLAN"
WHICH_HELP = "A version of `gslb plan show --list`, or a file that --json or `gslb dispatch --out` wrote"


@plan.command()
def show(
    version: Annotated[
        str | None, typer.Argument(metavar=WHICH, help=f"{WHICH_HELP}; default: the plan that counts")
    ] = None,
    rows: Annotated[bool, typer.Option("--rows", help="Show the rows, not what the plan is")] = False,
    service: Annotated[str, typer.Option(metavar="NAME", help="Rows of this service alone")] = "",
    view: Annotated[str, typer.Option(metavar="C/R/I", help="Rows of these viewers alone, such as CN or CN/SH")] = "",
    versions: Annotated[bool, typer.Option("--list", help="List the plans that are kept, newest first")] = False,
    store: Store = None,
    admin: Admin = None,
    state: State = None,
    kept: Kept = KEPT,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show a plan: what it is, and with --rows, --service or --view its rows."""
    from gslb.cli import show_plan
    from gslb.cli.plan_desk import PlanDesk
    from gslb.errors import UsageError

    desk = PlanDesk.of(store, admin, state, config, kept)
    if versions:
        found_versions = desk.versions()
        print(json.dumps(found_versions) if as_json else "\n".join(found_versions) or "no plans")
        return
    found = desk.plan(version)
    wanted = ordering.view_of(view).split("|") if view else ["", "", ""]
    if len(wanted) != 3:
        raise UsageError(f"--view: {view!r} has more than country, region and ISP")
    name = _full(service) if service else ""
    services = {row.service for row in found.rows}
    if name and name not in services:
        raise GslbError(f"{name} has no rows in plan {found.version}; planned: {', '.join(sorted(services)) or 'none'}")
    chosen = [
        row
        for row in found.rows
        if name in ("", row.service)
        and all(not asked or asked == has for asked, has in zip(wanted, row[1:4], strict=True))
    ]
    if as_json:
        from gslb.dispatch.keeping import text_of

        if len(chosen) == len(found.rows):
            print(text_of(found))
        else:
            print(json.dumps([row._asdict() for row in chosen]))
    elif rows or service or view:
        print("\n".join(show_plan.row_lines(chosen)) if chosen else "no such rows")
    else:
        print("\n".join(show_plan.plan_lines(found, desk.clock_ms, desk.frozen)))


@plan.command()
def diff(
    old: Annotated[
        str | None, typer.Argument(metavar=WHICH, help=f"{WHICH_HELP}; default: what the other one is based on")
    ] = None,
    new: Annotated[str | None, typer.Argument(metavar=WHICH, help="Another; default: the plan that counts")] = None,
    store: Store = None,
    admin: Admin = None,
    state: State = None,
    kept: Kept = KEPT,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show how much moves from one plan to another, by edge and by group."""
    from gslb.cli import show_plan
    from gslb.cli.plan_desk import PlanDesk
    from gslb.dispatch.comparing import difference

    desk = PlanDesk.of(store, admin, state, config, kept)
    later = desk.plan(new)
    if not (old or later.base):
        raise GslbError(f"{later.version} is based on no other plan")
    found = difference(desk.plan(old or later.base), later)
    print(json.dumps(show_plan.difference_data(found)) if as_json else "\n".join(show_plan.difference_lines(found)))


@plan.command()
def explain(
    service: Annotated[str, typer.Argument(metavar="SERVICE", help="Its name, such as pull.live.example.")],
    client: Annotated[str, typer.Option(metavar="ADDRESS|PREFIX", help="The client")],
    version: Annotated[
        str | None, typer.Option(metavar=WHICH, help=f"{WHICH_HELP}; default: the plan that counts")
    ] = None,
    zones: Annotated[Path, typer.Option(metavar="DIR", help="The zones")] = Path("zones"),
    data: Data = None,
    store: Store = None,
    admin: Admin = None,
    state: State = None,
    kept: Kept = KEPT,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Explain what a plan says for a client: view, row, candidates with costs, and the limits that hold them back."""
    from gslb.cli import show_plan
    from gslb.cli.files import folders, prefix_of
    from gslb.cli.plan_desk import PlanDesk
    from gslb.dispatch.explaining import explain as explained
    from gslb.dispatch.network import read

    network = prefix_of(client)
    files = read(*folders(zones, data))
    desk = PlanDesk.of(store, admin, state, config, kept)
    packed, length = network.network_address.packed, network.prefixlen
    found = explained(files, desk.plan(version), _full(service), packed, length, str(network))
    print(json.dumps(show_plan.explanation_data(found)) if as_json else "\n".join(show_plan.explanation_lines(found)))


@plan.command()
def freeze(
    until: Annotated[str, typer.Option(metavar="TIME", help=f"By the store's clock: {TIME_HELP}; now ends a freeze")],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for who looks at it later")] = "no reason given",
    author: ordering.Author = None,
    store: Store = None,
    admin: Admin = None,
    state: State = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Have the plan that counts stay until a time: no dispatcher publishes meanwhile, and it holds for an hour more."""
    from gslb.cli.plan_desk import PlanDesk

    desk = PlanDesk.of(store, admin, state, config, KEPT)
    until_ms, held = desk.freeze(until, ordering.author_of(author), reason)
    if as_json:
        print(json.dumps({"until_ms": until_ms, "version": held.version if held is not None else None}))
    elif held is None:
        print("the freeze is ended" if until == "now" else "frozen; there is no plan that counts")
    else:
        _print_frozen(until_ms, held)


@plan.command()
def force(
    what: Annotated[str, typer.Argument(metavar=WHICH, help=WHICH_HELP)],
    store: Store = None,
    admin: Admin = None,
    state: State = None,
    kept: Kept = KEPT,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Publish the rows of a plan as they are, however much they move. Freeze first, or dispatch goes on from it."""
    from gslb.cli.plan_desk import PlanDesk

    desk = PlanDesk.of(store, admin, state, config, kept)
    _put(desk, desk.plan(what), as_json=as_json)


@plan.command()
def rollback(
    version: Annotated[str, typer.Argument(metavar="VERSION", help="As `gslb plan show --list` has it")],
    store: Store = None,
    admin: Admin = None,
    state: State = None,
    kept: Kept = KEPT,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Publish the rows of an older plan again, however much they move. Freeze first, or dispatch goes on from it."""
    from gslb.cli.plan_desk import PlanDesk

    desk = PlanDesk.of(store, admin, state, config, kept)
    _put(desk, desk.plan(version), as_json=as_json)


def _full(name: str) -> str:
    return f"{name.lower().rstrip('.')}."


def _put(desk: PlanDesk, wanted: Plan, *, as_json: bool) -> None:
    put = desk.put(wanted)
    if as_json:
        print(json.dumps({"version": put.version, "base": put.base, "rows_of": wanted.version}))
    else:
        print(f"{put.version} counts, with the rows of {wanted.version}, in place of {put.base or 'none'}")
        if desk.frozen is None:
            print("the dispatcher moves on from it with its next round; `gslb plan freeze` keeps it")
        else:
            _print_frozen(desk.frozen.until_ms, put)


def _print_frozen(until_ms: int, held: Plan) -> None:
    from gslb.cli.units import rfc3339

    print(f"frozen until {rfc3339(until_ms)}: {held.version} holds until {rfc3339(held.hold_until_ms)}")
