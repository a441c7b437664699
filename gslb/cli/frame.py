"""What ``gslb status --watch`` shows of one moment: tables of servers, edges and services."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple, TypeVar

import msgspec

from gslb.cli.units import part_text, rate_text
from gslb.server.live import EdgeLive, Edges, ServiceLive, Services
from gslb.server.status import Status

GOOD: Final = "green"
WARN: Final = "yellow"
BAD: Final = "bold red"
MEANT: Final = "cyan"
"""Styles of cells: as wished for, to look at, to act upon, and ordered by a person."""

T = TypeVar("T")


class Seen(msgspec.Struct, frozen=True):
    """What one server said of itself, or why it said nothing. ``place`` is its admin port."""

    place: str
    status: Status | None
    fault: str = ""


class Frame(msgspec.Struct, frozen=True):
    """One moment. Edges and services are those of the first server that gave them; None where none did."""

    servers: tuple[Seen, ...]
    edges: Edges | None
    services: Services | None


class Cell(NamedTuple):
    """A text and its style."""

    text: str
    style: str = ""


class Table(NamedTuple):
    """``right`` are the columns that are aligned to the right. ``left_out`` says how many rows are missing, and which
    columns. ``spare`` are the columns that can be done without, the first of them best."""

    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    right: frozenset[int] = frozenset()
    left_out: str = ""
    spare: tuple[int, ...] = ()

    def widths(self) -> list[int]:
        """How wide each column is, with every cell whole."""
        return [max(len(head), *(len(row[at].text) for row in self.rows)) for at, head in enumerate(self.heads)]


GAP: Final = 2
"""Blanks between columns."""
LEAST: Final = 12
"""The last column holds lists and sentences: where room is short it is cut to so many letters before others go."""


def tables(frame: Frame, lines: int | None = None) -> list[Table]:
    """Servers, edges and services. With ``lines``, at most about so many in all: what is in trouble or ordered stands
    first then, and the rest is left out."""
    found = [_servers(frame.servers)]
    edges = frame.edges.edges if frame.edges else ()
    services = frame.services.services if frame.services else ()
    for_edges = for_services = None
    if lines is not None:
        left = max(2, lines - len(frame.servers) - 7)  # heads, blank lines, and what says that rows are left out
        for_services = max(min(len(services), left // 3), left - len(edges), 1)
        for_edges = max(1, left - min(len(services), for_services))
    if edges:
        found.append(_edges(edges, for_edges))
    if services:
        found.append(_services(services, for_services))
    return found


def text_lines(table: Table) -> list[str]:
    """A table as plain text, every cell whole."""
    rows = [table.heads, *([cell.text for cell in row] for row in table.rows)]
    widths = table.widths()
    found = []
    for row in rows:
        cells = zip(row, widths, range(len(row)), strict=True)
        padded = [text.rjust(width) if at in table.right else text.ljust(width) for text, width, at in cells]
        found.append("  ".join(padded).rstrip())
    return [*found, table.left_out] if table.left_out else found


def fitted(table: Table, width: int) -> Table:
    """A table in ``width`` letters: without the columns that have no room, which it tells, and the last one cut."""
    widths = table.widths()

    def over(columns: Sequence[int]) -> int:
        *whole, last = (widths[at] for at in columns)
        return sum(whole) + GAP * len(whole) + min(last, LEAST) - width

    kept = list(range(len(widths)))
    for at in table.spare:
        if over(kept) <= 0:
            break
        kept.remove(at)
    room = max(LEAST, min(widths[kept[-1]], LEAST) - over(kept))
    rows = tuple((*(row[at] for at in kept[:-1]), _cut(row[kept[-1]], room)) for row in table.rows)
    gone = [head for at, head in enumerate(table.heads) if at not in kept]
    told = [table.left_out] if table.left_out else []
    if gone:
        told.append(f"{'' if told else '… '}no room for {', '.join(gone)}")
    right = frozenset(kept.index(at) for at in table.right if at in kept)
    return Table(tuple(table.heads[at] for at in kept), rows, right, "; ".join(told))


def _cut(cell: Cell, room: int) -> Cell:
    return cell if len(cell.text) <= room else Cell(f"{cell.text[: room - 1]}…", cell.style)


def _servers(servers: Sequence[Seen]) -> Table:
    first = next((each.status.generation for each in servers if each.status is not None), "")
    heads = ("SERVER", "ADMIN", "READY", "GENERATION", "STORE", "OVERRIDES", "PLAN", "FILES")
    return Table(heads, tuple(_server(each, first) for each in servers), frozenset({5}), spare=(6, 5, 0, 4, 7))


def _server(seen: Seen, generation: str) -> tuple[Cell, ...]:
    status = seen.status
    if status is None:
        return (Cell("?"), Cell(seen.place), Cell("NO", BAD), *(Cell("-"),) * 4, Cell(seen.fault, BAD))
    live = status.live
    differs = status.generation != generation
    return (
        Cell(status.server_id),
        Cell(seen.place),
        Cell("yes", GOOD) if status.ready else Cell("NO", BAD),
        Cell((status.generation[:16] or "none") + (" DIFFERS" if differs else ""), BAD if differs else ""),
        Cell("connected", GOOD) if live.connected else Cell(f"AWAY for {live.age_s:.0f} s", BAD),
        Cell(str(live.overrides), MEANT if live.overrides else ""),
        Cell(live.plan or "none"),
        Cell(status.reload.state, {"ok": GOOD, "starting": WARN}.get(status.reload.state, BAD)),
    )


def _edges(edges: Sequence[EdgeLive], most: int | None) -> Table:
    heads = ("EDGE", "POP", "IPV4", "IPV6", "AGE", "LOAD", "OF", "HEADROOM", "RAMP", "WEIGHT", "SHARE", "OVERRIDES")
    chosen, left_out = _chosen(edges, most, _is_edge_troubled, "edges")
    right, spare = frozenset({4, 5, 6, 7, 8, 9, 10}), (1, 6, 9, 8, 5, 4, 11, 10, 7)
    return Table(heads, tuple(map(_edge, chosen)), right, left_out, spare)


def _edge(edge: EdgeLive) -> tuple[Cell, ...]:
    low, high = edge.weight
    return (
        Cell(edge.edge),
        Cell(edge.pop),
        _health(edge.health_v4),
        _health(edge.health_v6),
        _age(edge),
        Cell(rate_text(edge.load_bps) if edge.load_bps or edge.reported else "-"),
        Cell(rate_text(edge.capacity_bps) if edge.capacity_bps else "-"),
        _milli(edge.headroom_milli, WARN),
        _milli(edge.ramp_milli, MEANT),
        Cell(str(high) if low == high else f"{low}–{high}"),
        Cell(part_text(edge.share)),
        Cell(" ".join(edge.overrides) or "-", MEANT if edge.overrides else ""),
    )


def _services(services: Sequence[ServiceLive], most: int | None) -> Table:
    heads = ("SERVICE", "FAIL OPEN", "NO EDGE", "PLAN", "OVERRIDES", "LEVELS")
    chosen, left_out = _chosen(services, most, _is_service_troubled, "services")
    return Table(heads, tuple(map(_service, chosen)), frozenset({1, 2}), left_out, spare=(3, 4, 5, 2))


def _service(service: ServiceLive) -> tuple[Cell, ...]:
    levels = [f"{name} {part_text(part)}" for name, part in service.level_shares if part > 0]
    return (
        Cell(service.service),
        Cell(part_text(service.fail_open), BAD) if service.fail_open else Cell("no", GOOD),
        Cell(part_text(service.no_edge), WARN) if service.no_edge else Cell("none"),
        Cell(service.plan or "-"),
        Cell(" ".join(service.overrides) or "-", MEANT if service.overrides else ""),
        Cell(", ".join(levels) or "-"),
    )


def _chosen(
    rows: Sequence[T], most: int | None, is_troubled: Callable[[T], bool], noun: str
) -> tuple[Iterable[T], str]:
    if most is None or len(rows) <= most:
        return rows, ""
    ordered = sorted(rows, key=lambda row: not is_troubled(row))
    troubled = sum(map(is_troubled, ordered[most:]))
    told = f"… and {len(rows) - most} more {noun}, "
    return ordered[:most], told + (f"{troubled} of them to look at" if troubled else "all as wished for")


def _is_edge_troubled(edge: EdgeLive) -> bool:
    healthy = {edge.health_v4, edge.health_v6} <= {"up", ""}
    return (
        not healthy
        or edge.held
        or edge.gone
        or min(edge.headroom_milli, edge.ramp_milli) < 1000
        or bool(edge.overrides)
    )


def _is_service_troubled(service: ServiceLive) -> bool:
    return bool(service.fail_open or service.no_edge or service.overrides)


def _health(word: str) -> Cell:
    return Cell(word or "-", {"up": GOOD, "unknown": WARN, "down": BAD, "drain": MEANT}.get(word, ""))


def _age(edge: EdgeLive) -> Cell:
    if edge.gone:
        return Cell("gone", BAD)
    if edge.age_s is None:
        return Cell("never")
    return Cell(f"held {edge.age_s:.1f} s" if edge.held else f"{edge.age_s:.1f} s", BAD if edge.held else "")


def _milli(value: int, style: str) -> Cell:
    return Cell(f"{value / 10:g}%", style if value < 1000 else "")
