"""What the compiled path takes from Python, as Cython declarations: the snapshots' layout and the wire's numbers.

``make declarations`` writes the files into `_fast` anew; a test holds those in the tree against what this module makes.
`snapshot.layout` and the modules named below stay the one definition.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from gslb.answer import lookup
from gslb.snapshot import layout
from gslb.wire import codes, edns, message, query

_INTEGERS = "from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t\n"
_C_TYPES = {"u1": "uint8_t", "u2": "uint16_t", "u4": "uint32_t", "u8": "uint64_t", "f4": "float"}
_CONSTANTS = (
    "VERSION",
    "NONE32",
    "CLASS_PRIVATE",
    "CLASS_TAIL",
    "NAME_CUT",
    "NAME_APEX",
    "NAME_CNAME",
    "ROW_CHANGING",
    "ROW_FAIL_OPEN",
    "STEERING_WIDTH",
)
_STRUCTS = {
    each: getattr(layout, each)
    for each in (
        "NAME", "RRSET", "GLUE", "ZONE", "EDGE", "SERVICE", "POLICY", "GEOMETRY", "RESOLVER_CLIENT", "VIEW",
        "EDGE_STATE", "MADE",
    )
}  # fmt: skip


def files() -> dict[str, str]:
    """File name → text."""
    return {"layout.pxd": _layout(), "codes.pxd": _codes()}


@functools.cache
def digest() -> int:
    """A checksum over the layout's rows and sections, by which compiled code knows that it was made for them."""
    return zlib.crc32(_body().encode())


def _body() -> str:
    return "\n".join((*_structs(), *_tables()))


def _layout() -> str:
    constants = {name: getattr(layout, name) for name in _CONSTANTS} | {"DIGEST": digest()}
    about = "Bytes of snapshots as C sees them; a section is a pointer to its first row and the number of its rows."
    return f"{_head('gslb/snapshot/layout.py', about)}\n{_INTEGERS}\n{_enumerated(constants, 'GSLB')}\n{_body()}"


def _codes() -> str:
    numbers = {name: value for name, value in vars(codes).items() if name.isupper()}
    numbers |= {
        "UDP_MIN": query.UDP_MIN,
        "UDP_MAX": query.UDP_MAX,
        "QNAME_AT": message.QNAME_AT,
        "RDATA_AT": message.RDATA_AT,
        "COOKIE_MAX_AGE_S": edns.COOKIE_MAX_AGE_S,
        "COOKIE_MAX_AHEAD_S": edns.COOKIE_MAX_AHEAD_S,
        "COOKIE_RENEW_S": edns.COOKIE_RENEW_S,
        "MAX_LINKS": lookup.MAX_LINKS,
    }
    return f"{_head('gslb/wire and gslb/answer/lookup.py', 'Numbers of the DNS.')}\n{_enumerated(numbers, 'DNS')}"


def _head(source: str, about: str) -> str:
    return f"# Made by gslb.answer.declared from {source}: change that, and make this anew.\n# {about}\n"


def _enumerated(numbers: Mapping[str, int], prefix: str) -> str:
    """Constants that the C compiler knows: an anonymous enum; from 2^31 on they need a type."""
    wide = {name: value for name, value in numbers.items() if value >= 1 << 31}
    lines = ["cdef enum:", *(f"    {name} = {value}" for name, value in numbers.items() if name not in wide), ""]
    if wide:
        lines += ["cdef extern from *:", '    """']
        lines += [f"    #define {prefix}_{name} {value}u" for name, value in wide.items()]
        lines += ['    """', *(f'    const uint32_t {name} "{prefix}_{name}"' for name in wide), ""]
    return "\n".join(lines)


def _structs() -> Iterator[str]:
    for name, dtype in _STRUCTS.items():
        assert dtype.names is not None
        yield f"cdef packed struct {_struct_name(name)}:"
        for field in dtype.names:
            yield f"    {_c_type(dtype[field])} {field}"
        if rest := dtype.itemsize - sum(dtype[field].itemsize for field in dtype.names):
            yield f"    uint8_t rest[{rest}]"
        yield ""


def _tables() -> Iterator[str]:
    for title, sections in (("Catalog", layout.CATALOG_SECTIONS), ("Steering", layout.STEERING_SECTIONS)):
        yield f"cdef struct {title}Sections:"
        for name, dtype in sections.items():
            yield f"    const {_row_type(dtype)} *{name}"
            yield f"    size_t {name}_rows"
        yield ""


def _row_type(dtype: np.dtype[Any]) -> str:
    for name, known in _STRUCTS.items():
        if dtype == known:
            return _struct_name(name)
    return _c_type(dtype)


def _struct_name(name: str) -> str:
    """``RESOLVER_CLIENT`` → ``ResolverClientRow``."""
    return "".join(part.capitalize() for part in name.split("_")) + "Row"


def _c_type(dtype: np.dtype[Any]) -> str:
    return _C_TYPES[dtype.str.lstrip("<|")]
