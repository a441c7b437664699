"""What a text in a YAML file may mean: durations, rates, fractions, countries, addresses, names.

Each reader takes a node and returns the value, or raises ``ValueError`` whose text quotes the value and says what is
expected; the caller adds key and place.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from gslb.model.geography import CONTINENT_OF
from gslb.model.inventory import ANY_ISP
from gslb.zone.nodes import Items, Text, quote

MAX_TTL_S = 2**31 - 1
"""RFC 2181 section 8."""

INSTANT = r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:[Zz]|[+-]\d\d:\d\d)"
DURATION = r"(0|[1-9]\d{0,9})([smhd]?)"
RATE = r"(\d{1,12}(?:\.\d{1,9})?) ?(bps|kbps|Mbps|Gbps|Tbps)"
FRACTION = r"(\d{1,3}(?:\.\d{1,9})?) ?(%?)"
IDENTIFIER = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
ASN = r"(?:[Aa][Ss])?([1-9]\d{0,9})"
REGION = r"[A-Za-z0-9]{1,3}"

_UNIT_S = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_UNIT_BPS = {"bps": 1, "kbps": 10**3, "Mbps": 10**6, "Gbps": 10**9, "Tbps": 10**12}
_CONFUSED = {"UK": "GB", "EL": "GR", "EN": "GB"}


def text(value: object) -> Text:
    """Any text that is not empty, as it stands."""
    if isinstance(value, Text) and value:
        return value
    raise ValueError(f"{quote(value)} is not a text")


def rdata_text(value: object) -> Text:
    """The text of a record; an empty one must be in quotes."""
    if isinstance(value, Text) and (value or not value.plain):
        return value
    raise ValueError(f"{quote(value)} is not the text of a record")


def seconds(value: object) -> int:
    """``300``, ``5m``, ``1h``, ``1d`` → seconds, up to 2^31 - 1."""
    found = _match(DURATION, value)
    if found and (total := int(found[1]) * _UNIT_S[found[2]]) <= MAX_TTL_S:
        return total
    raise ValueError(
        f"{quote(value)} is not a duration: whole seconds up to {MAX_TTL_S}, or a whole number with s, m, h or d (5m)"
    )


def whole(low: int, high: int) -> Callable[[object], int]:
    """A reader of whole numbers between ``low`` and ``high``, in decimal digits."""

    def read(value: object) -> int:
        found = _match(r"-?(?:0|[1-9]\d{0,18})", value)
        if found and low <= int(found[0]) <= high:
            return int(found[0])
        raise ValueError(f"{quote(value)} is not a whole number from {low} to {high}")

    return read


def number(low: float, high: float) -> Callable[[object], float]:
    """A reader of decimal numbers between ``low`` and ``high``."""

    def read(value: object) -> float:
        found = _match(r"-?\d{1,9}(?:\.\d{1,12})?", value)
        if found and low <= float(found[0]) <= high:
            return float(found[0])
        raise ValueError(f"{quote(value)} is not a number from {low:g} to {high:g}")

    return read


def fraction(value: object) -> float:
    """``0.3`` or ``30%`` → 0.3; between 0 and 1."""
    found = _match(FRACTION, value)
    if found:
        share = Decimal(found[1]) / (100 if found[2] else 1)
        if share <= 1:
            return float(share)
    raise ValueError(f"{quote(value)} is not a fraction: a number from 0 to 1, or a percentage (0.3 or 30%)")


def boolean(value: object) -> bool:
    """The words YAML 1.1 has for true and false."""
    word = value.lower() if isinstance(value, Text) else ""
    if word in ("true", "yes", "on"):
        return True
    if word in ("false", "no", "off"):
        return False
    raise ValueError(f"{quote(value)} is not true or false")


def one_of(*words: str) -> Callable[[object], str]:
    """A reader of one of ``words``."""

    def read(value: object) -> str:
        if isinstance(value, Text) and str(value) in words:
            return str(value)
        raise ValueError(f"{quote(value)} is not one of {', '.join(words)}{did_you_mean(value, words)}")

    return read


def instant(value: object) -> int:
    """An RFC 3339 time with its zone, to the second → seconds since 1970."""
    if found := _match(INSTANT, value):
        try:
            return int(datetime.fromisoformat(found[0].upper().replace(" ", "T")).timestamp())
        except ValueError:
            pass
    raise ValueError(
        f"{quote(value)} is not a time with its zone, such as 2026-01-01T18:00:00Z or 2026-01-01T18:00:00+08:00"
    )


def rate(value: object) -> int:
    """``40Gbps``, ``1.5 Tbps`` → bits per second; powers of ten."""
    found = _match(RATE, value)
    if found:
        bps = Decimal(found[1]) * _UNIT_BPS[found[2]]
        if bps == bps.to_integral_value() and 0 < bps < 2**63:
            return int(bps)
    raise ValueError(
        f"{quote(value)} is not a rate: a number above 0 with bps, kbps, Mbps, Gbps or Tbps, such as 40Gbps"
    )


def country(value: object) -> str:
    """An ISO 3166-1 alpha-2 code in any case → upper case."""
    code = value.upper() if isinstance(value, Text) else ""
    if code in CONTINENT_OF:
        return code
    hint = f'; did you mean "{_CONFUSED[code]}"?' if code in _CONFUSED else ""
    raise ValueError(f"{quote(value)} is not a country: two letters of ISO 3166-1, such as CN{hint}")


def region(value: object) -> str:
    """An ISO 3166-2 subdivision without its country → upper case."""
    if found := _match(REGION, value):
        return found[0].upper()
    hint = ""
    if isinstance(value, Text) and (long := re.fullmatch(rf"[A-Za-z]{{2}}-({REGION})", value)):
        hint = f'; did you mean "{long[1].upper()}"?'
    raise ValueError(
        f"{quote(value)} is not a region: one to three letters or digits of ISO 3166-2, without the country{hint}"
    )


def address4(value: object) -> bytes:
    """An IPv4 address that a client can connect to → 4 bytes."""
    if isinstance(value, Text):
        try:
            address = IPv4Address(str(value))
        except ValueError:
            pass
        else:
            if not (address.is_unspecified or address.is_multicast or address == IPv4Address(2**32 - 1)):
                return address.packed
            raise ValueError(f"{quote(value)} is not the address of a host")
    raise ValueError(f"{quote(value)} is not an IPv4 address")


def address6(value: object) -> bytes:
    """An IPv6 address that a client can connect to, without a zone → 16 bytes."""
    if isinstance(value, Text) and "%" not in value:
        try:
            address = IPv6Address(str(value))
        except ValueError:
            pass
        else:
            if not (address.is_unspecified or address.is_multicast):
                return address.packed
            raise ValueError(f"{quote(value)} is not the address of a host")
    raise ValueError(f"{quote(value)} is not an IPv6 address")


def prefix(value: object) -> str:
    """An address prefix without bits past its length, or a single address → its canonical text."""
    if isinstance(value, Text) and "%" not in value:
        try:
            return str(ip_network(str(value)))
        except ValueError as error:
            if "host bits" in str(error):
                raise ValueError(
                    f"{quote(value)} has bits set past its length; did you mean {ip_network(str(value), strict=False)}?"
                ) from None
    raise ValueError(f"{quote(value)} is not an address prefix, such as 192.0.2.0/24 or 2001:db8::/32")


def identifier(value: object) -> Text:
    """The name of an edge, pool, PoP or ISP, with its place."""
    if isinstance(value, Text) and re.fullmatch(IDENTIFIER, value):
        return value
    raise ValueError(
        f"{quote(value)} is not a name: 1 to 63 letters, digits, dots, hyphens and underscores, beginning with a letter"
        " or digit"
    )


def asn(value: object) -> int:
    """``4134`` or ``AS4134`` → 4134."""
    found = _match(ASN, value)
    if found and int(found[1]) < 2**32:
        return int(found[1])
    raise ValueError(f"{quote(value)} is not an AS number from 1 to {2**32 - 1}")


def isp(value: object) -> Text:
    """A name of isps.yaml, ``AS<n>`` or ``any``, with its place; AS numbers in upper case."""
    if isinstance(value, Text):
        if re.fullmatch("[Aa][Ss]" + r"\d+", value):
            return Text(f"AS{asn(value)}", value.line, value.column)
        if value == ANY_ISP or (re.fullmatch(IDENTIFIER, value) and not value.isdigit()):
            return value
        if value.isdigit():
            raise ValueError(f'{quote(value)} is not an ISP; did you mean "AS{value}"?')
    raise ValueError(f"{quote(value)} is not an ISP: a name of isps.yaml, AS<number>, or any")


def isp_name(value: object) -> Text:
    """As `isp`, but for ``any``, which names none."""
    found = isp(value)
    if found == ANY_ISP:
        raise ValueError(f"{quote(value)} is not an ISP: a name of isps.yaml, or AS<number>")
    return found


def listed(value: object) -> object:
    """One value stands for a list of one."""
    if isinstance(value, Items):
        return value
    if isinstance(value, Text) and value:
        alone = Items(value.line, value.column)
        alone.append(value)
        return alone
    raise ValueError(f"{quote(value)} is not a list")


class ItemError(ValueError):
    """Faults of items of a list that only the list as a whole shows: the index and the reason of each."""

    def __init__(self, faults: list[tuple[int, str]]) -> None:
        super().__init__("; ".join(reason for _, reason in faults))
        self.faults = faults


def unique(values: tuple[object, ...]) -> tuple[object, ...]:
    """Refuse a list in which a value stands twice."""
    seen: set[object] = set()
    faults = []
    for index, value in enumerate(values):
        if value in seen:
            shown = str(ip_address(value)) if isinstance(value, bytes) else str(value)
            faults.append((index, f"{quote(shown)} stands twice in the list"))
        seen.add(value)
    if faults:
        raise ItemError(faults)
    return values


def did_you_mean(value: object, words: Iterable[str]) -> str:
    """``; did you mean "…"?`` with the nearest of ``words``, or nothing where none is near."""
    if not isinstance(value, str):
        return ""
    known = {word.lower(): word for word in itertools.islice(words, 2000)}
    lower = value.lower()
    near = difflib.get_close_matches(lower, known, n=1, cutoff=0.75)
    near = near or [word for word in known if len(word) == len(lower) > 2 and _slipped(word, lower)]
    return f"; did you mean {quote(known[near[0]])}?" if near else ""


def _slipped(word: str, other: str) -> bool:
    """Whether two words of one length differ in one letter, or in the order of their letters."""
    return sum(a != b for a, b in zip(word, other, strict=True)) == 1 or sorted(word) == sorted(other)


def _match(pattern: str, value: object) -> re.Match[str] | None:
    return re.fullmatch(pattern, value, re.ASCII) if isinstance(value, Text) else None
