"""The tree in which YAML is read: plain Python whose every part knows its line and column, counted from 1.

`Keys` is a dict, `Items` a list, `Text` a str. Scalars stay text whatever YAML 1.1 would make of them: ``no`` is
Norway, ``010`` is not eight, ``12:30`` is not 750. What a value means is for the model to say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self, TypeAlias


class Text(str):
    """A scalar with its place, counted from 1; ``plain`` when it was written without quotes."""

    __slots__ = ("column", "line", "plain")
    line: int
    column: int
    plain: bool

    def __new__(cls, text: str, line: int = 0, column: int = 0, plain: bool = False) -> Self:
        self = super().__new__(cls, text)
        self.line, self.column, self.plain = line, column, plain
        return self


class Items(list[Any]):
    """A sequence of nodes with the place where it begins."""

    __slots__ = ("column", "line")

    def __init__(self, line: int = 0, column: int = 0) -> None:
        super().__init__()
        self.line, self.column = line, column


class Keys(dict[str, Any]):
    """A mapping with the place where it begins. ``written`` gives each key as a `Text`, with the key's own place."""

    __slots__ = ("column", "line", "written")

    def __init__(self, line: int = 0, column: int = 0) -> None:
        super().__init__()
        self.line, self.column = line, column
        self.written: dict[str, Text] = {}

    def add(self, key: Text, value: Node) -> None:
        """Set ``key``, which is not yet there."""
        self[key] = value
        self.written[key] = key


Node: TypeAlias = Text | Items | Keys


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML file. ``broken``: a syntax error left part of it unread, so that nothing is known to be missing."""

    path: str
    root: Keys
    broken: bool = False

    def place(self, *location: str | int) -> tuple[int, int]:
        """Line and column of the value at ``location`` (keys and indices), or of the last part of the way there."""
        node = self.walk(location)[-1][1]
        return node.line, node.column

    def key_place(self, *location: str | int) -> tuple[int, int]:
        """Line and column of the last key or item of ``location`` that is there; where none is, of the file's first."""
        node = self.walk(location)[-1][0]
        return node.line, node.column

    def walk(self, location: tuple[str | int, ...]) -> list[tuple[Node, Node]]:
        """The root, then what each step names that leads somewhere, as (the key or item, the value)."""
        node: Node = self.root
        found: list[tuple[Node, Node]] = [(node, node)]
        for step in location:
            after = child(node, step)
            if after is not None:
                found.append((node.written[str(step)] if isinstance(node, Keys) else after, after))
                node = after
        return found


def child(node: Node, step: str | int) -> Node | None:
    """The part of ``node`` that a key or an index names; None where there is none."""
    if isinstance(node, Keys) and isinstance(step, str):
        return node.get(step)
    if isinstance(node, Items) and isinstance(step, int) and step < len(node):
        found: Node = node[step]
        return found
    return None


def quote(value: object) -> str:
    """A value as messages show it: texts in double quotes, shortened and escaped; other things by their kind."""
    if isinstance(value, str):
        if not value and getattr(value, "plain", False):
            return "an empty value"
        shown = value if len(value) <= 60 else value[:57] + "..."
        shown = shown.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in shown) + '"'
    return "a list" if isinstance(value, list) else "a mapping"
