"""Reading a few values out of the records of a MaxMind DB (file format 2.0, "Data Section").

Only what is wanted is decoded; the rest is stepped over without following its pointers, and what several records
point to is decoded once. The library would decode whole records: in C at 10 µs each, but a map whose key is no text
makes it read memory that is not its own, and in Python at 90 µs. Here broken data of any kind raises
`BrokenRecordError`, and all records of a file together take time in proportion to its size.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, Final

from gslb.errors import GslbError

SCALAR: Final = "scalar"
"""Wanted: a text, a number or a truth value."""

Wanted = Mapping[bytes, Any] | str | tuple[Any]
"""`SCALAR`, keys of a map with what is wanted of each, or a tuple of what is wanted of an array's first element."""

_POINTER, _TEXT, _DOUBLE, _MAP, _INT32, _ARRAY, _BOOLEAN, _FLOAT = 1, 2, 3, 7, 8, 11, 14, 15
_UNSIGNED = {5: 2, 6: 4, 9: 8, 10: 16}  # type → most bytes
_BYTES = 4
_POINTER_BASES = (0, 2048, 526336, 0)
_SIZE_BASES = (29, 285, 65821)


class BrokenRecordError(GslbError):
    """Not a record as the format has it; the text says how."""


class Records:
    """The data section of a file: ``buffer`` from ``base`` to ``limit``."""

    def __init__(self, buffer: bytes, base: int, limit: int, wanted: Mapping[bytes, Any]) -> None:
        self._buffer = buffer
        self._base = base
        self._limit = limit
        self._wanted = wanted
        self._shared: dict[tuple[int, int], Any] = {}
        self._keys: dict[int, bytes] = {}
        self._left = 2 * (limit - base) + 1024  # values yet to be looked at; only overlapping records need more

    def read(self, offset: int) -> dict[bytes, Any]:
        """The wanted values of the record at an offset of the data section; None where one is of another type.

        Raises `BrokenRecordError`.
        """
        if not 0 <= offset < self._limit - self._base:
            raise BrokenRecordError("it is outside the data section")
        try:
            value = self._value(self._base + offset, self._wanted)[0]
        except UnicodeDecodeError as error:
            raise BrokenRecordError("a text is not UTF-8") from error
        if not isinstance(value, dict):
            raise BrokenRecordError("it is not a map")
        return value

    def _value(self, at: int, wanted: Wanted, pointed: bool = False) -> tuple[Any, int]:
        """The wanted part of the value at ``at``, and where the next value begins."""
        kind, size, at = self._head(at)
        if kind == _POINTER:
            if pointed:
                raise BrokenRecordError("a pointer points to a pointer")
            key = (size, id(wanted))
            if key not in self._shared:
                self._shared[key] = self._value(size, wanted, pointed=True)[0]
            return self._shared[key], at
        if kind == _MAP and isinstance(wanted, Mapping):
            return self._map(at, size, wanted)
        if kind == _ARRAY and isinstance(wanted, tuple) and size:
            first, at = self._value(at, wanted[0])
            return first, self._skip(at, size - 1)
        if kind in (_MAP, _ARRAY):
            return None, self._skip(at, size * 2 if kind == _MAP else size)
        end = at if kind == _BOOLEAN else self._end(at, size)
        value = self._scalar(kind, size, at)
        return (value if wanted == SCALAR else None), end

    def _map(self, at: int, size: int, wanted: Mapping[bytes, Any]) -> tuple[dict[bytes, Any], int]:
        found = {}
        for _ in range(size):
            key, at = self._key(at)
            if key in wanted:
                found[key], at = self._value(at, wanted[key])
            else:
                at = self._skip(at, 1)
        return found, at

    def _key(self, at: int) -> tuple[bytes, int]:
        kind, size, begin = self._head(at)
        if kind == _POINTER:
            if size not in self._keys:
                kind, length, text = self._head(size)
                if kind != _TEXT:
                    raise BrokenRecordError("the key of a map is not a text")
                self._keys[size] = self._buffer[text : self._end(text, length)]
            return self._keys[size], begin
        if kind != _TEXT:
            raise BrokenRecordError("the key of a map is not a text")
        end = self._end(begin, size)
        return self._buffer[begin:end], end

    def _skip(self, at: int, count: int) -> int:
        """Where the value after the next ``count`` ones begins."""
        while count:
            kind, size, at = self._head(at)
            count -= 1
            if kind == _MAP:
                count += size * 2
            elif kind == _ARRAY:
                count += size
            elif kind not in (_POINTER, _BOOLEAN):
                at = self._end(at, size)
        return at

    def _head(self, at: int) -> tuple[int, int, int]:
        """Type, size (of a pointer: the place it points to) and where the content begins.

        The buffer goes on past the limit by more than a head is long, so that the limit may be looked at last.
        """
        self._left -= 1
        if self._left < 0:
            raise BrokenRecordError("records lie over one another")
        buffer = self._buffer
        control = buffer[at]
        kind, size = control >> 5, control & 31
        at += 1
        if kind == _POINTER:
            width = (size >> 3) + 1
            high = size & 7 if width < 4 else 0
            size = (
                self._base + (high << 8 * width | int.from_bytes(buffer[at : at + width])) + _POINTER_BASES[width - 1]
            )
            at += width
            if size >= self._limit and at <= self._limit:
                raise BrokenRecordError("a pointer leads out of the data section")
        else:
            if kind == 0:
                kind = 7 + buffer[at]
                at += 1
            if size > 28:
                width = size - 28
                size = _SIZE_BASES[width - 1] + int.from_bytes(buffer[at : at + width])
                at += width
        if at > self._limit:
            raise BrokenRecordError("data is cut off")
        return kind, size, at

    def _end(self, at: int, size: int) -> int:
        """Where ``size`` bytes from ``at`` end."""
        if at + size > self._limit:
            raise BrokenRecordError("data is cut off")
        return at + size

    def _scalar(self, kind: int, size: int, at: int) -> Any:
        raw = self._buffer[at : at + size] if kind != _BOOLEAN else b""
        if kind == _TEXT:
            return raw.decode()
        if kind == _BOOLEAN and size < 2:
            return size == 1
        if kind in _UNSIGNED and size <= _UNSIGNED[kind]:
            return int.from_bytes(raw)
        if kind == _INT32 and size <= 4:
            return int.from_bytes(raw, signed=size == 4)
        if (kind, size) == (_DOUBLE, 8):
            return struct.unpack(">d", raw)[0]
        if (kind, size) == (_FLOAT, 4):
            return struct.unpack(">f", raw)[0]
        if kind == _BYTES:
            return None
        raise BrokenRecordError(f"a value of type {kind} and {size} bytes")
