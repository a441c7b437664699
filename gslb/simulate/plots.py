"""Plots of a comparison as SVG text (the only importer of matplotlib)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from gslb.simulate import measures
from gslb.simulate.record import Record

COLOURS: Final = {"ours": "#1f6f8b", "local-spill": "#d98032", "geo-round-robin": "#8a6fae", "nearest": "#7d8790"}
_INK, _RULE = "#22303a", "#dfe5e9"
_STYLE: Final[Any] = {
    "font.family": "sans-serif",
    "font.size": 9,
    "svg.hashsalt": "gslb",  # the same plot is the same text
    "svg.fonttype": "none",
    "axes.edgecolor": _RULE,
    "axes.labelcolor": _INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _RULE,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def plots(records: Sequence[Record]) -> dict[str, str]:
    """One SVG element by title."""
    return {
        "Round-trip time: part of demand served within": _plot(records, _latency),
        "Load of the fullest edge, of its capacity": _plot(records, _fullest),
        "Overload, of all demand": _plot(records, _overload),
        "Share of demand moved in a minute": _plot(records, _churn),
        "Edges by utilisation, all minutes": _plot(records, _spread),
    }


def _plot(records: Sequence[Record], draw: Any) -> str:
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(6.4, 3.0), layout="constrained")
        axes = figure.add_subplot()
        for record in records:
            draw(axes, record, {"color": COLOURS.get(record.name, _INK), "label": record.title, "linewidth": 1.4})
        axes.legend(frameon=False, fontsize=8)
        into = io.StringIO()
        figure.savefig(into, format="svg", metadata={"Date": None, "Creator": None})
    text = into.getvalue()
    return text[text.index("<svg") :]


def _latency(axes: Any, record: Record, line: dict[str, Any]) -> None:
    borders, part = measures.latency_cdf(record)
    axes.plot(borders, part * 100, **line)
    axes.set(xlabel="ms", ylabel="%", xlim=(0, 300), ylim=(0, 100))


def _fullest(axes: Any, record: Record, line: dict[str, Any]) -> None:
    used = measures.utilisation(record).max(axis=1, initial=0.0)
    axes.plot(np.arange(len(used)), used * 100, **line)
    axes.axhline(100, color="#b3423a", linewidth=0.8)
    axes.set(xlabel="minutes", ylabel="%")


def _overload(axes: Any, record: Record, line: dict[str, Any]) -> None:
    over = measures.by_minute(record.overload_bps / np.maximum(record.demand_bps, 1.0))
    axes.plot(np.arange(len(over)), over * 100, **line)
    axes.set(xlabel="minutes", ylabel="%")


def _churn(axes: Any, record: Record, line: dict[str, Any]) -> None:
    axes.plot(np.arange(len(record.churn)), record.churn * 100, **line)
    axes.set(xlabel="minutes", ylabel="%")


def _spread(axes: Any, record: Record, line: dict[str, Any]) -> None:
    used = np.sort(measures.utilisation(record).reshape(-1)) * 100
    axes.plot(used, np.linspace(0, 100, len(used)), **line)
    axes.set(xlabel="utilisation, %", ylabel="% of edges and minutes")
