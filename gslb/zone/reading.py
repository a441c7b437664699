"""A tree laid over its model: every fault told in our words at its place, and the sound rest kept."""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gslb.errors import Findings
from gslb.zone.models import Model
from gslb.zone.nodes import Document, Items, Keys, Node, child, quote
from gslb.zone.scalars import ItemError, did_you_mean

M = TypeVar("M", bound=Model)
Location = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Reading(Generic[M]):
    """A file as its model. What was wrong is left out of ``model``; ``faults`` holds where it was."""

    document: Document
    model: M
    faults: frozenset[Location]

    def faulty(self, *location: str | int) -> bool:
        """Whether something at or below ``location`` was left out, so that it is not known to be missing."""
        return self.document.broken or any(fault[: len(location)] == location for fault in self.faults)

    def lost(self, *location: str | int) -> bool:
        """Whether ``location`` was left out as a whole, so that nothing is known of what stands there."""
        return self.document.broken or location in self.faults

    def written(self, *location: str | int) -> tuple[str, ...]:
        """The keys below ``location`` as they stand in the file, sound or not."""
        way = self.document.walk(location)
        node = way[-1][1]
        return tuple(node) if isinstance(node, Keys) and len(way) > len(location) else ()


def read(model: type[M], document: Document, findings: Findings) -> Reading[M]:
    """Lay ``document`` over ``model``; all faults at once go to ``findings``.

    A fault is cut out of a copy of the tree and the rest read again, until the rest is sound: each round takes a node
    away or puts a placeholder where a required key is missing, and placeholders are sound, so it ends.
    """
    faults: set[Location] = set()
    tree: Any = document.root
    while True:
        try:
            return Reading(document, model.model_validate(tree), frozenset(faults))
        except ValidationError as error:
            details = error.errors(include_url=False)
        for detail in details:
            # What is cut out makes keys missing and lists empty; those are no faults of the file.
            if not faults or (detail["type"] == "value_error" and detail["input"]):
                _tell(detail, model, document, findings)
        if not faults:
            tree = _copy(tree)
        for detail in details:
            faults.add(detail["loc"])
            _mend(detail, model, tree)
        _sweep(tree)


def _tell(detail: ErrorDetails, model: type[Model], document: Document, findings: Findings) -> None:
    location = detail["loc"]
    way = document.walk(location)
    names = [str(key) for key, value in way if key is not value]
    node = way[-1][1]
    match detail["type"]:
        case "missing":
            if document.broken:
                return
            node = way[-1][0]
            reason = f'key "{location[-1]}" is missing' + (f" in {quote(names[-1])}" if names else "")
        case "extra_forbidden":
            node = way[-1][0]
            known = tuple(field.alias or name for name, field in _model_at(model, location[:-1]).model_fields.items())
            reason = f"unknown key {quote(names[-1])}"
            reason += did_you_mean(names[-1], known) or f"; known are {', '.join(known)}"
        case "value_error" if location[-1] == "[key]":
            node = way[-1][0]
            reason = f"{names[-2]}: {detail['ctx']['error']}"
        case "value_error":
            fault = detail["ctx"]["error"]
            if isinstance(fault, ItemError):
                for index, reason in fault.faults:
                    item = detail["input"][index]
                    findings.error(document.path, item.line, item.column, f"{names[-1]}: {reason}")
                return
            reason = f"{names[-1]}: {fault}"
        case "tuple_type":
            reason = f"{names[-1]}: {quote(detail['input'])} is not a list"
        case _:
            reason = f"{names[-1]}: {quote(detail['input'])} is not a mapping of keys to values"
    findings.error(document.path, node.line, node.column, reason)


_GONE = object()


def _mend(detail: ErrorDetails, model: type[Model], tree: Keys) -> None:
    location = detail["loc"]
    if detail["type"] == "missing":
        holder: Node | None = tree
        for step in location[:-1]:
            holder = child(holder, step) if holder is not None else None
        if isinstance(holder, Keys):  # else it was cut out for another fault
            name = str(location[-1])
            holder[name] = _model_at(model, location[:-1]).PLACEHOLDERS[name]
        return
    into: Any = None
    last: Any = None
    node: Any = tree
    for step in location:
        after = child(node, step)
        if after is None and isinstance(node, Keys) and step != "[key]":
            return  # cut out already, for another fault
        if after is not None:
            into, last, node = node, step, after
    fault = detail["ctx"]["error"] if detail["type"] == "value_error" else None
    if isinstance(fault, ItemError) and isinstance(node, Items):
        for index, _ in fault.faults:
            node[index] = _GONE
    elif isinstance(into, Keys):
        into.pop(last, None)
    elif into is not None:
        into[last] = _GONE


def _sweep(node: Any) -> None:
    if isinstance(node, Items):
        node[:] = [item for item in node if item is not _GONE]
    for part in node.values() if isinstance(node, Keys) else node if isinstance(node, Items) else ():
        _sweep(part)


def _copy(node: Node) -> Node:
    if isinstance(node, Keys):
        keys = Keys(node.line, node.column)
        for name, value in node.items():
            keys.add(node.written[name], _copy(value))
        return keys
    if isinstance(node, Items):
        items = Items(node.line, node.column)
        items.extend(_copy(item) for item in node)
        return items
    return node


def _model_at(model: type[Model], location: Iterable[str | int]) -> type[Model]:
    """The model of the mapping at ``location``, by the annotations on the way there."""
    here: Any = model
    for step in location:
        here = _plain(here)
        if isinstance(here, type) and issubclass(here, Model):
            here = here.model_fields[str(step)].annotation
        elif issubclass(get_origin(here), Mapping):
            here = get_args(here)[1]
        else:
            here = get_args(here)[0]  # of a tuple
    found = _plain(here)
    assert isinstance(found, type)
    assert issubclass(found, Model)
    return found


def _plain(annotation: Any) -> Any:
    """An annotation without what pydantic reads off it, and without None."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif get_origin(annotation) in (Union, types.UnionType):
            annotation = next(arg for arg in get_args(annotation) if arg is not type(None))
        else:
            return annotation
