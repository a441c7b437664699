"""What steps share: exact numbers, starts of minutes, one row of several, networks, and a table's final columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import ibis
import ibis.expr.datatypes as dt

from gslb.model import records
from gslb.tables.schemas import Table, schema

MINUTE_S: Final = 60
TIME: Final = dt.Timestamp(timezone="UTC", scale=6)

CLIENT: Final = ("client_family", "client_net", "client_len")
RESOLVER: Final = ("resolver_family", "resolver_net", "resolver_len")
VIEW: Final = ("country", "region", "isp")

unix_micros: Final[Callable[[Any], Any]] = ibis.udf.scalar.builtin(
    lambda time: None, name="unix_micros", signature=((TIME,), dt.int64)
)
"""Microseconds since 1970 of a time. Both engines know it by this name; what Ibis has instead goes by way of the time
zone, which takes DuckDB longer than all the rest of a scan."""
bit_or: Final[Callable[[Any], Any]] = ibis.udf.agg.builtin(
    lambda bits: None, name="bit_or", signature=((dt.int64,), dt.int64)
)
"""The bits that any row has. Both engines know it by this name; of Spark Ibis does not know that."""


class Kept(Protocol):
    """What makes of a table that is used more than once one that is computed once, as `Engine.kept` does."""

    def __call__(self, table: Table, *, instead_of: Table | None = None) -> Table:
        """``table``, computed. It may take the place of another one that was kept, of the same columns: whatever is
        made of that one is made of this one from now on, so that a step that is done again and again is the same."""


def shaped(table: Table, columns: records.Columns) -> Table:
    """Exactly these columns, in their order."""
    return table.select(*columns).cast(schema(columns))


def beyond(rows: Table, limits: Mapping[str, tuple[int, int]]) -> Any:
    """Whether any of these columns is less or more than it can be."""
    return ibis.or_(*((rows[name] < low) | (rows[name] > high) for name, (low, high) in limits.items()))


def instant(at_s: int) -> Any:
    """A second since 1970 as the time that tables hold."""
    return ibis.literal(datetime.fromtimestamp(at_s, UTC), type=TIME)


def start_of(time: Any, size_s: int) -> Any:
    """Where the ``size_s`` seconds begin that a time lies in, in seconds since 1970."""
    return unix_micros(time) // (size_s * 1_000_000) * size_s


def start_s(seconds: Any, size_s: int) -> Any:
    """Where the ``size_s`` seconds begin that a second from 1970 on lies in."""
    return seconds - seconds % size_s


def one_of_each(table: Table, key: Sequence[str], order: Sequence[Any]) -> Table:
    """Of the rows of each ``key`` the first by ``order``. Rows that are equal in all of it must be copies."""
    rank = ibis.row_number().over(group_by=[table[name] for name in key], order_by=list(order))
    ranked = table.mutate(_rank=rank)
    return ranked.filter(ranked["_rank"] == 0).drop("_rank")


def split(text: Any, mark: str) -> Any:
    """The parts of a text between marks. What an engine splits at may be a pattern to it; a tab is none."""
    return text.replace(mark, "\t").split("\t")


def parted(view: Any) -> dict[str, Any]:
    """The three columns that a view is made of. It has two bars; to make a list of it takes twice as long."""
    first = view.find("|")
    rest = view.substr(first + 1)
    second = rest.find("|")
    return dict(zip(VIEW, (view.substr(0, first), rest.substr(0, second), rest.substr(second + 1)), strict=True))


def hashed(table: Table, key: Sequence[str]) -> Any:
    """A large number that is the same where all of ``key`` is, and hardly ever elsewhere. Which one is an engine's
    affair; both know what makes it by this name."""
    row = ibis.struct({name: table[name] for name in key})
    return ibis.udf.scalar.builtin(lambda row: None, name="xxhash64", signature=((row.type(),), dt.int64))(row)


def bit(number: Any) -> Any:
    """The bit of this number, 0 to 62, as a whole number. Literals are as narrow as engines like: so the 1 is made."""
    return (number * 0 + 1) << number.cast("int32")


def ones(bits: Any) -> Any:
    """How many of the lowest 32 bits of a whole number are set: they are added up in pairs, fours and eights, and
    the four eights by a product."""

    def shifted(number: Any, count: int) -> Any:
        return number >> ibis.literal(count, "int32")

    pairs = bits - (shifted(bits, 1) & 0x55555555)
    fours = (pairs & 0x33333333) + (shifted(pairs, 2) & 0x33333333)
    eights = (fours + shifted(fours, 4)) & 0x0F0F0F0F
    return shifted(eights * 0x01010101, 24) & 0xFF


def net_mask(family: Any, length: Any) -> Any:
    """The bits that a prefix of this length fixes: of IPv4's 32, or of the upper 64 of IPv6, signed."""
    host_bits = ibis.ifelse(family == 4, 32, 64) - length
    mask = -bit(ibis.greatest(ibis.least(host_bits, 62), 0))
    return ibis.cases((host_bits == 63, mask * 2), (host_bits > 63, length * 0), else_=mask)


def uncut(rows: Table, network: Sequence[str]) -> Any:
    """Whether three columns are no network as logs may hold it: at most /24 and /56, so that in both families the last
    8 bits of the address are none."""
    family, net, length = (rows[name] for name in network)
    none = (family == 0) & (net == 0) & (length == 0)
    v4 = (family == 4) & (length <= 24) & (net >= 0) & (net <= 0xFFFFFFFF)
    v6 = (family == 6) & (length <= 56)
    return ~(none | ((v4 | v6) & (length >= 0) & ((net & 0xFF) == 0)))


def packed(rows: Table, network: Sequence[str]) -> Any:
    """Three columns of a network that is not `uncut` as one whole number, for its last 8 bits are free; 0: none."""
    family, net, length = (rows[name] for name in network)
    return net | length | ibis.cases((family == 4, _IPV4), (family == 6, _IPV4 | _IPV6), else_=0).cast("int64")


def unpacked(number: Any, network: Sequence[str]) -> dict[str, Any]:
    """The three columns again, by their names."""
    low = number & 0xFF
    family = ibis.cases((low >= (_IPV4 | _IPV6), 6), (low >= _IPV4, 4), else_=0).cast("int64")
    return dict(zip(network, (family, number - low, low & (_IPV6 - 1)), strict=True))


_IPV4: Final = 128
_IPV6: Final = 64
