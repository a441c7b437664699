"""What stands beside the rows of a published plan: what it was made of, what had to be, and what it expects.

``inputs: {NAME: {"age_s", "sha256"}}`` · ``forced: [{"edge", "reason", "bps"}, …]`` · ``demand_bps: [bps of each row,
…]`` · ``costs: [[of each primary, then of each backup], …]``, one list for each row, empty where not known ·
``edges: {ID: {"projected_bps", "background_bps", "factor_milli"}}`` · ``caps: [{"kind", "name", "capacity_bps",
"price"}, …]``. Each may be absent, and a mapping may have more keys. They explain a plan, and tell how much it moves;
what is drawn follows from the rows alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from gslb.model.jsontext import is_whole, quoted
from gslb.model.plan import BindingCap, Forced, Plan, PlanInput, PlannedEdge

MAX_INPUTS: Final = 64
MAX_FORCED: Final = 10_000
MAX_PLANNED: Final = 65_535
MAX_CAPS: Final = 65_535
MAX_BPS: Final = (1 << 53) - 1
MAX_COST: Final = 1e15
"""Of what is counted in currency per Mbps·month, above and below 0."""

_MAX_AGE_S: Final = 1e10
_MAX_FACTOR: Final = 1_000_000
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_WORD: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}")
SHA256: Final = re.compile(r"[0-9a-f]{64}")
_NAME_RULE: Final = "is not a name of 1 to 63 letters, digits, dots, hyphens and underscores"
_WORD_RULE: Final = "is not a word of small letters"

Fault = Callable[[str, str], None]
"""Takes the place of a fault and the reason."""


def mapping(plan: Plan) -> dict[str, Any]:
    """The keys of a plan besides its rows, as JSON has them; lists that tell nothing are left out."""
    told: dict[str, Any] = {
        "inputs": {name: each._asdict() for name, each in plan.inputs.items()},
        "forced": [each._asdict() for each in plan.forced],
    }
    if any(row.demand_bps for row in plan.rows):
        told["demand_bps"] = [row.demand_bps for row in plan.rows]
    if any(row.costs for row in plan.rows):
        told["costs"] = [row.costs for row in plan.rows]
    if plan.edges:
        told["edges"] = {edge: each._asdict() for edge, each in plan.edges.items()}
    if plan.caps:
        told["caps"] = [each._asdict() for each in plan.caps]
    return told


def inputs(told: Mapping[str, Any], fault: Fault) -> dict[str, PlanInput]:
    """What the plan was made of, by name; ``sha256`` may be empty."""
    found = {}
    for name, each in _mappings(told, "inputs", MAX_INPUTS, fault):
        place = f"inputs[{quoted(name)}]"
        if not NAME.fullmatch(name):
            fault(place, _NAME_RULE)
        age_s: Any = each.get("age_s")
        if not is_number(age_s, _MAX_AGE_S) or age_s < 0:
            fault(f"{place}.age_s", f"{quoted(age_s)} is not an age in seconds")
        sha256 = each.get("sha256", "")
        if not isinstance(sha256, str) or (sha256 and not SHA256.fullmatch(sha256)):
            fault(f"{place}.sha256", f"{quoted(sha256)} is not 64 hexadecimal digits")
        found[name] = PlanInput(age_s, sha256)
    return found


def forced(told: Mapping[str, Any], fault: Fault) -> tuple[Forced, ...]:
    """The moves that had to be."""
    found = []
    for place, each in _list(told, "forced", MAX_FORCED, fault):
        edge, reason, bps = each.get("edge"), each.get("reason"), each.get("bps", 0)
        if not isinstance(edge, str) or (edge and not NAME.fullmatch(edge)):
            fault(f"{place}.edge", f"{quoted(edge)} {_NAME_RULE}, nor empty")
        if not isinstance(reason, str) or not _WORD.fullmatch(reason):
            fault(f"{place}.reason", f"{quoted(reason)} {_WORD_RULE}")
        _rate(f"{place}.bps", bps, fault)
        found.append(Forced(str(edge), str(reason), bps))
    return tuple(found)


def edges(told: Mapping[str, Any], fault: Fault) -> dict[str, PlannedEdge]:
    """What the plan expects of edges, by id."""
    found = {}
    for name, each in _mappings(told, "edges", MAX_PLANNED, fault):
        place = f"edges[{quoted(name)}]"
        if not NAME.fullmatch(name):
            fault(place, _NAME_RULE)
        planned = PlannedEdge(
            each.get("projected_bps", -1), each.get("background_bps", 0), each.get("factor_milli", 1000)
        )
        _rate(f"{place}.projected_bps", planned.projected_bps, fault)
        _rate(f"{place}.background_bps", planned.background_bps, fault)
        if not is_whole(planned.factor_milli, _MAX_FACTOR):
            fault(f"{place}.factor_milli", f"{quoted(planned.factor_milli)} is not from 0 to {_MAX_FACTOR}")
        found[name] = planned
    return found


def caps(told: Mapping[str, Any], fault: Fault) -> tuple[BindingCap, ...]:
    """The limits that hold something back."""
    found = []
    for place, each in _list(told, "caps", MAX_CAPS, fault):
        kind, name = each.get("kind"), each.get("name", "")
        price: Any = each.get("price")
        if not isinstance(kind, str) or not _WORD.fullmatch(kind):
            fault(f"{place}.kind", f"{quoted(kind)} {_WORD_RULE}")
        if not isinstance(name, str) or (name and not NAME.fullmatch(name)):
            fault(f"{place}.name", f"{quoted(name)} {_NAME_RULE}, nor empty")
        capacity_bps = each.get("capacity_bps")
        if not is_whole(capacity_bps, 1 << 62):
            fault(f"{place}.capacity_bps", f"{quoted(capacity_bps)} is not a rate in bits per second")
        if not is_number(price, MAX_COST):
            fault(f"{place}.price", f"{quoted(price)} is not a price")
        found.append(BindingCap(str(kind), str(name), capacity_bps or 0, price))
    return tuple(found)


def demands(told: Mapping[str, Any], rows: int, fault: Fault) -> Sequence[int]:
    """The demand of each row in bits per second; zeros where it is not told."""
    found: Any = told.get("demand_bps", [])
    if _is_per_row(found, "demand_bps", rows, fault):
        if all(type(each) is int and 0 <= each <= MAX_BPS for each in found):
            return list(found)
        for at, each in enumerate(found):
            _rate(f"demand_bps[{at}]", each, fault)
    return [0] * rows


def costs(told: Mapping[str, Any], rows: int, fault: Fault) -> Sequence[Sequence[float]]:
    """The costs of each row's edges; none where they are not told. How many they are is not asked here."""
    found: Any = told.get("costs", [])
    if _is_per_row(found, "costs", rows, fault):
        faulty = False
        for at, each in enumerate(found):
            if not isinstance(each, list | tuple) or not all(is_number(cost, MAX_COST) for cost in each):
                fault(f"costs[{at}]", f"{listed(each)} is not a list of costs")
                faulty = True
        if not faulty:
            return list(found)
    return [()] * rows


def is_number(value: Any, most: float) -> bool:
    """Whether it is a finite number from ``-most`` to ``most``."""
    kind = type(value)
    return (kind is float or kind is int) and -most <= value <= most and math.isfinite(value)


def _is_per_row(found: object, key: str, rows: int, fault: Fault) -> bool:
    """Whether there is one for each row; where there is none at all, nothing is wrong."""
    if not isinstance(found, list):
        fault(key, f"{quoted(found)} is not a list")
    elif found and len(found) != rows:
        fault(key, f"has {len(found)} items for {rows} rows")
    else:
        return bool(found)
    return False


def _mappings(told: Mapping[str, Any], key: str, most: int, fault: Fault) -> list[tuple[str, Mapping[str, Any]]]:
    value = told.get(key, {})
    if not isinstance(value, dict):
        fault(key, f"{listed(value)} is not a mapping")
        return []
    if len(value) > most:
        fault(key, f"has {len(value)} keys; at most {most} are read")
        return []
    found: list[tuple[str, Mapping[str, Any]]] = []
    for name, each in value.items():
        if isinstance(each, dict):
            found.append((name, each))
        else:
            fault(f"{key}[{quoted(name)}]", f"{listed(each)} is not a mapping")
    return found


def _list(told: Mapping[str, Any], key: str, most: int, fault: Fault) -> list[tuple[str, Mapping[str, Any]]]:
    value = told.get(key, [])
    if not isinstance(value, list):
        fault(key, f"{quoted(value)} is not a list")
        return []
    if len(value) > most:
        fault(key, f"has {len(value)} items; at most {most} are read")
        return []
    found: list[tuple[str, Mapping[str, Any]]] = []
    for at, each in enumerate(value):
        if isinstance(each, dict):
            found.append((f"{key}[{at}]", each))
        else:
            fault(f"{key}[{at}]", f"{listed(each)} is not a mapping")
    return found


def _rate(place: str, value: object, fault: Fault) -> None:
    if not is_whole(value, MAX_BPS):
        fault(place, f"{quoted(value)} is not a rate in bits per second")


def listed(value: object) -> str:
    """A value as faults name it."""
    return f"a list of {len(value)}" if isinstance(value, list | tuple) else quoted(value)
