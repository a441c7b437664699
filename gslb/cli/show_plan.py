"""Plans and rounds as lines for a person, and as data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gslb.cli.units import duration_text, part_text, rate_text, rfc3339

if TYPE_CHECKING:
    from gslb.dispatch.comparing import Difference
    from gslb.dispatch.explaining import Explanation
    from gslb.model.plan import Plan, PlanRow
    from gslb.store.interface import Freeze

TOP = 20
"""Groups of a comparison that are shown."""


def round_lines(told: Mapping[str, Any]) -> list[str]:
    """What one round did, from its data."""
    whole = told["demand_bps"]
    found = [
        f"plan      {told['version']}, {told['rows']} rows"
        + (f", upon {told['base']}" if told["base"] else "")
        + ("; published" if told["outcome"] == "published" else "; not published"),
        f"demand    {rate_text(whole)}, measured {told['demand_age_s']:.0f} s ago",
        f"moved     {_of(told['moved_bps'], whole)}; {_of(told['waiting_bps'], whole)} to move later",
        f"forced    {_of(told['forced_bps'], whole)}",
        *(f"          {_forced(**each)}" for each in told["forced"]),
        f"overload  {_of(told['overload_bps'], whole)}",
        f"unserved  {_of(told['unserved_bps'], whole)}",
        f"cost      {told['objective']:.2f} a month, at least {told['dual_bound']:.2f}",
        *(f"PoP lost  {each}" for each in told["shortfalls"] or ["any single one: its demand fits elsewhere"]),
        *(f"held by   {each}" for each in [_cap(cap) for cap in told["caps"]] or ["no limit"]),
        "",
    ]
    rows: list[Sequence[str]] = [("EDGE", "POP", "PROJECTED", "OF", "USED", "FACTOR", "MEASURED")]
    for edge in told["edges"]:
        capacity, error = edge["capacity_bps"], edge["projection_error"]
        rows.append(
            (
                edge["edge"],
                edge["pop"],
                rate_text(edge["projected_bps"]),
                rate_text(capacity) if capacity else "-",
                part_text(edge["projected_bps"] / capacity) if capacity else "-",
                f"{edge['factor']:g}",
                "-" if error is None else f"{100 * error:+.1f}%",
            )
        )
    return found + table(rows, right=(2, 3, 4, 5, 6))


def plan_lines(plan: Plan, clock_ms: int, frozen: Freeze | None) -> list[str]:
    """What a plan is, without its rows. ``clock_ms`` is the store's clock, 0 not known."""
    whole = sum(row.demand_bps for row in plan.rows)
    found = [
        f"plan      {plan.version}" + (f", upon {plan.base}" if plan.base else ""),
        f"issued    {rfc3339(plan.issued_at_ms)}" + (f", {_ago(clock_ms - plan.issued_at_ms)}" if clock_ms else ""),
        f"holds     until {rfc3339(plan.hold_until_ms)}",
        f"demand    {rate_text(whole)} in {len(plan.rows)} rows",
    ]
    if frozen is not None:
        found.append(f"frozen    until {rfc3339(frozen.until_ms)} by {frozen.author}: {frozen.reason}")
    found += [
        f"input     {name}, {each.age_s:g} s old, {each.sha256[:16]}" for name, each in sorted(plan.inputs.items())
    ]
    found += [f"forced    {_forced(*each)}" for each in plan.forced]
    found += [f"held by   {_cap(each._asdict())}" for each in plan.caps]
    if plan.edges:
        rows: list[Sequence[str]] = [("EDGE", "PROJECTED", "BACKGROUND", "FACTOR")]
        rows += [
            (name, rate_text(each.projected_bps), rate_text(each.background_bps), f"{each.factor_milli / 1000:g}")
            for name, each in sorted(plan.edges.items())
        ]
        found += ["", *table(rows, right=(1, 2, 3))]
    return found


def row_lines(rows: Sequence[PlanRow]) -> list[str]:
    """Rows of a plan."""
    lines: list[Sequence[str]] = [("SERVICE", "VIEW", "DEMAND", "EDGES", "BACKUPS")]
    for row in rows:
        shares = " ".join(f"{edge} {part_text(weight / 65535)}" for edge, weight in row.primaries)
        view = f"{row.country}|{row.region}|{row.isp}"
        lines.append((row.service, view, rate_text(row.demand_bps), shares, " ".join(row.backups) or "-"))
    return table(lines, right=(2,))


def difference_lines(found: Difference) -> list[str]:
    """What moves from one plan to another."""
    lines = [
        f"{found.former} → {found.later}: {_of(found.moved_bps, found.demand_bps)} moves;"
        f" {found.added} rows added, {found.gone} gone"
    ]
    if found.edges:
        rows: list[Sequence[str]] = [("EDGE", "BEFORE", "AFTER", "CHANGE")]
        for edge, (before, after) in found.edges.items():
            sign = "+" if after > before else "-"
            rows.append((edge, rate_text(before), rate_text(after), f"{sign}{rate_text(abs(after - before))}"))
        lines += ["", *table(rows, right=(1, 2, 3))]
    if found.groups:
        rows = [("GROUP", "MOVES", "FROM", "TO")]
        for each in found.groups[:TOP]:
            service, *view = each.key
            rows.append(
                (
                    f"{service} {'|'.join(view)}",
                    rate_text(round(each.moved_bps)),
                    *map(_shares, (each.before, each.after)),
                )
            )
        lines += ["", *table(rows, right=(1,))]
        if len(found.groups) > TOP:
            lines.append(f"… and {len(found.groups) - TOP} groups more")
    return lines


def difference_data(found: Difference) -> dict[str, Any]:
    """The same as data, all groups."""
    return {
        "former": found.former,
        "later": found.later,
        "demand_bps": found.demand_bps,
        "moved_bps": found.moved_bps,
        "added": found.added,
        "gone": found.gone,
        "edges": {edge: {"before_bps": old, "after_bps": new} for edge, (old, new) in found.edges.items()},
        "groups": [
            dict(zip(("service", "country", "region", "isp"), each.key, strict=True))
            | {"moved_bps": round(each.moved_bps), "before": dict(each.before), "after": dict(each.after)}
            for each in found.groups
        ],
    }


def explanation_lines(found: Explanation) -> list[str]:
    """Why a client gets what a plan says."""
    row = found.row
    lines = [
        f"client    {found.client}: {found.view.key or 'unknown'}" + (", private" if found.private else ""),
        f"plan      {found.version}",
        "row       none for this view: local policy decides"
        if row is None
        else f"row       {row.country}|{row.region}|{row.isp}, {rate_text(row.demand_bps)}",
        *(f"held by   {_cap(each._asdict())}" for each in found.caps),
        *(f"forced    {_forced(*each)}" for each in found.forced),
        "",
    ]
    rows: list[Sequence[str]] = [("EDGE", "POP", "LEVEL", "RTT", "COST", "SHARE")]
    for each in found.candidates:
        share = part_text(each.share) if each.share else f"backup {each.backup}" if each.backup else "-"
        rows.append((each.edge, each.pop, each.level, f"{each.rtt_ms:.1f} ms", f"{each.cost:.3f}", share))
    return lines + table(rows, right=(3, 4))


def explanation_data(found: Explanation) -> dict[str, Any]:
    """The same as data."""
    return {
        "service": found.service,
        "client": found.client,
        "view": found.view._asdict(),
        "private": found.private,
        "version": found.version,
        "row": found.row._asdict() if found.row is not None else None,
        "candidates": [dataclasses.asdict(each) for each in found.candidates],
        "caps": [each._asdict() for each in found.caps],
        "forced": [each._asdict() for each in found.forced],
    }


def table(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Rows under each other; ``right`` are columns that end together."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return [
        "  ".join(
            text.rjust(widths[at]) if at in right else text.ljust(widths[at]) for at, text in enumerate(row)
        ).rstrip()
        for row in rows
    ]


def _of(bps: int, whole: int) -> str:
    return f"{rate_text(bps)} ({part_text(bps / whole)})" if whole else rate_text(bps)


def _forced(edge: str, reason: str, bps: int) -> str:
    return f"off {edge or 'every edge'}: {reason}" + (f", {rate_text(bps)}" if bps else "")


def _cap(told: Mapping[str, Any]) -> str:
    return (
        f"{told['kind']} {told['name']} at {rate_text(told['capacity_bps'])}:"
        f" a Mbps more would save {told['price']:.4g} a month"
    )


def _shares(shares: Mapping[str, float]) -> str:
    return " ".join(f"{edge} {part_text(share)}" for edge, share in shares.items())


def _ago(ms: int) -> str:
    return f"{duration_text(ms // 1000)} ago" if ms >= 0 else f"in {duration_text(-ms // 1000)}"
