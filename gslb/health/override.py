"""Overrides as JSON: what a store holds and an operator orders, checked key by key.

``{"id", "kind", "target": {"edge" | "pop", "service", "view"}, "from", "until", "over_s", "value", "author",
"reason"}``. Times are RFC 3339 texts of whole seconds (``2026-11-24T14:30:00Z``) or whole seconds since 1970. A key
that is not known refuses the override: it may have been meant to limit what the others order.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from gslb.errors import FaultyError
from gslb.model.geography import CONTINENT_OF
from gslb.model.jsontext import decoded, is_whole, quoted
from gslb.model.override import KIND_DRAIN, KIND_PIN, KIND_RAMP, KINDS, Override, Target

MAX_TEXT: Final = 16_384
"""Characters of the longest JSON text that is read."""
MAX_SPAN_S: Final = 90 * 86_400
"""The longest time between beginning and end."""
MAX_EDGES: Final = 16
"""Edges of a pin, as many as one answer is drawn from."""
MAX_AUTHOR: Final = 64
MAX_REASON: Final = 256

_LATEST_S: Final = 253_402_300_799  # the last second of the year 9999
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_ID: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:Z|[+-]\d\d:\d\d)", re.ASCII)
_SERVICE: Final = re.compile(r"[!-~]{1,1020}")
_KEYS: Final = ("id", "kind", "target", "from", "until", "over_s", "value", "author", "reason")
_TARGET_KEYS: Final = ("edge", "pop", "service", "view")
_NAME_RULE: Final = "1 to 63 letters, digits, dots, hyphens and underscores, beginning with a letter or digit"


class OverrideError(FaultyError):
    """An override that is refused. ``id`` is empty where it is not known."""

    def __init__(self, name: str, faults: Iterable[tuple[str, str]]) -> None:
        self.id = name
        super().__init__(f"override {quoted(name)}" if name else "override", faults)


def read(source: str | bytes | Mapping[str, Any]) -> Override:
    """The override that a JSON text, or what such a text was decoded to, spells. Raises `OverrideError` with every
    fault at once.

    ``until`` may equal ``from``: an override called off before it began. ``author`` may be absent.
    """
    told = source if isinstance(source, Mapping) else _decoded(source)
    return _Reading(told).override()


def text(override: Override) -> str:
    """The JSON that spells an override; `read` gives it back."""
    return json.dumps(mapping(override), ensure_ascii=False, separators=(",", ":"))


def mapping(override: Override) -> dict[str, Any]:
    """What `text` encodes: texts, whole numbers, lists and one mapping. A drain's ``value`` is None."""
    target = override.target
    value: Any = None
    if override.kind == KIND_RAMP:
        value = override.value_milli
    elif override.kind == KIND_PIN:
        value = list(override.edges)
    return {
        "id": override.id,
        "kind": override.kind,
        "target": {key: part for key in _TARGET_KEYS if (part := getattr(target, key))},
        "from": time_text(override.from_s),
        "until": time_text(override.until_s),
        "over_s": override.over_s,
        "value": value,
        "author": override.author,
        "reason": override.reason,
    }


def time_text(time_s: int) -> str:
    """Seconds since 1970 as RFC 3339 in UTC: ``2026-11-24T14:30:00Z``."""
    return (_EPOCH + timedelta(seconds=time_s)).isoformat().replace("+00:00", "Z")


def time_s(value: object) -> int:
    """RFC 3339 of whole seconds, with ``Z`` or an offset, or whole seconds since 1970 → seconds since 1970. Raises
    `ValueError` with the reason."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LATEST_S:
        return value
    if isinstance(value, str) and _TIME.fullmatch(value):
        try:
            found = (datetime.fromisoformat(value) - _EPOCH) // timedelta(seconds=1)
        except (ValueError, OverflowError):
            found = -1
        if 0 <= found <= _LATEST_S:
            return found
    raise ValueError(f"{quoted(value)} is not a time, such as 2026-11-24T14:30:00Z")


def view_pattern(value: str) -> str:
    """``country|region|isp`` in its one spelling: codes in upper case; empty where it matches anything. Raises
    `ValueError` with the reason."""
    country, region, isp = parts if len(parts := value.split("|")) == 3 else ("?", "", "")
    country, region = country.upper(), region.upper()
    if re.fullmatch(r"[Aa][Ss]\d+", isp):
        isp = isp.upper()
    if (
        (country and country not in CONTINENT_OF)
        or (region and not (country and re.fullmatch(r"[A-Z0-9]{1,3}", region)))
        or (isp and not _NAME.fullmatch(isp))
    ):
        raise ValueError(
            f"{quoted(value)} is not country|region|isp, such as CN|SH|chinanet, CN|| or ||AS4134; a region needs its"
            " country"
        )
    return f"{country}|{region}|{isp}" if country or isp else ""


class _Reading:
    """One reading of a mapping, with the faults it found."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        self._told = told
        self._faults: list[tuple[str, str]] = []

    def override(self) -> Override:
        self._unknown("", self._told, _KEYS)
        name = self._matching("id", _ID, "1 to 63 of a–z, 0–9, dot, hyphen and underscore, not beginning with a sign")
        kind = self._told.get("kind")
        if kind not in KINDS:
            self._fault("kind", kind, f"is not one of {', '.join(KINDS)}")
        begin_s, end_s = self._time("from"), self._time("until")
        if begin_s is not None and end_s is not None:
            if end_s < begin_s:
                self._faults.append(("until", "is before from"))
            elif end_s - begin_s > MAX_SPAN_S:
                self._faults.append(("until", f"is more than {MAX_SPAN_S // 86_400} days after from"))
        found = Override(
            id=name,
            kind=str(kind),
            target=self._target(kind),
            from_s=begin_s or 0,
            until_s=end_s or 0,
            over_s=self._over_s(kind),
            value_milli=self._value_milli(kind),
            edges=self._edges(kind),
            author=self._words("author", MAX_AUTHOR, required=False),
            reason=self._words("reason", MAX_REASON, required=True),
        )
        if self._faults:
            raise OverrideError(name, self._faults)
        return found

    def _target(self, kind: object) -> Target:
        told = self._told.get("target")
        if not isinstance(told, Mapping):
            self._fault("target", told, "is not a mapping of edge or pop, service and view")
            return Target()
        self._unknown("target.", told, _TARGET_KEYS)
        texts = {}
        for key in _TARGET_KEYS:
            value = told.get(key, "")
            texts[key] = value if isinstance(value, str) else ""
            if not isinstance(value, str):
                self._fault(f"target.{key}", value, "is not a text")
        for key in ("edge", "pop"):
            if texts[key] and not _NAME.fullmatch(texts[key]):
                self._fault(f"target.{key}", texts[key], f"is not a name: {_NAME_RULE}")
        service = texts["service"].lower()
        if service and not _SERVICE.fullmatch(service):
            self._fault("target.service", service, "is not the name of a service, such as pull.live.example.")
        if service and not service.endswith("."):
            service += "."
        view = texts["view"]
        if view:
            try:
                view = view_pattern(view)
            except ValueError as error:
                self._faults.append(("target.view", str(error)))
        self._shape(kind, told, texts)
        return Target(edge=texts["edge"], pop=texts["pop"], service=service, view=view)

    def _shape(self, kind: object, told: Mapping[str, Any], texts: Mapping[str, str]) -> None:
        """Which keys of a target each kind takes."""
        placed = [key for key in ("edge", "pop") if told.get(key)]
        if kind == KIND_PIN:
            self._faults += [(f"target.{key}", "a pin has none; value lists its edges") for key in placed]
            if not told.get("service"):
                self._faults.append(("target.service", "is missing"))
        elif kind in KINDS and len(placed) != 1:
            self._faults.append(("target", f"a {kind} has either an edge or a pop"))

    def _over_s(self, kind: object) -> int:
        value = self._told.get("over_s", 0)
        most = 0 if kind == KIND_PIN else MAX_SPAN_S
        if is_whole(value, most):
            return int(value)
        self._fault("over_s", value, "is not 0: a pin acts at once" if not most else _whole_rule(most))
        return 0

    def _value_milli(self, kind: object) -> int:
        value = self._told.get("value")
        if kind == KIND_RAMP and not is_whole(value, 1000):
            self._fault("value", value, f"{_whole_rule(1000)}, in thousandths of weight")
        elif kind == KIND_DRAIN and value is not None:
            self._fault("value", value, "is too much: a drain has none")
        elif kind == KIND_RAMP:
            return int(self._told["value"])
        return 0

    def _edges(self, kind: object) -> tuple[str, ...]:
        value = self._told.get("value")
        if kind != KIND_PIN:
            return ()
        if not isinstance(value, list | tuple) or not 1 <= len(value) <= MAX_EDGES:
            self._fault("value", value, f"is not a list of 1 to {MAX_EDGES} edges")
            return ()
        found: list[str] = []
        for edge in value:
            if not isinstance(edge, str) or not _NAME.fullmatch(edge):
                self._fault("value", edge, f"is not a name: {_NAME_RULE}")
            elif edge in found:
                self._fault("value", edge, "stands twice in it")
            else:
                found.append(edge)
        return tuple(found)

    def _time(self, key: str) -> int | None:
        if key not in self._told:
            self._faults.append((key, "is missing"))
            return None
        try:
            return time_s(self._told[key])
        except ValueError as error:
            self._faults.append((key, str(error)))
            return None

    def _matching(self, key: str, pattern: re.Pattern[str], rule: str) -> str:
        value = self._told.get(key)
        if isinstance(value, str) and pattern.fullmatch(value):
            return value
        if key not in self._told:
            self._faults.append((key, "is missing"))
        else:
            self._fault(key, value, f"is not {rule}")
        return ""

    def _words(self, key: str, longest: int, *, required: bool) -> str:
        value = self._told.get(key, "")
        if not isinstance(value, str) or len(value) > longest or not value.isprintable():
            self._fault(key, value, f"is not a text of at most {longest} printable characters")
        elif required and not value.strip():
            self._faults.append((key, "is missing"))
        else:
            return value
        return ""

    def _unknown(self, prefix: str, told: Mapping[str, Any], known: tuple[str, ...]) -> None:
        for key in told:
            if key not in known:
                self._fault(prefix.rstrip("."), key, f"is no key; the keys are {', '.join(known)}")

    def _fault(self, key: str, value: object, reason: str) -> None:
        self._faults.append((key, f"{quoted(value)} {reason}"))


def _decoded(source: str | bytes) -> Mapping[str, Any]:
    """Raises `OverrideError` where the text is no JSON mapping."""
    if len(source) > MAX_TEXT:
        raise OverrideError("", [("", f"the text has more than {MAX_TEXT} characters")])
    try:
        found = decoded(source)
    except ValueError as error:
        raise OverrideError("", [("", str(error))]) from None
    if not isinstance(found, dict):
        raise OverrideError("", [("", f"{quoted(found)} is not a mapping")])
    return found


def _whole_rule(most: int) -> str:
    return f"is not a whole number from 0 to {most}"
