"""A zone's services as read → `gslb.model.intent.Service`: own keys, then those of the `like`, then `defaults`."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gslb.errors import Findings
from gslb.model.intent import AFFINITY_LEVELS, Service
from gslb.zone import names
from gslb.zone.models import DefaultsModel, ServiceModel, ZoneModel
from gslb.zone.nodes import Text, quote
from gslb.zone.reading import Reading
from gslb.zone.scalars import did_you_mean

ANY_LEVEL = AFFINITY_LEVELS[-1]


@dataclass(frozen=True, slots=True)
class Named:
    """A service under its lower-case wire name; ``key`` is the name as written, with its place."""

    key: Text
    name: bytes
    model: ServiceModel


def named(reading: Reading[ZoneModel], origin: bytes, findings: Findings) -> dict[bytes, Named]:
    """The services by name; a name that is none, or stands twice in two spellings, is told."""
    found: dict[bytes, Named] = {}
    path = reading.document.path
    for text, model in reading.model.services.items():
        key = reading.document.root["services"].written[text]
        try:
            name = names.owner(key, origin)
        except ValueError as error:
            findings.error(path, key.line, key.column, f"services: {error}")
            continue
        if name in found:
            first = found[name].key
            findings.error(
                path, key.line, key.column, f"service {quote(key)} is {quote(first)} of line {first.line} again"
            )
        else:
            found[name] = Named(key, name, model)
    return found


def resolve(
    reading: Reading[ZoneModel], origin: bytes, services: Mapping[bytes, Named], findings: Findings
) -> dict[bytes, Service]:
    """Each service with all its keys settled. One whose `like` leads nowhere or round, or without a pool, is told."""
    path = reading.document.path
    likes = {name: like for name, service in services.items() if (like := _like(service, origin)) is not None}
    lost = [(target, text) for target, text in likes.values() if target not in services]
    written = _written(reading, origin) if lost else set()
    for target, text in lost:
        if target not in written and not reading.document.broken:
            hint = did_you_mean(text, (service.key for service in services.values()))
            findings.error(path, text.line, text.column, f"like: {quote(text)} is no service of this zone{hint}")
    _cycles(path, services, likes, findings)
    resolved = {}
    for name, service in services.items():
        way: dict[bytes, DefaultsModel] = {}
        at: bytes | None = name
        while at is not None and at in services and at not in way:
            way[at] = services[at].model
            at = likes[at][0] if at in likes else None
        astray = at is not None  # the way of `like` breaks off or goes round, which has been told
        settled = _settle(name, [*way.values(), reading.model.defaults])
        key = service.key
        if not settled.pool and not astray and not any(_pool_faulty(reading, services[n].key) for n in way):
            findings.error(path, key.line, key.column, f'service {quote(key)}: key "pool" is missing')
        if settled.changing_ttl_s > settled.ttl_s:
            reason = f"changing_ttl {settled.changing_ttl_s} is longer than ttl {settled.ttl_s}"
            findings.warn(path, key.line, key.column, f"service {quote(key)}: {reason}")
        _unreached(path, f"service {quote(key)}", key, service.model, findings)
        resolved[name] = settled
    if "defaults" in reading.document.root:
        _unreached(path, "defaults", reading.document.root.written["defaults"], reading.model.defaults, findings)
    return resolved


def _unreached(path: str, what: str, key: Text, model: DefaultsModel, findings: Findings) -> None:
    levels = model.affinity or ()
    if ANY_LEVEL in levels[:-1]:
        reason = f"{what}: affinity: every client matches {quote(ANY_LEVEL)}; the levels after it are never looked at"
        findings.warn(path, key.line, key.column, reason)


def _like(service: Named, origin: bytes) -> tuple[bytes, Text] | None:
    text = service.model.like
    if not isinstance(text, Text):
        return None
    try:
        return names.owner(text, origin), text
    except ValueError:
        return b"", text  # no service has that name


def _written(reading: Reading[ZoneModel], origin: bytes) -> set[bytes]:
    """The names of all services that stand in the file, sound or not."""
    found = set()
    for text in reading.written("services"):
        with contextlib.suppress(ValueError):
            found.add(names.owner(text, origin))
    return found


def _pool_faulty(reading: Reading[ZoneModel], key: Text) -> bool:
    return reading.faulty("services", key, "pool") or reading.faulty("defaults", "pool")


def _cycles(
    path: str, services: Mapping[bytes, Named], likes: Mapping[bytes, tuple[bytes, Text]], findings: Findings
) -> None:
    """Tell each cycle once, at the first of its services that is met."""
    done: set[bytes] = set()
    for name in services:
        way: list[bytes] = []
        at: bytes | None = name
        while at is not None and at not in done and at in services:
            done.add(at)
            way.append(at)
            at = likes[at][0] if at in likes else None
        if at in way:
            members = way[way.index(at) :]
            shown = " → ".join(services[each].key for each in [*members, members[0]])
            text = likes[members[0]][1]
            findings.error(path, text.line, text.column, f"like: {quote(text)} goes round in a circle: {shown}")


def _settle(name: bytes, models: list[DefaultsModel]) -> Service:
    def first(key: str, otherwise: Any) -> Any:
        return next((value for model in models if (value := getattr(model, key)) is not None), otherwise)

    def first_of(key: str, part: str, otherwise: Any) -> Any:
        parts = (getattr(value, part) for model in models if (value := getattr(model, key)) is not None)
        return next((value for value in parts if value is not None), otherwise)

    base = _BUILT_IN
    ttl_s = first("ttl", base.ttl_s)
    fallback = first("fallback", None)
    return Service(
        name=name,
        pool=str(first("pool", "")),
        affinity=first("affinity", base.affinity),
        ttl_s=ttl_s,
        changing_ttl_s=first("changing_ttl", min(base.changing_ttl_s, ttl_s)),
        hash_len_v4=first_of("hash_len", "v4", base.hash_len_v4),
        hash_len_v6=first_of("hash_len", "v6", base.hash_len_v6),
        answers=first("answers", base.answers),
        spread=first("spread", base.spread),
        max_records=first("max_records", base.max_records),
        panic=first("panic", base.panic),
        on_all_down=first("on_all_down", base.on_all_down),
        fallback_v4=fallback.v4 if fallback is not None else (),
        fallback_v6=fallback.v6 if fallback is not None else (),
        dispatch=first("dispatch", base.dispatch),
        max_change=first("max_change", base.max_change),
    )


_BUILT_IN = Service(name=b"\0", pool="")
"""Has what holds where a file says nothing."""
