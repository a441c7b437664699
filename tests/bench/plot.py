"""The plots of docs/benchmarks.md as one SVG: bars of CPU per query, and curves of what an answer costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, LEFT, RIGHT = 760, 180, 90
BAR, GAP, TITLE = 22, 10, 34
INSET = 16
PANEL, PLOT_LEFT, PLOT_RIGHT, PLOT_BOTTOM = 260, 60, 24, 44
OURS, OTHERS, INK, RULE = "#1f6f8b", "#b8c4cc", "#22303a", "#dfe5e9"
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:" + INK + "}.t{font-weight:600;font-size:14px}"
    ".e{text-anchor:end}.m{text-anchor:middle;paint-order:stroke;stroke:#fff;stroke-width:4px}"
)


def render(bars: Sequence[tuple[str, float]], curves: Mapping[str, Sequence[tuple[int, float]]]) -> str:
    """One picture. ``bars``: servers and µs per query. ``curves``: what is counted, and points (how many, ns)."""
    at = 0
    parts: list[str] = []
    if bars:
        parts += _bars(bars)
        at = TITLE + len(bars) * (BAR + GAP) + GAP
    columns = max(1, len(curves))
    for column, (title, points) in enumerate(curves.items()):
        parts += _curve(title, points, column * WIDTH / columns, at, WIDTH / columns)
    height = at + (PANEL if curves else 0)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">'
        f'<style>{_STYLE}</style><rect width="100%" height="100%" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _bars(bars: Sequence[tuple[str, float]]) -> list[str]:
    """Horizontal bars; ours in colour."""
    longest = max(value for _, value in bars)
    parts = [_text(LEFT, 22, "CPU per ECS query through sockets, at saturation", "t")]
    for row, (title, value) in enumerate(bars):
        y = TITLE + row * (BAR + GAP)
        size = (WIDTH - LEFT - RIGHT) * value / longest
        colour = OURS if title.startswith("gslb") else OTHERS
        parts += [
            _text(LEFT - 8, y + 15, title, "e"),
            f'<rect x="{LEFT}" y="{y}" width="{size:.1f}" height="{BAR}" fill="{colour}"/>',
            _text(LEFT + size + 6, y + 15, f"{value:.2f} µs"),
        ]
    return parts


def _curve(title: str, points: Sequence[tuple[int, float]], left: float, top: float, width: float) -> list[str]:
    """A line over a logarithmic count; the cost begins at 0."""
    begin, end = left + PLOT_LEFT, left + width - PLOT_RIGHT
    floor, ceiling = top + PANEL - PLOT_BOTTOM, top + TITLE + 8
    first, last = (math.log10(points[at][0]) for at in (0, -1))
    step, most = _scale(max(cost for _, cost in points))

    def x(count: int) -> float:
        return begin + INSET + (end - begin - 2 * INSET) * (math.log10(count) - first) / ((last - first) or 1)

    def y(cost: float) -> float:
        return floor - (floor - ceiling) * cost / most

    parts = [_text(begin, top + 22, f"Own work per answer over {title}", "t")]
    for tick in range(round(most / step) + 1):
        level = y(tick * step)
        parts.append(f'<path d="M{begin:.1f} {level:.1f}H{end:.1f}" stroke="{RULE}"/>')
        parts.append(_text(begin - 8, level + 4, f"{tick * step:g}", "e"))
    parts.append(_text(begin - 8, ceiling - 10, "ns", "e"))
    line = " ".join(f"{x(count):.1f},{y(cost):.1f}" for count, cost in points)
    parts.append(f'<polyline points="{line}" fill="none" stroke="{OURS}" stroke-width="2"/>')
    for count, cost in points:
        parts.append(f'<circle cx="{x(count):.1f}" cy="{y(cost):.1f}" r="3.5" fill="{OURS}"/>')
        parts.append(_text(x(count), y(cost) - 9, f"{cost:.0f}", "m"))
        parts.append(_text(x(count), floor + 18, _short(count), "m"))
    return parts


def _scale(most: float) -> tuple[float, float]:
    """A round step, and the multiple of it that is the end of the axis: four to nine steps."""
    step = 10 ** math.floor(math.log10(most / 4))
    step = next(step * factor for factor in (1, 2, 5, 10) if most / (step * factor) <= 7)
    return step, step * math.ceil(most / step * 1.05)


def _short(count: int) -> str:
    return f"{count // 1_000_000}M" if count >= 1_000_000 else f"{count // 1000}k" if count >= 1000 else str(count)


def _text(x: float, y: float, text: str, classes: str = "") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}"{f" class={chr(34)}{classes}{chr(34)}" if classes else ""}>{escape(text)}</text>'
    )
