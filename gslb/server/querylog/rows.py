"""Records of the rings → columns of the query log (`gslb.model.records.QUERIES`), with the catalogs they speak of.

A record names rows: of a catalog, and of the steering that decided, by their numbers. Here rows become texts. Clients
and resolvers are cut: a client to the scope that was told, at most /24 and /56, a resolver to those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from gslb.model.names import to_text
from gslb.snapshot import layout, lookups
from gslb.snapshot.steering import Steering
from gslb.wire import codes

LONGEST4: Final = 24
LONGEST6: Final = 56
"""The longest prefix of a client or resolver that is written."""
NO_EDGE: Final = 0xFFFF
STEERINGS: Final = 4096
"""Steering snapshots of a catalog that are remembered: minutes, at ten a second."""

_LAST_NUMBER: Final = 0xFFFF  # of a steering, which then begin anew
_FAR: Final = 0x8000

I64 = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]


class Texts(NamedTuple):
    """A column of texts: which of ``distinct`` each row has."""

    codes: Codes
    distinct: list[str]


Columns = Mapping[str, I64 | Texts]


class Decision(NamedTuple):
    """What there is to know of a steering: the plan in force, and for which of its rows (one bit each) that decided;
    ``service_row`` is its section."""

    plan: str
    planned: bytes
    service_row: npt.NDArray[np.uint32]

    @classmethod
    def of(cls, steering: Steering) -> Decision:
        """Cut out of the snapshot, which may go."""
        planned = np.packbits(steering.arrays["flags"] & layout.ROW_PLANNED != 0).tobytes()
        return cls(str(steering.note.get("plan", "")), planned, steering.arrays["service_row"].copy())

    def same(self, other: Decision) -> bool:
        """Whether both say the same."""
        return self[:2] == other[:2] and np.array_equal(self.service_row, other.service_row)


class Known:
    """A catalog, and the latest decisions made for it by their number."""

    def __init__(self, buffer: memoryview) -> None:
        """Raises `GslbError` where the buffer is no catalog; the checksum is not looked at."""
        _, self.arrays = layout.unpack(layout.CATALOG_MAGIC, buffer, verify=False)
        self._decisions: dict[int, Decision] = {}

    def decided(self, number: int, decision: Decision) -> None:
        """A steering for this catalog; a thread may be reading meanwhile."""
        decisions = {each: found for each, found in self._decisions.items() if each != number}
        last = next(reversed(decisions.values()), None)
        decisions[number] = last if last is not None and last.same(decision) else decision
        if len(decisions) > STEERINGS:
            del decisions[next(iter(decisions))]
        self._decisions = decisions

    def decision(self, number: int) -> Decision | None:
        """The one of a number. Of one that nobody told of, the one before it, as they are told when they change; the
        oldest where that is newer."""
        decisions = self._decisions
        if (found := decisions.get(number)) is not None or not decisions:
            return found
        before = {number - each & _LAST_NUMBER: each for each in decisions if number - each & _LAST_NUMBER < _FAR}
        return decisions[before[min(before)]] if before else next(iter(decisions.values()))

    def service(self, row: int) -> str:
        """The name of a service."""
        name = self.arrays["name"][self.arrays["service"]["name"][row]]
        begin = int(name["text"])
        return to_text(self.arrays["name_bytes"][begin : begin + int(name["length"])].tobytes())

    def edge(self, row: int) -> str:
        """The id of an edge."""
        return lookups.text(self.arrays, int(self.arrays["edge"]["id"][row]))

    def view(self, row: int) -> str:
        """The key of a view."""
        view = self.arrays["view"][row]
        return "|".join(lookups.text(self.arrays, int(view[column])) for column in ("country", "region", "isp"))

    def views(self, family: int, address: npt.NDArray[np.uint64], length: npt.NDArray[Any]) -> npt.NDArray[np.uint32]:
        """The view rows of prefixes, as `Catalog.view_of` finds them one by one."""
        start = self.arrays[f"base{family}_start"]
        node_len, parent = self.arrays[f"node{family}_len"], self.arrays[f"node{family}_parent"]
        node = self.arrays[f"base{family}_node"][np.searchsorted(start, address.astype(start.dtype), "right") - 1]
        while len(longer := np.flatnonzero(node_len[node] > length)):
            node[longer] = parent[node[longer]]
        found: npt.NDArray[np.uint32] = self.arrays[f"node{family}_view"][node]
        return found

    def planned(self, decision: Decision, records: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Of which records with a service and an edge the decision's plan gave the weights."""
        service = records["service"]
        first = decision.service_row[service] if len(decision.service_row) else self._policy_row[service]
        row = 2 * (first.astype(np.int64) + records["class"]) + (records["qtype"] == codes.AAAA)
        bits = np.frombuffer(decision.planned, np.uint8)
        row = np.minimum(row, max(8 * len(bits) - 1, 0))
        found: npt.NDArray[np.bool_] = (bits[row >> 3] >> (7 - (row & 7)).astype(np.uint8) & 1).astype(np.bool_)
        return found

    @property
    def _policy_row(self) -> npt.NDArray[np.uint32]:
        found: npt.NDArray[np.uint32] = self.arrays["policy"]["row"][self.arrays["service"]["policy"]]
        return found


class Columned(NamedTuple):
    """Columns of some records; ``unknown`` are those that are not in them, as nothing is known of their catalog."""

    columns: Columns
    rows: int
    unknown: int


def columned(records: npt.NDArray[Any], known: Mapping[int, Known], server: str, boot_id: str, sample: int) -> Columned:
    """The columns of records, whose ``number`` is the one in the query log."""
    lacking = (records["service"] != layout.NONE32) & ~np.isin(records["catalog"], list(known))
    unknown = int(lacking.sum())
    rows = records[~lacking] if unknown else records
    count = len(rows)
    families = rows["families"]
    steered = rows["service"] != layout.NONE32
    edged = steered & (rows["edge"] != NO_EDGE)
    client6 = families & 1 != 0
    offset = np.select((families & 8 != 0, families & 16 != 0), (16, 96), 0)
    scope = np.maximum(rows["scope"].astype(np.int64) - offset, 0)
    located = steered & (families & 4 == 0)
    columns = {
        "time": rows["time_us"].astype(np.int64),
        "server": _same(server, count),
        "boot_id": _same(boot_id, count),
        "seq": rows["number"].astype(np.int64),
        "qname_crc": rows["qname"].astype(np.int64),
        **_texts(rows, known, steered, edged, client6),
        **_network("client", located, client6, rows["client"], np.minimum(scope, rows["client_length"])),
        **_network("resolver", np.ones(count, np.bool_), families & 2 != 0, rows["resolver"], np.uint8(64)),
        "qtype": rows["qtype"].astype(np.int64),
        "rcode": rows["rcode"].astype(np.int64),
        "level": np.where(edged, rows["level"].astype(np.int64), -1),
        "scope": np.where(steered, rows["scope"], 0).astype(np.int64),
        "ttl_s": np.where(steered, rows["ttl_s"], 0).astype(np.int64),
        "weight": np.full(count, sample, np.int64),
    }
    return Columned(columns, count, unknown)


def _network(name: str, there: Any, six: Any, address: Any, length: Any) -> dict[str, I64]:
    """The three columns of a network; of an address that is not ``there``, zeros."""
    length = np.where(there, np.minimum(length, np.where(six, LONGEST6, LONGEST4)), 0).astype(np.uint64)
    cut = np.where(six, np.uint64(64), np.uint64(32)) - length
    whole = cut < 64  # a shift by all 64 bits is none
    cut = np.where(whole, cut, 0).astype(np.uint64)
    net = np.where(whole & (length > 0), address >> cut << cut, 0).astype(np.uint64)
    return {
        f"{name}_family": np.where(there, np.where(six, 6, 4), 0).astype(np.int64),
        f"{name}_net": net.view(np.int64),
        f"{name}_len": length.astype(np.int64),
    }


def _texts(
    rows: npt.NDArray[Any],
    known: Mapping[int, Known],
    steered: npt.NDArray[np.bool_],
    edged: npt.NDArray[np.bool_],
    client6: npt.NDArray[np.bool_],
) -> dict[str, Texts]:
    """The columns whose texts stand in catalogs. Code 0 is the empty text."""
    words: dict[str, dict[str, int]] = {name: {"": 0} for name in ("service", "edge", "view", "plan")}
    found = {name: np.zeros(len(rows), np.int32) for name in words}
    for number, at in _by_catalog(rows, steered):
        catalog = known[number]
        with_edge = at[edged[at]]
        found["service"][at] = _coded(rows["service"][at], catalog.service, words["service"])
        found["edge"][with_edge] = _coded(rows["edge"][with_edge], catalog.edge, words["edge"])
        for family, of in ((4, at[~client6[at]]), (6, at[client6[at]])):
            if len(of):
                views = catalog.views(family, rows["client"][of], rows["client_length"][of])
                found["view"][of] = _coded(views, catalog.view, words["view"])
        for decision, of in _by_decision(rows, catalog, with_edge):
            if decision.plan:
                planned = of[catalog.planned(decision, rows[of])]
                found["plan"][planned] = words["plan"].setdefault(decision.plan, len(words["plan"]))
    return {name: Texts(found[name], list(words[name])) for name in words}


def _coded(values: npt.NDArray[Any], text: Callable[[int], str], words: dict[str, int]) -> Codes:
    """The code of each row's text among the words, which grow."""
    if not len(values):
        return np.zeros(0, np.int32)
    code = np.full(int(values.max()) + 1, -1, np.int32)
    code[values] = 0
    for row in np.flatnonzero(code == 0).tolist():
        code[row] = words.setdefault(text(row), len(words))
    found: Codes = code[values]
    return found


def _by_catalog(rows: npt.NDArray[Any], steered: npt.NDArray[np.bool_]) -> Iterator[tuple[int, I64]]:
    """Where the rows with a service are, by the number of their catalog."""
    at = np.flatnonzero(steered)
    numbers = rows["catalog"][at]
    for number in np.unique(numbers).tolist():
        yield number, at[numbers == number]


def _by_decision(rows: npt.NDArray[Any], catalog: Known, at: I64) -> Iterator[tuple[Decision, I64]]:
    """Rows of a catalog by what decided them."""
    steering = rows["steering"][at]
    found: dict[int, tuple[Decision, list[int]]] = {}
    for number in np.flatnonzero(np.bincount(steering, minlength=1)).tolist():
        if (decision := catalog.decision(number)) is not None:
            found.setdefault(id(decision), (decision, []))[1].append(number)
    for decision, numbers in found.values():
        yield decision, at if len(found) == 1 else at[np.isin(steering, numbers)]


def _same(text: str, count: int) -> Texts:
    return Texts(np.zeros(count, np.int32), [text])
