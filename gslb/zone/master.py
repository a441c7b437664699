"""RFC 1035 master files, included beside a zone's YAML: text → records, every fault of the file with its place.

Understood are $ORIGIN, $TTL (RFC 2308 section 4), relative names, owners left out, parentheses, comments and quotes;
$INCLUDE and $GENERATE are refused. A faulty record is told and left out, and reading goes on with the next.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from gslb.errors import Findings
from gslb.zone import names, rdata
from gslb.zone.nodes import Text, quote
from gslb.zone.parse import decode
from gslb.zone.scalars import MAX_TTL_S


@dataclass(frozen=True, slots=True)
class Record:
    """One record and where it is written; ``owner`` is a lower-case wire name, ``rdata`` wire, ``text`` as written."""

    path: str
    line: int
    column: int
    owner: bytes
    rtype: int
    ttl_s: int
    rdata: bytes
    text: str


def read(path: str, content: bytes, origin: bytes, ttl_s: int, findings: Findings) -> list[Record]:
    """The records of a master file, in its order.

    ``origin`` (lower-case wire) holds until $ORIGIN says otherwise. A record without TTL takes that of $TTL, else the
    last one stated (RFC 1035 section 5.1), else ``ttl_s``.
    """
    text = decode(path, content, findings)
    if text is None:
        return []
    reader = _Reader(path, findings, origin, ttl_s)
    for entry in _entries(path, text, findings):
        try:
            reader.take(entry)
        except _Fault as fault:
            findings.error(path, fault.token.line, fault.token.column, str(fault))
    return reader.records


@dataclass(slots=True)
class _Entry:
    """The tokens of one record or directive; ``blank``: it begins with a space, so its owner is the last one."""

    blank: bool
    tokens: list[Text]


_MAX_UNCLOSED = 20
_TOKEN = re.compile(
    r"""(?P<space>[ \t\f]+) | (?P<comment>;.*) | (?P<quoted>"(?:[^"\\]|\\.)*") | (?P<paren>[()])
    | (?P<word>(?:[^\s;()"\\]|\\.)+) | (?P<bad>.)""",
    re.VERBOSE,
)


def _entries(path: str, text: str, findings: Findings) -> Iterator[_Entry]:
    """Cut the text at line ends that are not inside parentheses; a broken stretch is told and passed over."""
    lines = re.split("\r\n|[\r\n]", text)
    at = 0
    unclosed = 0
    while at < len(lines):
        entry = _Entry(lines[at][:1] in (" ", "\t", "\f"), [])
        first = at
        opened: list[Text] = []
        sound = True
        while at < len(lines) and (at == first or opened):
            sound = _tokens(path, lines[at], at + 1, entry.tokens, opened, findings) and sound
            at += 1
        if opened:
            findings.error(path, opened[0].line, opened[0].column, '"(" is never closed')
            unclosed += 1
            if unclosed > _MAX_UNCLOSED:
                return
            at = first + 1
        elif entry.tokens and sound:
            yield entry


def _tokens(path: str, line: str, number: int, into: list[Text], opened: list[Text], findings: Findings) -> bool:
    """Add the tokens of a line; ``opened`` are the parentheses open. False where the line is broken."""
    for found in _TOKEN.finditer(line):
        token = Text(found.group(), number, found.start() + 1)
        if found.lastgroup in ("quoted", "word"):
            into.append(token)
        elif token == "(":
            opened.append(token)
        elif token == ")" and opened:
            opened.pop()
        elif token == ")":
            findings.error(path, number, token.column, '")" closes no "("')
            return False
        elif found.lastgroup == "bad":
            what = "a quote is not closed on its line" if token == '"' else f"{quote(token)} ends the line"
            findings.error(path, number, token.column, what)
            return False
    return True


class _Fault(Exception):
    def __init__(self, token: Text, reason: str) -> None:
        super().__init__(reason)
        self.token = token


_DURATION = re.compile(r"(?:\d{1,10}[smhdw]?)(?:\d{1,10}[smhdw])*", re.IGNORECASE)
_UNIT_S = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_CLASSES = ("IN", "CH", "HS", "CS")


class _Reader:
    """Carries what one record passes on to the next: origin, TTLs, owner."""

    def __init__(self, path: str, findings: Findings, origin: bytes, ttl_s: int) -> None:
        self.path = path
        self.findings = findings
        self.origin = origin
        self.zone_ttl_s = ttl_s
        self.default_ttl_s: int | None = None
        self.last_ttl_s: int | None = None
        self.owner: bytes | None = None
        self.records: list[Record] = []

    def take(self, entry: _Entry) -> None:
        first = entry.tokens[0]
        if first.startswith("$") and not entry.blank:
            self._directive(first, entry.tokens[1:])
            return
        rest = entry.tokens
        if not entry.blank:
            self.owner = None  # an owner that cannot be read is not inherited either
            self.owner = self._name(first)
            rest = rest[1:]
        ttl_s, rest = self._ttl_and_class(first, rest)
        if not rest:
            raise _Fault(first, f"after {quote(first)} a record type is missing")
        try:
            kind = rdata.rtype(rest[0])
        except ValueError as error:
            raise _Fault(rest[0], str(error)) from None
        if len(rest) == 1:
            raise _Fault(rest[0], f"{rest[0]}: the rdata is missing")
        if self.owner is None:
            raise _Fault(first, "the owner is left out, and no record with a sound owner stands before")
        text = _written(kind, rest[1:])
        try:
            encoded = rdata.wire(kind, text, self.origin)
        except ValueError as error:
            raise _Fault(rest[1], f"{rest[0]}: {error}") from None
        if ttl_s is not None:
            self.last_ttl_s = ttl_s
        else:
            ttl_s = next(t for t in (self.default_ttl_s, self.last_ttl_s, self.zone_ttl_s) if t is not None)
        at = rest[0]
        self.records.append(Record(self.path, at.line, at.column, self.owner, kind, ttl_s, encoded, text))

    def _directive(self, name: Text, arguments: list[Text]) -> None:
        match name.upper():
            case "$ORIGIN" if len(arguments) == 1:
                self.origin = self._name(arguments[0])
            case "$TTL" if len(arguments) == 1:
                self.default_ttl_s = _duration(arguments[0])
            case "$ORIGIN" | "$TTL":
                raise _Fault(name, f"{name} takes one value")
            case "$INCLUDE":
                raise _Fault(name, "$INCLUDE is not read; list the file under include: of the zone")
            case "$GENERATE":
                raise _Fault(name, "$GENERATE is not read; write the records out")
            case _:
                raise _Fault(name, f"unknown directive {quote(name)}; known are $ORIGIN and $TTL")

    def _ttl_and_class(self, first: Text, rest: list[Text]) -> tuple[int | None, list[Text]]:
        """TTL and class stand before the type in either order, each at most once."""
        ttl_s: int | None = None
        classed = False
        while rest:
            if ttl_s is None and rest[0][:1].isdigit():
                ttl_s = _duration(rest[0])
            elif not classed and rest[0].upper() in _CLASSES:
                if rest[0].upper() != "IN":
                    raise _Fault(rest[0], f"class {quote(rest[0])} is not served; only IN is")
                classed = True
            else:
                break
            rest = rest[1:]
        return ttl_s, rest

    def _name(self, token: Text) -> bytes:
        try:
            return names.owner(token, self.origin)
        except ValueError as error:
            raise _Fault(token, str(error)) from None


def _written(kind: int, tokens: list[Text]) -> str:
    """The rdata on one line; words of a TXT are put in quotes, which there mean the same."""
    if kind in (rdata.TXT, rdata.SPF) and tokens[0] != "\\#":
        return " ".join(token if token.startswith('"') else f'"{token}"' for token in tokens)
    joined = tokens[0] + ""
    for before, token in pairwise(tokens):
        together = token.line == before.line and token.column == before.column + len(before)
        joined += ("" if together else " ") + token  # alpn="h2,h3" is one word
    return joined


def _duration(token: Text) -> int:
    if _DURATION.fullmatch(token):
        pieces = re.findall(r"(\d+)([smhdw]?)", token.lower())
        total = sum(int(count) * _UNIT_S[unit] for count, unit in pieces)
        if total <= MAX_TTL_S:
            return total
    raise _Fault(token, f"{quote(token)} is not a TTL: seconds up to {MAX_TTL_S}, or with s, m, h, d or w (1h30m)")
