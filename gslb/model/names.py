"""Domain names as uncompressed wire bytes, the one form in which this package keeps them (RFC 1035 section 3.1).

Length octets are at most 63 and so never an ASCII letter: ``name.lower()`` on the bytes is the lower-case name.
"""

from __future__ import annotations

from collections.abc import Iterator

ROOT = b"\0"
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_*/+=:")


def labels(name: bytes) -> tuple[bytes, ...]:
    """The labels of a wire name, leftmost first, without the root's empty one."""
    found = []
    at = 0
    while name[at]:
        end = at + 1 + name[at]
        found.append(name[at + 1 : end])
        at = end
    return tuple(found)


def parent(name: bytes) -> bytes:
    """The name one label up; the root has none (``IndexError`` never: the root returns itself)."""
    return name[1 + name[0] :] if name[0] else name


def ancestors(name: bytes) -> Iterator[bytes]:
    """The name itself, then each name above it, down to the root."""
    while name[0]:
        yield name
        name = name[1 + name[0] :]
    yield name


def is_within(name: bytes, ancestor: bytes) -> bool:
    """Whether ``name`` is ``ancestor`` or lies below it; both lower-case wire names."""
    return name.endswith(ancestor) and any(each == ancestor for each in ancestors(name))


def to_text(name: bytes) -> str:
    """The name in presentation form, absolute, with ``\\.`` and ``\\DDD`` escapes (RFC 1035 section 5.1)."""
    if name == ROOT:
        return "."
    return "".join(_label_text(label) + "." for label in labels(name))


def _label_text(label: bytes) -> str:
    parts = []
    for octet in label:
        if octet in _PLAIN:
            parts.append(chr(octet))
        elif 0x21 <= octet <= 0x7E:
            parts.append("\\" + chr(octet))
        else:
            parts.append(f"\\{octet:03d}")
    return "".join(parts)
