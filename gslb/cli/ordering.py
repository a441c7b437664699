"""From what an operator typed to an override: the options that orders have in common, and what is wrong with them."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import typer

from gslb.cli.units import DURATION_HELP, TIME_HELP, coming_s, duration_s
from gslb.errors import GslbError

if TYPE_CHECKING:  # imported by the verb that needs it
    from gslb.cli.desk import Desk
    from gslb.model.override import Override

Where = tuple[str | None, str | None, Path | None, Path | None]
"""Where an order goes: ``--store``, ``--admin``, ``--state`` and ``--config``."""
FOR: Final = "1h"
"""How long an order lasts where nothing is said."""
_MAX_ID: Final = 63

From = Annotated[str, typer.Option("--from", metavar="TIME", help=f"When it begins, by the store's clock: {TIME_HELP}")]
For = Annotated[str, typer.Option("--for", metavar="DURATION", help=f"When it ends by itself: {DURATION_HELP}")]
Ramp = Annotated[
    str, typer.Option("--ramp", metavar="DURATION", help=f"Take the weight away over this time, {DURATION_HELP}")
]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for those who come upon it")]
Author = Annotated[str | None, typer.Option("--author", metavar="TEXT", help="Who orders it; default: $USER")]
Service = Annotated[str, typer.Option("--service", metavar="NAME", help="For this service alone")]
View = Annotated[
    str,
    typer.Option(
        "--view", metavar="C/R/I", help="For these viewers alone: CN, CN/SH, CN/SH/chinanet, //AS4134 or 'CN|SH|'"
    ),
]
Id = Annotated[str, typer.Option("--id", metavar="ID", help="Its id, or that of the one to replace; default: made up")]
IsEdge = Annotated[bool, typer.Option("--edge", help="The name is an edge's")]
IsPop = Annotated[bool, typer.Option("--pop", help="The name is a PoP's")]
Force = Annotated[bool, typer.Option("--force", help="Even where clients are left without a healthy edge")]
Store = Annotated[
    str | None,
    typer.Option(
        "--store", metavar="URL", help="Write to this store, unchecked, where no server is at hand: redis://…"
    ),
]


@dataclass(frozen=True, slots=True)
class Draft:
    """An order as it was typed. ``target`` and ``value`` are those of the override's JSON; ``named`` says which option
    each of its keys comes from, where that is not the key's own name. ``faults`` are those found already."""

    kind: str
    target: Mapping[str, str]
    begin: str
    lasting: str
    ramp: str
    author: str
    reason: str
    value: Any = None
    named: Mapping[str, str] = field(default_factory=dict)
    faults: tuple[str, ...] = ()

    def override(self, name: str, clock_s: int) -> Override:
        """The override that is meant when the store's clock is ``clock_s``. Raises `UsageError` with every fault."""
        from gslb.errors import UsageError
        from gslb.health.override import OverrideError, read

        faults = list(self.faults)

        def told(option: str, text: str, reader: Callable[..., int], *more: int) -> int:
            try:
                return reader(text, *more)
            except ValueError as error:
                faults.append(f"{option}: {error}")
                return 0

        begin_s = told("--from", self.begin, coming_s, clock_s)
        lasting_s = told("--for", self.lasting, duration_s)
        over_s = told("--ramp", self.ramp, duration_s)
        if len(faults) == len(self.faults):
            if not lasting_s:
                faults.append("--for: it would end as it begins")
            elif begin_s + lasting_s <= clock_s:
                faults.append("--for: it would have ended already")
            elif over_s > lasting_s:
                faults.append(f"--ramp: {self.ramp} is longer than --for {self.lasting}")
        mapping = {
            "id": name,
            "kind": self.kind,
            "target": {key: text for key, text in self.target.items() if text},
            "from": begin_s,
            "until": begin_s + lasting_s,
            "over_s": over_s,
            "author": self.author,
            "reason": self.reason,
        }
        try:
            found = read(mapping if self.value is None else mapping | {"value": self.value})
        except OverrideError as error:
            faults += self.told(error.faults)
        if faults:
            raise UsageError("\n".join(faults))
        return found

    def free_id(self, taken: Collection[str]) -> str:
        """``drain-fra``; with a number after it where that is taken."""
        words = [self.kind, *(self.target.get(key, "") for key in ("edge", "pop", "service", "view"))]
        cleaned = [re.sub(r"[^a-z0-9._]+", "-", word.lower()).strip("-.") for word in words]
        base = "-".join(word for word in cleaned if word)
        number, found = 1, base[:_MAX_ID]
        while found in taken:
            number += 1
            found = f"{base[: _MAX_ID - len(str(number)) - 1]}-{number}"
        return found

    def told(self, faults: Iterable[tuple[str, str]]) -> list[str]:
        """Pairs of key and reason as lines that name what was typed."""
        names = {**_OPTIONS, **self.named}
        return [f"{names.get(key, key)}: {reason}" if key else reason for key, reason in faults]


_OPTIONS: Final = {
    "id": "--id",
    "from": "--from",
    "until": "--for",
    "over_s": "--ramp",
    "author": "--author",
    "reason": "--reason",
    "target.edge": "EDGE|POP",
    "target.pop": "EDGE|POP",
    "target.service": "--service",
    "target.view": "--view",
}


class Ordered(NamedTuple):
    """An override that was written, the one in whose place it stands, and the store's clock then."""

    override: Override
    former: Override | None
    clock_s: int


def order(desk: Desk, draft: Draft, name: str, *, force: bool) -> Ordered:
    """Place an order; ``name`` is its id, or empty for one of our own. Raises `GslbError`."""
    from gslb.cli.desk import Refusal

    kept = desk.kept()
    former = {each.id: each for each in kept.overrides}
    clock_s = kept.clock_ms // 1000
    found = draft.override(name or draft.free_id(former), clock_s)
    try:
        desk.order(found, force=force)
    except Refusal as refusal:
        if not refusal.faults:
            raise
        raise Refusal("\n".join(draft.told(refusal.faults)), refusal.told) from None
    return Ordered(found, former.get(found.id), clock_s)


def check(draft: Draft, name: str) -> None:
    """Find the faults of what was typed before anybody is asked. Raises `UsageError`."""
    import time

    draft.override(name or "any", int(time.time()))


def place_order(desk: Desk, draft: Draft, name: str, *, force: bool, as_json: bool) -> None:
    """Order, and say what was ordered. Raises `GslbError`; a refusal is told as data too where that is wanted."""
    from gslb.cli.desk import UNCHECKED, Refusal
    from gslb.cli.show_orders import as_data, ordered_lines

    try:
        found = order(desk, draft, name, force=force)
    except Refusal as refusal:
        if as_json:
            print(json.dumps(refusal.told))
        raise
    if not desk.checks:
        print(f"gslb: {UNCHECKED}", file=sys.stderr)
    if as_json:
        print(json.dumps(as_data(found.override, found.clock_s)))
    else:
        print("\n".join(ordered_lines(*found)))


def place_order_at(
    where: Where,
    name: str,
    draft: Callable[[Mapping[str, str]], Draft],
    id_: str,
    *,
    is_edge: bool,
    is_pop: bool,
    force: bool,
    as_json: bool,
) -> None:
    """As `place_order`, for what ``name`` means; ``draft`` makes the order for ``{"edge": name}`` or ``{"pop": name}``.
    All that can be wrong with what was typed is told before anybody is asked."""
    from gslb.cli.desk import desk as open_desk

    check_place(is_edge=is_edge, is_pop=is_pop)
    check(draft({"edge": name}), id_)
    desk = open_desk(*where)
    place_order(desk, draft(place(desk, name, is_edge=is_edge, is_pop=is_pop)), id_, force=force, as_json=as_json)


def end(desk: Desk, overrides: Iterable[Override], clock_s: int, *, as_json: bool) -> None:
    """End overrides now, and say which were ended, also where one of them cannot be. Raises `GslbError`."""
    from gslb.cli.show_orders import as_data, ended_line

    ended: list[Override] = []
    lines: list[str] = []
    try:
        for each in overrides:
            is_over = each.until_s <= clock_s
            ended.append(each if is_over else desk.cancel(each))
            lines.append(f"{each.id}: had ended before" if is_over else ended_line(ended[-1]))
    finally:
        if ended:
            told = json.dumps([as_data(each, max(each.until_s, clock_s)) for each in ended])
            print(told if as_json else "\n".join(lines), flush=True)


def place(desk: Desk, name: str, *, is_edge: bool, is_pop: bool) -> dict[str, str]:
    """``{"edge": name}`` or ``{"pop": name}``: what a name means. Raises `GslbError` where it means nothing, or two
    things and nobody said which."""
    from gslb.errors import UsageError

    edges = desk.edges()
    if edges is None:
        if is_edge == is_pop:
            raise UsageError(f"only a server knows whether {name!r} is an edge or a PoP; say --edge or --pop")
        return {"edge" if is_edge else "pop": name}
    meant = [key for key, known in (("edge", edges), ("pop", set(edges.values()))) if name in known]
    wanted = [key for key, said in (("edge", is_edge), ("pop", is_pop)) if said]
    if len(meant) == 2 and not wanted:
        raise UsageError(f"{name!r} is an edge and a PoP; say --edge or --pop")
    found = [key for key in meant if key in (wanted or meant)]
    if not found:
        raise GslbError(unknown(name, edges, *wanted))
    return {found[0]: name}


def unknown(name: str, edges: Mapping[str, str], wanted: str = "") -> str:
    """Says that there is no such name, and which is near."""
    words = {"": "neither an edge nor a PoP", "edge": "no edge", "pop": "no PoP"}
    known = {"edge": list(edges), "pop": sorted(set(edges.values()))}
    return f"{name!r} is {words[wanted]}{near(name, known[wanted] if wanted else [*known['edge'], *known['pop']])}"


def near(name: str, words: Collection[str]) -> str:
    """``; did you mean 'fra-1'?``, or nothing where none is near."""
    from gslb.zone.scalars import did_you_mean

    return did_you_mean(name, words)


def check_place(*, is_edge: bool, is_pop: bool) -> None:
    """Raises `UsageError` where both are said."""
    from gslb.errors import UsageError

    if is_edge and is_pop:
        raise UsageError("--edge and --pop: a name is the one or the other")


def author_of(said: str | None) -> str:
    """Who orders: what was said, else the user. Raises `UsageError` where nobody knows."""
    import getpass

    from gslb.errors import UsageError

    if said is not None:
        return said
    try:
        return os.environ.get("USER") or getpass.getuser()
    except (OSError, KeyError):
        raise UsageError("--author: this user has no name; say who orders it") from None


def view_of(text: str) -> str:
    """``CN/SH`` or ``CN|SH`` as ``CN|SH|``: three parts, for the override's reader to check."""
    parts = re.split(r"[/|]", text) if text else []
    return "|".join([*parts, *[""] * (3 - len(parts))]) if parts else ""
