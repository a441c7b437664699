"""Domain names in presentation form → uncompressed wire bytes (RFC 1035 section 5.1).

Refused names raise ``ValueError`` whose text quotes the name.
"""

from __future__ import annotations

import re

from gslb.zone.nodes import quote

_PLAIN = re.compile(r"(?:[A-Za-z0-9_*-]{1,63}\.)*[A-Za-z0-9_*-]{1,63}\.?")
_ESCAPE = re.compile(rb"\\(?:(\d{3})|(\D))")


def wire(text: str, origin: bytes) -> bytes:
    """``text`` as a wire name in its own case; relative to ``origin`` (wire) unless it ends in a dot; ``@`` is it."""
    if text == "@":
        return origin
    if text == ".":
        return b"\0"
    if not text:
        raise ValueError(f"{quote(text)} is not a name")
    if _PLAIN.fullmatch(text):
        parts = text.encode().split(b".")
    else:
        parts = _split(text)
    absolute = not parts[-1]
    if absolute:
        parts.pop()
    name = b"".join(bytes((len(part),)) + part for part in parts) + (b"\0" if absolute else origin)
    if len(name) > 255:
        raise ValueError(f"{quote(text)} is not a name: {len(name)} bytes, at most 255")
    return name


def owner(text: str, origin: bytes) -> bytes:
    """As `wire`, in lower case: the form in which names are compared and kept as owners."""
    return wire(text, origin).lower()


def _split(text: str) -> list[bytes]:
    """The labels, unescaped and checked; an empty last one stands for a dot at the end."""
    if not text.isascii():
        raise ValueError(f"{quote(text)} is not a name: other letters than ASCII are written as xn--… (IDNA)")
    labels = [b""]
    at = 0
    raw = text.encode()
    while at < len(raw):
        if raw[at] == 0x5C:
            escape = _ESCAPE.match(raw, at)
            if escape is None or (escape[1] and int(escape[1]) > 255):
                raise ValueError(f"{quote(text)} is not a name: a backslash takes one character or three digits")
            labels[-1] += bytes((int(escape[1]),)) if escape[1] else escape[2]
            at = escape.end()
            continue
        if raw[at] == 0x2E:
            labels.append(b"")
        elif raw[at] <= 0x20 or raw[at] == 0x7F:
            raise ValueError(f"{quote(text)} is not a name: it holds a space")
        else:
            labels[-1] += raw[at : at + 1]
        at += 1
    for index, label in enumerate(labels):
        if not label and (index < len(labels) - 1 or len(labels) == 1):
            raise ValueError(f"{quote(text)} is not a name: a label is empty")
        if len(label) > 63:
            raise ValueError(f"{quote(text)} is not a name: a label has {len(label)} bytes, at most 63")
    return labels
