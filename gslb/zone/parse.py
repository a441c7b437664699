"""YAML text → a tree of places (`gslb.zone.nodes`), with every fault of the file told and as much read as can be."""

from __future__ import annotations

import re

from gslb.errors import Findings
from gslb.zone.compose import Composer, duplicate_key
from gslb.zone.nodes import Document, Keys

MAX_BYTES = 32 << 20


def parse(path: str, content: bytes, findings: Findings) -> Document:
    """Read one YAML file; every fault goes to ``findings`` with its place, and what could be read is returned.

    After a syntax error reading resumes at the next key of the top level, so that one error does not hide the others.
    """
    text = decode(path, content, findings)
    if text is None:
        return Document(path, Keys(1, 1), broken=True)
    root = Keys(1, 1)
    broken = False
    errors_before = len(findings.errors)
    start = 0
    seen: set[tuple[int, int]] = set()
    while True:
        composer = Composer(path, findings, len(_BREAK.findall(text, 0, start)))
        part = composer.compose(text[start:])
        if isinstance(part, Keys):
            _merge(path, root, part, findings)
        elif part and composer.stop is None:
            findings.error(path, part.line, part.column, "a file holds keys and values, not a list or a text")
            broken = True
        if composer.stop is None:
            break
        broken = True
        stop = composer.stop
        if (stop.line, stop.column) not in seen:
            seen.add((stop.line, stop.column))
            findings.error(path, stop.line, stop.column, stop.reason)
        again = _TOP_KEY.search(text, start + stop.resume)
        while again and again.start() <= start:
            again = _TOP_KEY.search(text, again.end())
        if stop.final or again is None or len(seen) > _MAX_RESUMES:
            break
        start = again.start()
    if not root and not broken:
        broken = True
        if len(findings.errors) == errors_before:
            findings.error(path, 0, 0, "the file is empty")
    return Document(path, root, broken)


def decode(path: str, content: bytes, findings: Findings) -> str | None:
    """The text of a file that a person edits: UTF-8 of bounded size without control characters; else None, and said."""
    if len(content) > MAX_BYTES:
        findings.error(path, 0, 0, f"the file has {len(content)} bytes; at most {MAX_BYTES} are read")
        return None
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        before = content[: error.start].decode()
        line, column = _end_of(before)
        findings.error(path, line, column, f"not UTF-8: byte 0x{content[error.start]:02x}")
        return None
    text = text.removeprefix("\ufeff")
    if unprintable := _UNPRINTABLE.search(text):
        line, column = _end_of(text[: unprintable.start()])
        findings.error(path, line, column, f"control character U+{ord(unprintable.group()):04X} is not text")
        return None
    return text


_MAX_RESUMES = 20
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")  # as libyaml counts lines
_TOP_KEY = re.compile(r"^[A-Za-z_][\w-]*:(?=\s|$)", re.MULTILINE)


def _end_of(text: str) -> tuple[int, int]:
    line = 1
    begin = 0
    for found in _BREAK.finditer(text):
        line += 1
        begin = found.end()
    return line, len(text) - begin + 1


def _merge(path: str, root: Keys, part: Keys, findings: Findings) -> None:
    if not root:
        root.line, root.column = part.line, part.column
    for name, value in part.items():
        key, first = part.written[name], root.written.get(name)
        if first is None:
            root.add(key, value)
        elif (first.line, first.column) != (key.line, key.column):  # else the same key, read again after an error
            duplicate_key(path, root, key, findings)
