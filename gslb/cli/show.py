"""What the server said, as lines for a person."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gslb.geo.address import format_prefix
from gslb.server.status import ReloadStatus, Status

if TYPE_CHECKING:  # they take a while to load
    from gslb.geo.view import Whereabouts
    from gslb.model.view import View

STATES = {
    "starting": "reading the files for the first time",
    "ok": "ok",
    "failed": "FAILED: the files have errors; what was applied last is served",
    "pending": "HELD: too much would move at once; `gslb apply --force` lets it through",
}


def reload_lines(reload: ReloadStatus) -> list[str]:
    """The outcome of a reload, its errors and warnings, and what is held."""
    found = [f"reload      {_outcome(reload)}"]
    if reload.at_s:
        found.append(f"            {_when(reload.at_s)}, took {reload.seconds:.2f} s")
    if reload.pending:
        found.append(f"            generation {reload.pending.generation[:16]} waits")
        found += [
            f"            {held.service} moves {held.fraction:.1%} of its known clients, may {held.max_change:.1%}"
            for held in reload.pending.held
        ]
    found += [f"  {fault}" for fault in reload.errors]
    found += [f"  {fault.place}: warning: {fault.message}" for fault in reload.warnings]
    return found


def _outcome(reload: ReloadStatus) -> str:
    if reload.state == "failed" and not any(fault.path for fault in reload.errors):
        return "FAILED: nothing changed"
    if reload.state == "ok" and reload.errors:
        return "NOT REMEMBERED: the files are served, and a restart would begin with what was applied before"
    return STATES.get(reload.state, reload.state)


def status_lines(status: Status) -> list[str]:
    """All of a server's status."""
    up = int(time.time() - status.started_s)
    found = [
        f"server      {status.server_id}, gslb {status.version}, pid {status.pid}, up {up} s",
        f"ready       {'yes' if status.ready else 'NO'}",
        f"listens     {status.listening(' and ')}, admin {status.admin}",
        f"generation  {status.generation[:16] or 'none'}"
        + (f", applied {_when(status.applied_s)}" if status.applied_s else ""),
        f"zones       {len(status.zones)}: {' '.join(status.zones[:8])}{' …' if len(status.zones) > 8 else ''}",
        f"services    {status.services}, edges {status.edges}",
        *_store_lines(status),
        f"steering    {status.steering.builds} built, the last in {status.steering.seconds * 1000:.1f} ms",
    ]
    found += reload_lines(status.reload)
    for number, worker in enumerate(status.workers):
        state = "answers" if worker.answering else "DOES NOT ANSWER"
        found.append(f"worker {number:<4} pid {worker.pid}, {state}, restarted {worker.restarts} times")
    return found


def _store_lines(status: Status) -> list[str]:
    """How the store is, what it holds that cannot be read, what is ordered, and what is kept on disk."""
    live = status.live
    doing = "connected" if live.connected else f"AWAY for {live.age_s:.0f} s; what it said last holds"
    found = [f"store       {status.store}, {doing}, {status.steering.reports} edges have reported"]
    found += [f"            {key}: {reason}" for key, reason in sorted(live.faults.items())]
    acting = f"{live.overrides} {'acts' if live.overrides == 1 else 'act'} now" if live.overrides else "none act now"
    found.append(f"overrides   {acting}, plan {live.plan_text}")
    if live.not_saved:
        found.append(f"saved       NOT SAVED: {live.not_saved}")
    elif live.saved_s:
        found.append(f"saved       {_when(live.saved_s)}")
    return found


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def located_lines(found: Whereabouts) -> list[str]:
    """Where a client is: what was looked up, what each layer says, and the outcome."""
    lines = [f"client   {_prefix(found.prefix)}"]
    if found.private_length:
        lines[0] += f", in a private block (/{found.private_length}): servers locate its resolver instead"
    for word in found.words:
        place = f"{word.path}:{word.line}" if word.line else word.path
        lines.append(f"{word.layer:<8} {_view(word.fact)} ({_prefix(word.prefix)} in {place})")
    lines.append(f"view     {_view(found.view)}")
    return lines


def located(found: Whereabouts) -> dict[str, object]:
    """The same as data."""
    return {
        "client": _prefix(found.prefix),
        "private_length": found.private_length,
        "layers": [
            {
                "layer": word.layer,
                "path": word.path,
                "line": word.line,
                "prefix": _prefix(word.prefix),
                **word.fact._asdict(),
            }
            for word in found.words
        ],
        "view": {"key": found.view.key, **found.view._asdict()},
    }


def _prefix(prefix: tuple[int, int, int]) -> str:
    bits, start, length = prefix
    return format_prefix(bits, start, length)


def _view(view: View) -> str:
    """``country|region|isp`` and what else is known."""
    parts = [view.key]
    if view.asn:
        parts.append(f"AS{view.asn}")
    if view.continent:
        parts.append(f"continent {view.continent}")
    if view.lat is not None and view.lon is not None:
        parts.append(f"at {view.lat:g},{view.lon:g}")
    return ", ".join(parts)
