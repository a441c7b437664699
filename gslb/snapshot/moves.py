"""How much of the known client space one catalog moves against another: computed, not sampled.

The space is the IPv4 addresses of which either catalog knows the country or the ISP, private blocks aside, cut into
pieces that lie in one view of each catalog. A piece has a class under every policy of either catalog, and with it the
nominal shares of edges: those of `steering.build` while nobody has reported. Where a share falls from p to p', a
rendezvous draw moves exactly p - p' of the clients, to the edges that gain, in proportion to what each gains. Shares
are those of the first answer. Where the prefix that keys the draw changes its length, every client is drawn anew, so
that old and new edge are independent of each other. Where ``spread`` changes, what moves depends on the name: it is the
mean over a few names that stand for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from gslb.geo import special
from gslb.model.demand import Demand
from gslb.model.report import StoreState
from gslb.policy import draw
from gslb.snapshot import steering
from gslb.snapshot.layout import STEERING_WIDTH

NO_EDGE: Final = ""
"""In flows: the service has no edge for the client, and the fallback or nothing is answered."""

Arrays = Mapping[str, npt.NDArray[Any]]
U32 = npt.NDArray[np.uint32]
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]

_ADDRESSES: Final = 1 << 32
_CELLS: Final = 1 << 20  # of a dense table of shares held at a time
_TEXTS: Final = 21  # bits that number a text: three of them fit 63
_STAND_INS: Final = tuple(b"\x02n%d\0" % number for number in range(8))


class Space(NamedTuple):
    """Pieces of the known space, one row for each pair of views; ``addresses`` are IPv4 addresses."""

    old_view: U32
    new_view: U32
    addresses: F64


class Redraw(NamedTuple):
    """What changes in how a service draws: whether its clients' prefixes are cut anew, and ``spread`` before and after
    (both 0 where it stays as it is)."""

    anew: bool = False
    old_spread: int = 0
    new_spread: int = 0


SAME_DRAW: Final = Redraw()


class Move(NamedTuple):
    """What moves, in the unit of the weights given: ``total``, of it ``moved``, and who loses to whom."""

    total: float
    moved: float
    flows: dict[tuple[str, str], float]


def space(old: Arrays, new: Arrays) -> Space:
    """The space that either catalog knows."""
    blocks = special.blocks(32)
    starts = np.sort(
        np.concatenate(
            [
                old["base4_start"].astype(np.int64),
                new["base4_start"].astype(np.int64),
                np.array([[b.start, b.start + (1 << (32 - b.length))] for b in blocks], dtype=np.int64).reshape(-1),
            ]
        )
    )
    # Not numpy.unique: it hashes, and takes ten times as long where most of a million numbers differ.
    starts = starts[(starts < _ADDRESSES) & (np.diff(starts, prepend=-1) != 0)]
    size = np.diff(starts, append=_ADDRESSES)
    old_view, new_view = _view_at(old, starts), _view_at(new, starts)
    kept = _known(old)[old_view] | _known(new)[new_view]
    for block in blocks:
        first, last = np.searchsorted(starts, [block.start, block.start + (1 << (32 - block.length))])
        kept[first:last] = False
    pairs = old_view[kept].astype(np.int64) * len(new["view"]) + new_view[kept]
    found, place = np.unique(pairs, return_inverse=True)
    addresses = _summed(place, size[kept].astype(np.float64), len(found))
    old_found, new_found = np.divmod(found, max(1, len(new["view"])))
    return Space(old_found.astype(np.uint32), new_found.astype(np.uint32), addresses)


class Nominal:
    """The shares of edges in a catalog while nobody has reported, IPv4."""

    def __init__(self, arrays: Arrays, edge_ids: Sequence[str]) -> None:
        rows = steering.build(arrays, StoreState(), 0)
        self._edges = rows["edge"].reshape(-1, STEERING_WIDTH)[::2]
        self._levels = rows["level"].reshape(-1, STEERING_WIDTH)[::2]
        self._weights = rows["weight"].reshape(-1, STEERING_WIDTH)[::2]
        self._reciprocals = rows["reciprocal"].reshape(-1, STEERING_WIDTH)[::2]
        self._hashes: list[int] = arrays["edge"]["hash"].tolist()
        weights = self._weights.astype(np.float64)
        sums = weights.sum(axis=1, keepdims=True)
        self._shares = weights / np.where(sums > 0, sums, 1.0)
        self._first = arrays["policy"]["row"].astype(np.int64)
        self._pools = [
            arrays["policy_edge"][row["edge"] : row["edge"] + row["edge_count"]].tolist() for row in arrays["policy"]
        ]
        self._view = arrays["geometry"]["view"].astype(np.int64)[arrays["policy"]["geometry"]]
        self._view_class = arrays["view_class"]
        self._ids = edge_ids

    def edges(self, policy: int) -> list[str]:
        """The ids of a policy's pool."""
        return [self._ids[row] for row in self._pools[policy]]

    def classes(self, policy: int, views: U32) -> I64:
        """The class of each view under a policy."""
        found: I64 = self._view_class[self._view[policy] + views].astype(np.int64)
        return found

    def shares(self, policy: int, classes: I64, columns: Mapping[str, int], spread: int = 0, name: bytes = b"") -> F64:
        """Shares by class, shape (classes, columns); the column of `NO_EDGE` has 1 where there is no edge.

        With ``spread`` they are those of the lower-case wire ``name``.
        """
        rows = self._first[policy] + classes
        shares = np.array([self._narrowed(row, spread, name) for row in rows]) if spread else self._shares[rows]
        column_of = np.zeros(len(self._ids), dtype=np.int64)
        for row in self._pools[policy]:
            column_of[row] = columns[self._ids[row]]
        found = np.zeros((len(classes), len(columns)))
        at, slot = np.nonzero(shares)
        found[at, column_of[self._edges[rows[at], slot]]] = shares[at, slot]
        found[shares.sum(axis=1) == 0, columns[NO_EDGE]] = 1.0
        return found

    def _narrowed(self, row: int, spread: int, name: bytes) -> F64:
        """The shares of one row's slots that ``spread`` leaves for a name."""
        found = np.zeros(STEERING_WIDTH)
        count = np.count_nonzero(self._weights[row])
        edges = self._edges[row, :count].tolist()
        kept, reciprocals = draw.narrow(
            edges,
            self._levels[row, :count].tolist(),
            self._weights[row, :count].tolist(),
            self._reciprocals[row, :count].tolist(),
            self._hashes,
            spread,
            name,
        )
        rates = 1.0 / np.array(reciprocals, dtype=np.float64)
        found[[edges.index(edge) for edge in kept]] = rates / rates.sum()
        return found


def move(
    old: Nominal,
    new: Nominal,
    policies: tuple[int, int],
    pieces: Space,
    weights: F64,
    redraw: Redraw = SAME_DRAW,
) -> Move:
    """What moves between an old policy and a new one, the pieces weighted as given (addresses, bits a second)."""
    names = sorted({NO_EDGE, *old.edges(policies[0]), *new.edges(policies[1])})
    columns = {name: at for at, name in enumerate(names)}
    old_class = old.classes(policies[0], pieces.old_view)
    new_class = new.classes(policies[1], pieces.new_view)
    width = int(new_class.max(initial=0)) + 1
    pairs, place = np.unique(old_class * width + new_class, return_inverse=True)
    weight = _summed(place, weights, len(pairs))
    old_class, new_class = np.divmod(pairs, width)
    flow = np.zeros((len(names), len(names)))
    step = max(1, _CELLS // len(names))
    for begin in range(0, len(pairs), step):
        part = slice(begin, begin + step)
        asked = _STAND_INS if redraw.old_spread or redraw.new_spread else _STAND_INS[:1]
        for name in asked:
            before = old.shares(policies[0], old_class[part], columns, redraw.old_spread, name)
            after = new.shares(policies[1], new_class[part], columns, redraw.new_spread, name)
            flow += _flow(before, after, weight[part], redraw.anew) / len(asked)
    losers, gainers = np.nonzero(flow > weight.sum() * 1e-12)  # less is rounding
    flows = {
        (names[loser], names[gainer]): float(flow[loser, gainer])
        for loser, gainer in zip(losers.tolist(), gainers.tolist(), strict=True)
    }
    return Move(float(weight.sum()), sum(flows.values()), flows)


def _flow(before: F64, after: F64, weight: F64, anew: bool) -> F64:
    """Who loses how much to whom, shape (edges, edges), from shares of shape (classes, edges) and weights by class."""
    if anew:
        found: F64 = (before * weight[:, None]).T @ after
        np.fill_diagonal(found, 0.0)
        return found
    change = after - before
    gains, losses = np.maximum(change, 0.0), np.maximum(-change, 0.0)
    gained = gains.sum(axis=1)
    scale = weight / np.where(gained > 0, gained, 1.0)
    return np.asarray((losses * scale[:, None]).T @ gains, dtype=np.float64)


def leave(old: Nominal, policy: int, pieces: Space) -> Move:
    """What a service loses that is removed: each of its clients, from the edge it had to none."""
    names = sorted({NO_EDGE, *old.edges(policy)})
    classes, place = np.unique(old.classes(policy, pieces.old_view), return_inverse=True)
    weight = _summed(place, pieces.addresses, len(classes))
    shares = old.shares(policy, classes, {name: at for at, name in enumerate(names)})
    lost = {name: float(amount) for name, amount in zip(names, weight @ shares, strict=True) if name and amount}
    return Move(float(weight.sum()), sum(lost.values()), {(name, NO_EDGE): amount for name, amount in lost.items()})


class DemandSpread:
    """Demand laid over the pieces of the known space, for one service at a time."""

    def __init__(self, new: Arrays, texts: Sequence[str], pieces: Space) -> None:
        self._row = {text: row for row, text in enumerate(texts)}
        self._columns = [new["view"][column].astype(np.int64) for column in ("country", "region", "isp")]
        self._pieces = pieces
        self._tables: dict[tuple[bool, ...], tuple[I64, npt.NDArray[np.intp], F64]] = {}

    def weights(self, rows: Sequence[Demand]) -> tuple[F64, dict[str, float]]:
        """Bits a second of each piece, and the keys that found no address, with theirs.

        Each key's demand, the mean over the times that ``rows`` have, is spread over the addresses of the new
        catalog's views that it means, in proportion; a text that a key leaves empty may be any.
        """
        times = len({row.time_s for row in rows}) or 1
        by_key: dict[tuple[str, str, str], float] = {}
        for row in rows:
            key = (row.country, row.region, row.isp)
            by_key[key] = by_key.get(key, 0.0) + row.demand_bps / times
        density = np.zeros(len(self._columns[0]))
        unplaced = {}
        kinds: dict[tuple[bool, ...], list[tuple[str, str, str]]] = {}
        for key in by_key:
            kinds.setdefault(tuple(bool(text) for text in key), []).append(key)
        for told, keys in kinds.items():
            codes, code_of_view, addresses = self._table(told)
            wanted = [self._code(key) for key in keys]
            by_code = np.zeros(len(codes))
            for key, code, at in zip(keys, wanted, np.searchsorted(codes, wanted).tolist(), strict=True):
                if any(told) and at < len(codes) and codes[at] == code and addresses[at] > 0:
                    by_code[at] += by_key[key] / addresses[at]
                else:
                    unplaced["|".join(key)] = by_key[key]
            density += by_code[code_of_view]
        return density[self._pieces.new_view] * self._pieces.addresses, unplaced

    def _code(self, key: Sequence[str]) -> int:
        """The number of a key in the new catalog's texts; -1 where one of them is none of its texts."""
        rows = [self._row.get(text, -1) for text in key]
        return -1 if min(rows) < 0 else sum(row << _TEXTS * at for at, row in enumerate(rows))

    def _table(self, told: tuple[bool, ...]) -> tuple[I64, npt.NDArray[np.intp], F64]:
        """For the keys that name the columns of ``told``: their codes, the code of each view, addresses by code."""
        if told not in self._tables:
            code = np.zeros(len(self._columns[0]), dtype=np.int64)
            for at, (column, counts) in enumerate(zip(self._columns, told, strict=True)):
                code += (column << _TEXTS * at) * counts
            codes, of_view = np.unique(code, return_inverse=True)
            of_view = of_view.reshape(-1)
            by_code = _summed(of_view[self._pieces.new_view], self._pieces.addresses, len(codes))
            self._tables[told] = (codes, of_view, by_code)
        return self._tables[told]


def _summed(place: npt.NDArray[np.intp], weights: F64, count: int) -> F64:
    return np.asarray(np.bincount(place.reshape(-1), weights=weights, minlength=count), dtype=np.float64)


def _view_at(arrays: Arrays, starts: I64) -> U32:
    interval = np.searchsorted(arrays["base4_start"].astype(np.int64), starts, side="right") - 1
    found: U32 = arrays["node4_view"][arrays["base4_node"][interval]].astype(np.uint32)
    return found


def _known(arrays: Arrays) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = (arrays["view"]["country"] != 0) | (arrays["view"]["isp"] != 0)
    return found
