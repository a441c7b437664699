"""What changed between two steerings, as lines of the journal, and what was so, from such lines. Pure functions.

Exact are verdicts, what is known of a report (held, vanished, silent), ``changing``, ``since_ms``, ramps, headroom and
capacities, and so are overrides, plan and catalog. Load and sessions are told when they have moved by a hundredth of
the edge's capacity since they were told last (of themselves where no capacity is known). The age of an edge that
reports is what it was when its line was written; of one that is silent it goes on with store time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

import gslb
from gslb.errors import GslbError
from gslb.health import override as override_text
from gslb.model.override import Override
from gslb.model.report import DRAIN, Report
from gslb.policy.override import is_active
from gslb.server.live import HEALTH
from gslb.snapshot import layout
from gslb.snapshot.steering import REPORT_GONE, REPORT_HELD, REPORTED

FORMAT: Final = 1
HUNDREDTH: Final = 100

Entry = dict[str, Any]
States = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]

_COLUMNS: Final[tuple[str, ...]] = layout.EDGE_STATE.names or ()
_HEALTH: Final = ("verdict4", "verdict6", "reported")
_LOOSE: Final = {"load_bps": "capacity_bps", "sessions": "capacity_sessions"}
_MOVING: Final = tuple(name for name in _COLUMNS if name not in (*_HEALTH, *_LOOSE, "age_ms"))
_VERDICTS: Final = {word: verdict for verdict, word in HEALTH.items()}
_FLAGS: Final = {"reported": REPORTED, "held": REPORT_HELD, "gone": REPORT_GONE}


class Moment(NamedTuple):
    """What answers were made of. ``states`` is the section edge_state, ``edges`` the ids of its rows, ``seats`` their
    capacity in sessions. ``stale_ms`` is the age from which a report counts as silent. ``plan`` is the version of the
    plan in the store, ``plan_sha256`` the name of what is kept of it; both empty where there is none. ``gap`` is the
    store's, begin and end."""

    generation: str
    edges: Sequence[str]
    states: States
    seats: npt.NDArray[np.int64]
    stale_ms: int
    now_ms: int
    state_ms: int
    overrides: Mapping[str, Override]
    plan: str
    plan_sha256: str
    connected: bool
    gap: tuple[int, int]

    def silent(self) -> Mask:
        """Which edges have a report that is stale."""
        found: Mask = self.states["age_ms"] > self.stale_ms
        return found


def checkpoint(moment: Moment) -> Entry:
    """All of it."""
    return {
        "format": FORMAT,
        "gslb": gslb.__version__,
        "generation": moment.generation,
        "now_ms": moment.now_ms,
        "state_ms": moment.state_ms,
        "plan": moment.plan,
        "plan_sha256": moment.plan_sha256,
        "overrides": [override_text.mapping(each) for each in moment.overrides.values()],
        "columns": _COLUMNS,
        "edges": dict(zip(moment.edges, moment.states.tolist(), strict=True)),
    }


def steered(moment: Moment, cause: str) -> Entry:
    """That there is new steering, why, and the two times by which it goes."""
    return {"kind": "steering", "cause": cause, "now_ms": moment.now_ms, "state_ms": moment.state_ms}


def between(former: Moment, moment: Moment, cause: str, reports: Mapping[str, Report]) -> tuple[list[Entry], States]:
    """The lines that lead from what was told last to ``moment``, and what of its ``states`` is told with them.

    A change of catalog is to be followed by a `checkpoint`. ``reports`` are those of the store, to name reasons.
    """
    entries: list[Entry] = []
    if former.connected != moment.connected:
        entries.append({"kind": "store", "is": "back" if moment.connected else "lost"})
    if former.gap != moment.gap and moment.gap[1]:
        entries.append({"kind": "store", "is": "gap", "begin_ms": moment.gap[0], "end_ms": moment.gap[1]})
    if former.generation != moment.generation:
        entries.append({"kind": "catalog", "is": moment.generation, "was": former.generation})
    if (former.plan, former.plan_sha256) != (moment.plan, moment.plan_sha256):
        entries.append({"kind": "plan", "is": moment.plan, "was": former.plan, "sha256": moment.plan_sha256})
    entries += _overrides(former, moment)
    told, was = _aligned(former, moment)
    turned = _turned(told, moment.states) | ~was
    for row in np.flatnonzero(turned).tolist():
        state, before = _values(moment.states[row]), _values(told[row])
        entries.append(_edge(moment.edges[row], state, before if was[row] else None, reports))
    told[turned] = moment.states[turned]
    entries += _moved(former, moment, told, turned)
    if entries or former.now_ms != moment.now_ms:
        entries.insert(0, steered(moment, cause))
    return entries, told


@dataclass
class Past:
    """What lines told up to some moment. ``edges`` has the columns of each edge's state, by id; ``told_ms`` the store
    time at which its age was told."""

    generation: str = ""
    now_ms: int = 0
    state_ms: int = 0
    plan: str = ""
    plan_sha256: str = ""
    overrides: dict[str, Override] = field(default_factory=dict)
    edges: dict[str, dict[str, int]] = field(default_factory=dict)
    told_ms: dict[str, int] = field(default_factory=dict)

    def states(self, edges: Sequence[str], stale_ms: int) -> States:
        """The section edge_state of a catalog with these edges. Raises `GslbError` where one was not told."""
        found = np.zeros(len(edges), dtype=layout.EDGE_STATE)
        for row, edge in enumerate(edges):
            if edge not in self.edges:
                raise GslbError(f"the journal does not tell the state of edge {edge!r}")
            values = dict(self.edges[edge])
            if values["age_ms"] > stale_ms:
                values["age_ms"] += max(0, self.state_ms - self.told_ms[edge])
            found[row] = tuple(values[name] for name in _COLUMNS)
        return found


def replay(lines: Iterable[Mapping[str, Any]]) -> Past:
    """What ``lines`` tell, the first of which is a checkpoint. Lines of other kinds are passed over.

    Raises `GslbError` where they are another version's, or not what this module writes.
    """
    past = Past()
    try:
        for line in lines:
            _apply(past, line)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise GslbError(f"a line of the journal cannot be understood: {type(error).__name__}: {error}") from None
    return past


def _apply(past: Past, line: Mapping[str, Any]) -> None:
    match line["kind"]:
        case "checkpoint":
            if line["format"] != FORMAT or set(line["columns"]) != set(_COLUMNS):
                raise GslbError(f"the journal was written by another version of gslb: {line['gslb']}")
            past.generation, past.now_ms, past.state_ms = line["generation"], line["now_ms"], line["state_ms"]
            past.plan, past.plan_sha256 = line["plan"], line["plan_sha256"]
            past.overrides = {each["id"]: override_text.read(each) for each in line["overrides"]}
            past.edges = {
                edge: dict(zip(line["columns"], values, strict=True)) for edge, values in line["edges"].items()
            }
            past.told_ms = dict.fromkeys(past.edges, past.state_ms)
        case "steering":
            past.now_ms, past.state_ms = line["now_ms"], line["state_ms"]
        case "plan":
            past.plan, past.plan_sha256 = line["is"], line["sha256"]
        case "override":
            if line["is"] == "gone":
                past.overrides.pop(line["id"], None)
            elif "override" in line:
                past.overrides[line["id"]] = override_text.read(line["override"])
        case "edge":
            values = {name: line[name] for name in (*_MOVING, *_LOOSE, "age_ms")}
            values["verdict4"], values["verdict6"] = _VERDICTS[line["health_v4"]], _VERDICTS[line["health_v6"]]
            values["reported"] = sum(bit for word, bit in _FLAGS.items() if line[word])
            past.edges[line["edge"]], past.told_ms[line["edge"]] = values, past.state_ms
        case "moved":
            for edge, values in line["edges"].items():
                past.edges[edge].update(values)
                if "age_ms" in values:
                    past.told_ms[edge] = past.state_ms


def _aligned(former: Moment, moment: Moment) -> tuple[States, Mask]:
    """What was told of each edge of ``moment``, and which there were."""
    if former.edges == moment.edges:
        return former.states.copy(), np.ones(len(moment.edges), dtype=np.bool_)
    rows = {edge: row for row, edge in enumerate(former.edges)}
    at = np.array([rows.get(edge, -1) for edge in moment.edges], dtype=np.int64)
    told = np.zeros(len(moment.edges), dtype=layout.EDGE_STATE)
    told[at >= 0] = former.states[at[at >= 0]]
    return told, at >= 0


def _turned(told: States, states: States) -> Mask:
    found = np.zeros(len(states), dtype=np.bool_)
    for name in _HEALTH:
        found |= told[name] != states[name]
    return found


def _edge(edge: str, state: Entry, before: Entry | None, reports: Mapping[str, Report]) -> Entry:
    return {
        "kind": "edge",
        "edge": edge,
        "is": _word(state),
        "was": _word(before) if before else "",
        "reason": _reason(state, before, reports.get(edge)),
        "health_v4": HEALTH[state["verdict4"]],
        "health_v6": HEALTH[state["verdict6"]],
        **{word: bool(state["reported"] & bit) for word, bit in _FLAGS.items()},
        **{name: state[name] for name in (*_MOVING, *_LOOSE, "age_ms")},
    }


def _word(state: Entry) -> str:
    """Its health: one word, or two, IPv4 first, where its families differ."""
    words = [HEALTH[state[name]] for name in ("verdict4", "verdict6")]
    return "/".join(dict.fromkeys(word for word in words if word))


def _reason(state: Entry, before: Entry | None, report: Report | None) -> str:
    verdicts = (state["verdict4"], state["verdict6"])
    if before and _is_undrained(state, before):
        return "override"
    if layout.VERDICT_DRAIN in verdicts and (report is None or DRAIN not in (report.health4, report.health6)):
        return "override"
    if not state["reported"] & REPORTED:
        return "never reported"
    if state["reported"] & REPORT_HELD:
        return "silent with much of its continent"
    if state["reported"] & REPORT_GONE:
        return "its report vanished"
    said = (report.health4, report.health6) if report else ()
    if any(HEALTH[verdict] not in ("", word) for verdict, word in zip(verdicts, said, strict=False)):
        return "silent"
    return "its report"


def _is_undrained(state: Entry, before: Entry) -> bool:
    """Whether a drain ended that no report spoke of."""
    drained, drains = (layout.VERDICT_DRAIN in (each["verdict4"], each["verdict6"]) for each in (before, state))
    return drained and not drains and state["since_ms"] == before["since_ms"]


def _moved(former: Moment, moment: Moment, told: States, turned: Mask) -> list[Entry]:
    """The line of all edges whose numbers moved; ``told`` is brought up to date."""
    states = moment.states
    moved = {name: told[name] != states[name] for name in _MOVING}
    for name, capacity in _LOOSE.items():
        most = states[capacity] if capacity in _COLUMNS else moment.seats
        before, now = told[name].astype(np.int64), states[name].astype(np.int64)
        room = np.where(most > 0, most, before).astype(np.int64)
        moved[name] = (before != now) & (np.abs(now - before) >= room // HUNDREDTH)
    silent = moment.silent()
    moved["age_ms"] = (told["age_ms"] > former.stale_ms) != silent
    lines: dict[str, Entry] = {}
    for name, mask in moved.items():
        rows = np.flatnonzero(mask & ~turned)
        for row, value in zip(rows.tolist(), states[name][rows].tolist(), strict=True):
            lines.setdefault(moment.edges[row], {})[name] = value
        told[name][rows] = states[name][rows]
    return [{"kind": "moved", "edges": lines}] if lines else []


def _overrides(former: Moment, moment: Moment) -> list[Entry]:
    if former.overrides is moment.overrides and former.now_ms == moment.now_ms:
        return []
    entries: list[Entry] = []

    def tell(name: str, what: str, override: Override | None = None) -> None:
        whole = {"override": override_text.mapping(override)} if override is not None else {}
        entries.append({"kind": "override", "id": name, "is": what, **whole})

    then_s, now_s = former.now_ms // 1000, moment.now_ms // 1000
    for name, override in moment.overrides.items():
        before = former.overrides.get(name)
        if before is None:
            tell(name, "ordered", override)
        elif before != override:
            is_end = override.until_s < before.until_s and override.until_s <= now_s
            tell(name, "cancelled" if is_end else "changed", override)
        was_active, active = before is not None and is_active(before, then_s), is_active(override, now_s)
        if was_active != active:
            tell(name, "begun" if active else "ended")
    for name in former.overrides.keys() - moment.overrides.keys():
        tell(name, "gone")
    return entries


def _values(row: Any) -> Entry:
    return dict(zip(_COLUMNS, row.tolist(), strict=True))
