"""What operators order for a while: a drain, a change of weight, a view pinned to an edge."""

from __future__ import annotations

from dataclasses import dataclass

KIND_DRAIN = "drain"
KIND_RAMP = "ramp"
KIND_PIN = "pin"
KINDS = (KIND_DRAIN, KIND_RAMP, KIND_PIN)


@dataclass(frozen=True, slots=True)
class Target:
    """What an override acts on. A drain or a ramp has an edge or a PoP, and may be limited to a service and a view; a
    pin has a service and may be limited to a view.

    ``service`` is its name in text, lower case with the final dot. ``view`` is ``country|region|isp``; empty parts
    match anything.
    """

    edge: str = ""
    pop: str = ""
    service: str = ""
    view: str = ""


@dataclass(frozen=True, slots=True)
class Override:
    """An order with a beginning and an end, in seconds since 1970 on the store's clock.

    A drain takes weight away over ``over_s`` seconds from ``from_s`` on, all of it by then. A ramp takes it to
    ``value_milli`` thousandths. Either gives it back by slow start from ``until_s`` on. A pin answers with ``edges``
    alone while one of them lives.
    """

    id: str
    kind: str
    target: Target
    from_s: int
    until_s: int
    over_s: int = 0
    value_milli: int = 0
    edges: tuple[str, ...] = ()
    author: str = ""
    reason: str = ""
