"""The store's state on disk, so that a server that starts without its store answers as before; and plans, once each.

``state.json`` in the state directory is a line of JSON and a line with its SHA-256; ``plan.json``, of the same form, is
the plan that counts, which may have ten megabytes and changes more seldom. They are for this program alone, and another
version of it may write another form.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from gslb.errors import GslbError
from gslb.model.plan import Plan
from gslb.model.report import StoreState
from gslb.plan import published
from gslb.store.atomic import write_atomic

STATE: Final = "state.json"
PLAN: Final = "plan.json"
PLANS: Final = "plans"
FORMAT: Final = 1
MAX_BYTES: Final = 256 << 20
"""Of the longest state that is read."""
MAX_PLANS: Final = 100
"""Plans that are kept, those used last."""

Read = TypeVar("Read", bound=msgspec.Struct)


class _Kept(msgspec.Struct, frozen=True):
    """A plan lies in it where an older version of this program wrote it."""

    format: int
    state: StoreState


class _KeptPlan(msgspec.Struct, frozen=True):
    format: int
    plan: Plan


class _Format(msgspec.Struct, frozen=True):
    """What every form has."""

    format: int


def save(state_dir: Path, state: StoreState, *, but_plan: bool = False) -> None:
    """Keep ``state`` in place of what was kept, each file whole or not at all; without ``plan_base``, which is there
    for plans that come in. ``but_plan`` leaves the plan that is kept, for who knows that it is the same.

    Raises ``OSError`` where it cannot be written, and `GslbError` where a text in it is none that JSON has.
    """
    at, plan_at = state_dir / STATE, state_dir / PLAN
    text = _text(at, _Kept(FORMAT, dataclasses.replace(state, plan=None, plan_base=None)))
    plan = _text(plan_at, _KeptPlan(FORMAT, state.plan)) if state.plan is not None and not but_plan else None
    write_atomic(at, text)
    if plan is not None:
        write_atomic(plan_at, plan)
    elif state.plan is None:
        plan_at.unlink(missing_ok=True)


def load(state_dir: Path) -> StoreState:
    """What was kept; an empty state where nothing was.

    Raises `GslbError` where it cannot be read, and where another version of this program wrote it; a file that is torn
    or none of ours is set aside first, as ``state.json.torn`` or ``plan.json.torn``.
    """
    found = _read(state_dir / STATE, _Kept)
    if found is None:
        return StoreState()
    if found.state.plan is None and (plan := _read(state_dir / PLAN, _KeptPlan)) is not None:
        return dataclasses.replace(found.state, plan=plan.plan)
    return found.state


def save_plan(state_dir: Path, plan: Plan) -> str:
    """Keep a plan as ``plans/VERSION.plan``, in the form in which it is published, beside at most `MAX_PLANS` - 1
    others; its SHA-256, in hexadecimal, with which `load_plan` gives it back.

    Raises ``OSError`` where it cannot be written, and `PlanError` where it is not fit to be published.
    """
    path = _plan_path(state_dir, plan.version)
    with contextlib.suppress(OSError, GslbError):
        data = path.read_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        if published.read(data, sha256) == plan:
            os.utime(path)
            return sha256
    data, sha256 = published.write(plan)
    write_atomic(path, [data])
    others = sorted(path.parent.glob("*.plan"), key=lambda each: each.stat().st_mtime_ns, reverse=True)
    for other in [each for each in others if each != path][MAX_PLANS - 1 :]:
        other.unlink(missing_ok=True)
    return sha256


def load_plan(state_dir: Path, version: str, sha256: str) -> Plan:
    """A plan that was kept. Raises `GslbError` where it is kept no longer, was replaced or is torn."""
    path = _plan_path(state_dir, version)
    try:
        return published.read(path.read_bytes(), sha256)
    except FileNotFoundError:
        raise GslbError(f"{path}: plan {version} is no longer kept") from None
    except OSError as error:
        raise GslbError(f"{path}: cannot be read: {error.strerror}") from None
    except GslbError as error:
        raise GslbError(f"{path}: {error}") from None


def _plan_path(state_dir: Path, version: str) -> Path:
    if not published.is_version(version):
        raise GslbError(f"{version!r} is not the version of a plan")
    return state_dir / PLANS / f"{version}.plan"


def _text(path: Path, value: msgspec.Struct) -> list[bytes]:
    """What a file is to hold."""
    try:
        text = msgspec.json.encode(value)
    except UnicodeEncodeError as error:
        raise GslbError(f"{path}: cannot be written: {error}") from None
    return [text, b"\n", hashlib.sha256(text).hexdigest().encode(), b"\n"]


def _read(path: Path, kind: type[Read]) -> Read | None:
    """What a file holds; None where there is none."""
    content = _content(path)
    if content is None:
        return None
    text, _, digest = content.removesuffix(b"\n").rpartition(b"\n")
    if not content.endswith(b"\n") or hashlib.sha256(text).hexdigest().encode() != digest:
        raise _torn(path, "its checksum differs")
    try:
        found = msgspec.json.decode(text, type=_Format)
        if found.format != FORMAT:
            raise GslbError(f"{path}: of format {found.format}, made by another version of gslb")
        return msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _torn(path, f"is not a state: {error}") from None


def _content(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise GslbError(f"{path}: cannot be read: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise _torn(path, f"has more than {MAX_BYTES} bytes")
    return content


def _torn(path: Path, reason: str) -> GslbError:
    """The error to raise, once the file is out of the way."""
    aside = path.with_name(path.name + ".torn")
    try:
        path.replace(aside)
    except OSError as error:
        return GslbError(f"{path}: {reason}; it cannot be set aside: {error.strerror}")
    return GslbError(f"{path}: {reason}; set aside as {aside.name}")
