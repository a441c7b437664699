"""Overrides as lines for a person, and as data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gslb.cli.units import duration_text
from gslb.health.override import mapping, time_text
from gslb.model.override import KIND_DRAIN, KIND_PIN, Override
from gslb.policy.override import state_of

HEADS = ("ID", "STATE", "FROM", "UNTIL", "WHAT", "BY", "REASON")


def what(override: Override) -> str:
    """``drain PoP fra over 10m``, ``ramp edge fra-1 to 30%``, ``pin pull.live.example. to fra-1, for CN||``."""
    target = override.target
    if override.kind == KIND_PIN:
        found = f"pin {target.service} to {' '.join(override.edges)}"
    else:
        found = f"{override.kind} {thing(override)}"
        if override.kind != KIND_DRAIN:
            found += f" to {override.value_milli / 10:g}%"
        if target.service:
            found += f" in {target.service}"
    if target.view:
        found += f" for {target.view}"
    return found + (f" over {duration_text(override.over_s)}" if override.over_s else "")


def thing(override: Override) -> str:
    """What a drain or a ramp acts on: ``PoP fra``, ``edge fra-1``."""
    return f"PoP {override.target.pop}" if override.target.pop else f"edge {override.target.edge}"


def ordered_lines(override: Override, former: Override | None, clock_s: int) -> list[str]:
    """What was ordered, when it acts, and how to end it."""
    begin = time_text(override.from_s)
    if override.from_s > clock_s + 1:
        begin += f", in {duration_text(override.from_s - clock_s)}"
    found = [
        f"{override.id}: {what(override)}",
        f"from    {begin}",
        f"until   {time_text(override.until_s)}, for {duration_text(override.until_s - override.from_s)}",
        f"by      {override.author}: {override.reason}",
    ]
    if former is not None and former.until_s > clock_s:
        found.append(f"instead of {what(former)}, until {time_text(former.until_s)}")
    sooner = f"undrain {override.target.pop or override.target.edge}" if override.kind == KIND_DRAIN else ""
    return [*found, f"`gslb {sooner or f'override cancel {override.id}'}` ends it sooner"]


def ended_line(override: Override) -> str:
    """What was called off."""
    return f"{override.id}: ended, {what(override)}, by {override.author or 'nobody'}: {override.reason}"


def table_lines(overrides: Iterable[Override], clock_s: int) -> list[str]:
    """A table; empty where there are none."""
    rows: list[Sequence[str]] = [
        (
            each.id,
            state_of(each, clock_s),
            time_text(each.from_s),
            time_text(each.until_s),
            what(each),
            each.author or "-",
            each.reason,
        )
        for each in overrides
    ]
    if not rows:
        return []
    rows.insert(0, HEADS)
    widths = [max(len(row[at]) for row in rows) for at in range(len(HEADS))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def full_lines(override: Override, clock_s: int) -> list[str]:
    """Everything about one."""
    return [
        f"id      {override.id}",
        f"what    {what(override)}",
        f"state   {state_of(override, clock_s)}",
        f"from    {time_text(override.from_s)}",
        f"until   {time_text(override.until_s)}",
        f"author  {override.author or '-'}",
        f"reason  {override.reason}",
    ]


def as_data(override: Override, clock_s: int) -> dict[str, object]:
    """The override's JSON with its state."""
    return {**mapping(override), "state": state_of(override, clock_s)}
