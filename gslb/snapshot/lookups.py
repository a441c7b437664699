"""Looking up in a catalog's sections by name: texts, services, edges, and the classes that a view pattern means.

For what is asked rarely, of arrays that nobody has read into tables: each look-up goes through them once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from gslb.zone.names import owner

Arrays = Mapping[str, npt.NDArray[Any]]
Mask = npt.NDArray[np.bool_]


def text(arrays: Arrays, row: int) -> str:
    """A row of the section string."""
    begin, end = arrays["string_at"][row : row + 2].tolist()
    return arrays["string"][begin:end].tobytes().decode()


def text_row(arrays: Arrays, wanted: str) -> int:
    """The row of a text, or -1 where the catalog has no such text."""
    at = arrays["string_at"]
    if not wanted:
        return 0
    raw, needle = arrays["string"].tobytes(), wanted.encode()
    found = raw.find(needle)
    while found >= 0:
        row = int(np.searchsorted(at, found, side="right")) - 1
        if int(at[row]) == found and int(at[row + 1]) == found + len(needle):
            return row
        found = raw.find(needle, found + 1)
    return -1


def edge_ids(arrays: Arrays) -> list[str]:
    """The id of every edge."""
    return [text(arrays, row) for row in arrays["edge"]["id"].tolist()]


def edges_of_pop(arrays: Arrays, pop: str) -> Mask:
    """Which edges stand in a PoP."""
    found: Mask = arrays["edge"]["pop"] == text_row(arrays, pop) if pop else np.zeros(len(arrays["edge"]), np.bool_)
    return found


def service_row(arrays: Arrays, name: str) -> int:
    """The row of a service by its name in text, or -1."""
    return service_rows(arrays, [name])[name]


def service_rows(arrays: Arrays, names: Iterable[str]) -> dict[str, int]:
    """The rows of services by their names in text, -1 for what is no service; all in one pass."""
    wanted: dict[bytes, str] = {}
    found = dict.fromkeys(names, -1)
    for name in found:
        with contextlib.suppress(ValueError):
            wanted[owner(name, b"\0")] = name
    rows = arrays["name"][arrays["service"]["name"]]
    raw = arrays["name_bytes"].tobytes()
    likely = np.flatnonzero(np.isin(rows["length"], [len(name) for name in wanted]))
    begins, lengths = rows["text"][likely].tolist(), rows["length"][likely].tolist()
    for row, begin, length in zip(likely.tolist(), begins, lengths, strict=True):
        if (text_name := wanted.get(raw[begin : begin + length])) is not None:
            found[text_name] = row
    return found


def views_like(arrays: Arrays, pattern: str) -> Mask:
    """Which views a pattern ``country|region|isp`` means, where empty parts match anything; the empty pattern: all."""
    views = arrays["view"]
    found = np.ones(len(views), dtype=np.bool_)
    for column, wanted in zip(("country", "region", "isp"), pattern.split("|") if pattern else (), strict=False):
        if wanted:
            found &= views[column] == text_row(arrays, wanted)
    return found


def view_classes(arrays: Arrays, policy: int) -> npt.NDArray[np.uint32]:
    """The class of each view under a policy."""
    geometry = arrays["geometry"][int(arrays["policy"]["geometry"][policy])]
    begin = int(geometry["view"])
    found: npt.NDArray[np.uint32] = arrays["view_class"][begin : begin + len(arrays["view"])]
    return found


def classes_like(arrays: Arrays, policy: int, pattern: str) -> Mask:
    """Which classes of a policy hold a view that a pattern means."""
    return classes_of(arrays, policy, views_like(arrays, pattern) if pattern else None)


def classes_of(arrays: Arrays, policy: int, views: Mask | None) -> Mask:
    """Which classes of a policy hold one of some views; None: any."""
    found = np.full(int(arrays["policy"]["classes"][policy]), views is None, dtype=np.bool_)
    if views is not None:
        found[view_classes(arrays, policy)[views]] = True
    return found


def classes_within(arrays: Arrays, policy: int, countries: str) -> Mask:
    """Which classes of a policy have clients of some countries alone (codes joined with spaces; empty: any)."""
    found = np.ones(int(arrays["policy"]["classes"][policy]), dtype=np.bool_)
    if countries:
        rows = [row for country in countries.split() if (row := text_row(arrays, country)) >= 0]
        outside = ~np.isin(arrays["view"]["country"], rows)
        found[view_classes(arrays, policy)[outside]] = False
    return found


def pool(arrays: Arrays, policy: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """The edge rows and the operator weights of a policy's pool."""
    row = arrays["policy"][policy]
    members = slice(int(row["edge"]), int(row["edge"]) + int(row["edge_count"]))
    return arrays["policy_edge"][members], arrays["policy_weight"][members]


def longest_ttl_s(arrays: Arrays) -> npt.NDArray[np.int64]:
    """Of each edge, the longest TTL of a service that may answer with it; 0 where none does."""
    found = np.zeros(len(arrays["edge"]), dtype=np.int64)
    of_policy = np.zeros(len(arrays["policy"]), dtype=np.int64)
    np.maximum.at(of_policy, arrays["service"]["policy"], arrays["service"]["ttl_s"].astype(np.int64))
    for policy, ttl_s in enumerate(of_policy.tolist()):
        edges, _ = pool(arrays, policy)
        found[edges] = np.maximum(found[edges], ttl_s)
    return found
