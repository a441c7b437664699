"""The types of the keys in `gslb.zone.models`: how each is read from the tree, and how a JSON Schema describes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from gslb.model.intent import AFFINITY_LEVELS, NEAREST
from gslb.zone import scalars
from gslb.zone.nodes import Items, Keys, Text

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Reads:
    """A value made from one node by ``read``, which raises ``ValueError``; ``schema`` describes what may be written."""

    read: Callable[[object], Any]
    schema: Schema

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> Schema:
        return dict(self.schema)


@dataclass(frozen=True, slots=True, eq=False)
class Several:
    """A tuple of values, written as a list or as one of them; ``whole`` looks at all together.

    Where ``empty`` is given, it is why an empty list is refused.
    """

    item: Reads
    whole: Callable[[tuple[Any, ...]], tuple[Any, ...]] = scalars.unique
    empty: str = ""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        values = core_schema.tuple_variable_schema(core_schema.no_info_plain_validator_function(self.item.read))
        listed = core_schema.no_info_before_validator_function(scalars.listed, values)
        return core_schema.no_info_after_validator_function(self._look, listed)

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> Schema:
        return {"anyOf": [self.item.schema, _list(self.item.schema, 1 if self.empty else 0)]}

    def _look(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if self.empty and not values:
            raise ValueError(self.empty)
        return self.whole(values)


def _list(item: Schema, least: int = 0) -> Schema:
    return {"type": "array", "items": item, **({"minItems": least} if least else {})}


def _pattern(pattern: str, other: Schema | None = None) -> Schema:
    text = {"type": "string", "pattern": f"^(?:{pattern})$"}
    return {"anyOf": [other, text]} if other is not None else text


def whole(low: int, high: int) -> Reads:
    """Whole numbers from ``low`` to ``high``."""
    return Reads(scalars.whole(low, high), {"type": "integer", "minimum": low, "maximum": high})


def number(low: float, high: float) -> Reads:
    """Numbers from ``low`` to ``high``."""
    return Reads(scalars.number(low, high), {"type": "number", "minimum": low, "maximum": high})


def one_of(*words: str) -> Reads:
    """One of ``words``."""
    return Reads(scalars.one_of(*words), {"enum": list(words)})


def _levels(levels: tuple[str, ...]) -> tuple[str, ...]:
    scalars.unique(levels)
    if NEAREST in levels and len(levels) > 1:
        raise ValueError(f'"{NEAREST}" stands alone; it cannot be mixed with other levels')
    return levels


def _as_record(value: object) -> object:
    """``A: 192.0.2.1`` and ``A: [192.0.2.1]`` are short for ``A: {data: [192.0.2.1]}``."""
    if isinstance(value, Keys):
        return value
    record = Keys()
    if isinstance(value, Items):
        record["data"] = value
    else:
        record["data"] = Items()
        record["data"].append(scalars.rdata_text(value))
    return record


def _as_capacity(value: object) -> object:
    """``40Gbps`` is short for ``{bps: 40Gbps}``."""
    if isinstance(value, Keys):
        return value
    capacity = Keys()
    capacity["bps"] = value
    return capacity


def _or_empty(value: object) -> object:
    """A section with nothing below its key, such as one whose lines are all comments, is an empty one."""
    if isinstance(value, Text) and value.plain and not value:
        return Keys(value.line, value.column)
    return value


def _filled(value: object) -> object:
    if not value and (isinstance(value, Keys) or (isinstance(value, Text) and value.plain)):
        raise ValueError("nothing stands below it; leave the key out")
    return value


def _or_none(value: object) -> object:
    return Items(value.line, value.column) if isinstance(value, Text) and value.plain and not value else value


_NOTHING: Schema = {"type": "null", "description": "nothing yet"}
_RDATA_SCHEMA: Schema = {"type": ["string", "number"]}
_ADDRESS4 = Reads(scalars.address4, {"type": "string", "format": "ipv4"})
_ADDRESS6 = Reads(scalars.address6, {"type": "string", "format": "ipv6"})
_RATE = Reads(scalars.rate, _pattern(scalars.RATE))
_COUNTRY = Reads(scalars.country, _pattern("[A-Za-z]{2}"))
_ISP = Reads(scalars.isp, _pattern(scalars.IDENTIFIER))
_ISP_NAME = Reads(scalars.isp_name, _pattern(scalars.IDENTIFIER))
_IDENTIFIER = Reads(scalars.identifier, _pattern(scalars.IDENTIFIER, {"type": "integer"}))
_ASN = Reads(scalars.asn, _pattern(scalars.ASN, {"type": "integer"}))
_PREFIX = Reads(scalars.prefix, {"type": "string"})
_WORD = Reads(scalars.text, {"type": ["string", "number"]})

Word = Annotated[str, _WORD]
Identifier = Annotated[str, _IDENTIFIER]
Instant = Annotated[int, Reads(scalars.instant, {"type": "string", "format": "date-time"})]
IspName = Annotated[str, _ISP_NAME]
Seconds = Annotated[int, Reads(scalars.seconds, _pattern(scalars.DURATION, {"type": "integer", "minimum": 0}))]
Fraction = Annotated[
    float, Reads(scalars.fraction, _pattern(scalars.FRACTION, {"type": "number", "minimum": 0, "maximum": 1}))
]
Boolean = Annotated[bool, Reads(scalars.boolean, {"type": "boolean"})]
Rate = Annotated[int, _RATE]
Country = Annotated[str, _COUNTRY]
Region = Annotated[str, Reads(scalars.region, _pattern(scalars.REGION, {"type": "integer"}))]
Weight = Annotated[int, whole(0, 65535)]

Identifiers = Annotated[tuple[str, ...], Several(_IDENTIFIER, empty="an empty list names nothing")]
Words = Annotated[tuple[str, ...], Several(_WORD)]
Addresses4 = Annotated[tuple[bytes, ...], Several(_ADDRESS4)]
Addresses6 = Annotated[tuple[bytes, ...], Several(_ADDRESS6)]
Countries = Annotated[tuple[str, ...], Several(_COUNTRY, empty="an empty list names no country; leave the key out")]
Isps = Annotated[tuple[str, ...], Several(_ISP)]
Asns = Annotated[tuple[int, ...], Several(_ASN)]
Prefixes = Annotated[tuple[str, ...], Several(_PREFIX)]
Affinity = Annotated[
    tuple[str, ...], Several(one_of(*AFFINITY_LEVELS, NEAREST), _levels, "an empty list names no level")
]
Rdatas = Annotated[
    tuple[str, ...],
    Several(
        Reads(scalars.rdata_text, _RDATA_SCHEMA),
        lambda values: values,
        "an empty list holds no record; leave the key out",
    ),
]


@dataclass(frozen=True, slots=True, eq=False)
class ShortForm:
    """Before a model: ``expand`` makes its mapping of the short forms that ``schemas`` describe."""

    expand: Callable[[object], object]
    schemas: tuple[Schema, ...]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.expand, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> Schema:
        return {"anyOf": [*self.schemas, handler(core)]}


@dataclass(frozen=True, slots=True, eq=False)
class NotEmpty:
    """Before a mapping that must hold a key."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(_filled, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> Schema:
        return {**handler(core), "minProperties": 1}


RecordForm = ShortForm(_as_record, (_RDATA_SCHEMA, _list(_RDATA_SCHEMA, 1)))
CapacityForm = ShortForm(_as_capacity, (_RATE.schema,))
Filled = NotEmpty()
OrEmpty = ShortForm(_or_empty, (_NOTHING,))
"""Before a section of keys."""
OrNone = ShortForm(_or_none, (_NOTHING,))
"""Before a list."""
