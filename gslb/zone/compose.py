"""libyaml's events → a tree of nodes, bounded in depth and size.

Composed here and not by PyYAML, whose composer recurses without a bound, takes duplicate keys silently and loses all it
has read when it meets a syntax error.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml

from gslb.errors import Findings
from gslb.zone.nodes import Items, Keys, Node, Text, quote

MAX_DEPTH = 24
MAX_NODES = 2_000_000
"""With aliases written out: a few lines that stand for a billion nodes are refused."""

_TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels"


@dataclass(frozen=True, slots=True)
class Stop:
    """Why composing ended early; from offset ``resume`` on, the next top-level key is looked for unless ``final``."""

    line: int
    column: int
    reason: str
    resume: int = 0
    final: bool = False


@dataclass(slots=True)
class _Open:
    """A collection that is being read. In a mapping ``key`` is None while the value that comes is to be dropped."""

    node: Items | Keys
    anchor: str | None
    nodes_before: int
    is_key: bool
    flow_at: int | None = None  # for [ and {: where it begins in the text
    at_key: bool = True
    key: Text | None = None
    height: int = 0


@dataclass(slots=True)
class Composer:
    """Builds the tree of one stretch of YAML whose first line is line ``line_offset`` + 1 of the file."""

    path: str
    findings: Findings
    line_offset: int
    stop: Stop | None = None
    root: Node | None = None
    nodes: int = 0
    open: list[_Open] = field(default_factory=list)
    anchors: dict[str, tuple[Node, int, int] | None] = field(default_factory=dict)

    def compose(self, text: str) -> Node | None:
        """The tree of the first document; a syntax error, a bound or a second document sets ``stop``."""
        loader = yaml.CSafeLoader(text)
        try:
            while loader.check_event() and self.stop is None:
                self._take(loader.get_event())
        except yaml.MarkedYAMLError as error:
            self.stop = self._syntax(error, text)
        except yaml.YAMLError as error:
            self.stop = Stop(0, 0, f"YAML: {error}", final=True)
        finally:
            loader.dispose()
        if self.stop is not None and self.open:
            self._drop_last(self.open[-1].node, self.stop.line)
            self._resume_after_bracket(self.stop)
        while self.open:  # what was not closed is kept as far as it was read, but for [ ] and { }, which swallow more
            if self.open[-1].flow_at is not None:
                self.open.pop()
                self._attach(None, 0, 0)
            else:
                self._close()
        return self.root

    def _resume_after_bracket(self, stop: Stop) -> None:
        """An error within a bracket may lie far below the bracket that was not closed: read on from there."""
        bracket = next((each for each in self.open if each.flow_at is not None), None)
        if bracket is not None and bracket.flow_at is not None and not stop.final:
            within = bracket.node.line
            told = within == stop.line or f"line {within}" in stop.reason
            reason = stop.reason if told else f"{stop.reason} (within the bracket of line {within})"
            self.stop = Stop(stop.line, stop.column, reason, bracket.flow_at)

    def _drop_last(self, node: Items | Keys, line: int) -> None:
        """Forget the last value of ``node`` if it stands on the line of a syntax error and so may be half."""
        if isinstance(node, Keys) and node:
            last = next(reversed(node))
            if node[last].line == line:
                del node[last], node.written[last]
        elif isinstance(node, Items) and node and node[-1].line == line:
            node.pop()

    def _take(self, event: Any) -> None:
        start: Any = event.start_mark
        line, column = start.line + 1 + self.line_offset, start.column + 1
        match event:
            case yaml.ScalarEvent():
                self._tag(event.tag, line, column)
                node = Text(event.value, line, column, event.style is None or event.style == "")
                self._attach(node, 1, 0, event.anchor)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._tag(event.tag, line, column)
                is_map = isinstance(event, yaml.MappingStartEvent)
                collection = Keys(line, column) if is_map else Items(line, column)
                if event.anchor:
                    self.anchors[event.anchor] = None
                flow_at = start.index if event.flow_style else None
                is_key = bool(self.open) and isinstance(self.open[-1].node, Keys) and self.open[-1].at_key
                self.open.append(_Open(collection, event.anchor, self.nodes, is_key, flow_at))
                self._bounds(0, 0, line, column)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._close()
            case yaml.AliasEvent():
                self._alias(event.anchor or "", line, column)
            case yaml.DocumentStartEvent() if self.root is not None:
                self.stop = Stop(line, column, "a file holds one YAML document; a second one begins here", final=True)

    def _close(self) -> None:
        ended = self.open.pop()
        if ended.is_key:
            self.findings.error(self.path, ended.node.line, ended.node.column, "a key must be a text")
            self.open[-1].key, self.open[-1].at_key = None, False
            return
        self._attach(ended.node, self.nodes - ended.nodes_before + 1, ended.height, ended.anchor)

    def _attach(self, node: Node | None, nodes: int, height: int, anchor: str | None = None) -> None:
        """Put ``node`` where the innermost open collection expects it; None is a value that is dropped."""
        self.nodes += 1
        if node is not None and anchor:
            self.anchors[anchor] = (node, nodes, height)
        if node is not None:
            self._bounds(0, height, node.line, node.column)
        if not self.open:
            self.root = node
            return
        into = self.open[-1]
        into.height = max(into.height, height + 1)
        if isinstance(into.node, Items):
            if node is not None:
                into.node.append(node)
        elif into.at_key:
            into.key = self._key(into.node, node)
            into.at_key = False
        else:
            if into.key is not None and node is not None:
                into.node.add(into.key, node)
            into.at_key = True

    def _key(self, mapping: Keys, node: Node | None) -> Text | None:
        if node is None:
            return None
        if not isinstance(node, Text):
            self.findings.error(self.path, node.line, node.column, "a key must be a text")
            return None
        if node in mapping:
            duplicate_key(self.path, mapping, node, self.findings)
            return None
        reason = ""
        if node == "<<" and node.plain:
            reason = 'merge keys ("<<") are not read; use like, defaults, or an alias for a whole value'
        elif not node:
            reason = "a key is empty"
        if reason:
            self.findings.error(self.path, node.line, node.column, reason)
            return None
        return node

    def _alias(self, anchor: str, line: int, column: int) -> None:
        if anchor not in self.anchors:
            self.findings.error(self.path, line, column, f"alias {quote(anchor)} names no anchor above it")
            self._attach(None, 0, 0)
            return
        known = self.anchors[anchor]
        if known is None:
            self.findings.error(self.path, line, column, f"alias {quote(anchor)} stands inside its own anchor")
            self._attach(None, 0, 0)
            return
        node, nodes, height = known
        if self._bounds(nodes, height, line, column):
            self.nodes += nodes - 1
            self._attach(node, nodes, height)

    def _bounds(self, more: int, height: int, line: int, column: int) -> bool:
        if self.stop is not None:
            return False
        if len(self.open) + height > MAX_DEPTH:
            self.stop = Stop(line, column, _TOO_DEEP, final=True)
        elif self.nodes + more > MAX_NODES:
            self.stop = Stop(line, column, f"more than {MAX_NODES} values, aliases written out", final=True)
        return self.stop is None

    def _tag(self, tag: str | None, line: int, column: int) -> None:
        if tag and tag != "tag:yaml.org,2002:str":
            shown = tag.replace("tag:yaml.org,2002:", "!!")
            self.findings.error(self.path, line, column, f"tag {quote(shown)} is not read; values are plain text")

    def _syntax(self, error: yaml.MarkedYAMLError, text: str) -> Stop:
        mark = error.problem_mark
        context = error.context or ""
        problem = error.problem or "not YAML"
        if mark is None:
            return Stop(0, 0, f"YAML: {problem}", final=True)
        if problem == "exceeded maximum nesting depth":  # newer versions of libyaml have a bound of their own
            return Stop(mark.line + 1 + self.line_offset, mark.column + 1, _TOO_DEEP, final=True)
        resume = text.rfind("\n", 0, mark.index) + 1
        character = text[mark.index : mark.index + 1]
        unclosed = problem == "found unexpected end of stream" and "quoted" in context
        if error.context_mark is not None and (unclosed or "simple key" in context):
            mark = error.context_mark  # where the quote or the key begins; the end of the file says little
            resume = mark.index + 1
        if problem.startswith("found character that cannot start") and character == "\t":
            problem, context = "a tab cannot indent; use spaces", ""
        elif problem.startswith("found character that cannot start"):
            problem, context = f"a value cannot begin with {quote(character)}; put it in quotes", ""
        elif "simple key" in context and "':'" in problem:
            problem, context = "a key without a colon, or a text that goes on at the margin", ""
        elif unclosed:
            problem, context = "the quote that begins here is never closed", ""
        began = ""
        if context and error.context_mark is not None and error.context_mark.line != mark.line:
            began = f", which began on line {error.context_mark.line + 1 + self.line_offset}"
        reason = f"YAML: {problem}" + (f" ({context}{began})" if context else "")
        return Stop(mark.line + 1 + self.line_offset, mark.column + 1, reason, resume)


def duplicate_key(path: str, node: Keys, key: Text, findings: Findings) -> None:
    """Tell that ``key`` stands in ``node`` already."""
    first = node.written[key].line
    findings.error(path, key.line, key.column, f"duplicate key {quote(key)}; it stands on line {first} already")
