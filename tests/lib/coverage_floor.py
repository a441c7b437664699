"""Fail unless every single file under gslb/ reaches the floor of line coverage; nothing is left out.

    python tests/lib/coverage_floor.py COVERAGE.json [FLOOR]

Reads what `coverage json` wrote. A file that no test imported counts as 0. A line left out of coverage's count is
a line not run, unless only type checkers read it.
"""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

FLOOR = 92.0


def below(report: dict, files: list[str], floor: float) -> list[tuple[float, str, list[int]]]:
    """The files under the floor, worst first: (percent of lines run, path, lines not run)."""
    found = []
    for path in files:
        entry = report["files"].get(path)
        if entry is None:
            found.append((0.0, path, []))
            continue
        summary = entry["summary"]
        left_out = sorted(set(entry["excluded_lines"]) - _types_alone(path)) if entry["excluded_lines"] else []
        lines, run = summary["num_statements"] + len(left_out), summary["covered_lines"]
        percent = 100.0 if lines == 0 else 100.0 * run / lines
        if percent < floor:
            found.append((percent, path, entry["missing_lines"] + left_out))
    return sorted(found)


def main(arguments: list[str]) -> int:
    """Print what is under the floor; 1 if anything is."""
    report = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    floor = float(arguments[1]) if len(arguments) > 1 else FLOOR
    files = sorted(str(path) for path in Path("gslb").rglob("*.py"))
    found = below(report, files, floor)
    for percent, path, lines in found:
        print(f"coverage: {path} {percent:.1f} % of lines, floor {floor:.0f} %; not run: {_ranges(lines)}")
    if not found:
        total = report["totals"]["percent_covered"]
        print(f"coverage: {len(files)} files, each at least {floor:.0f} % of lines; {total:.1f} % in all")
    return 1 if found else 0


def _types_alone(path: str) -> set[int]:
    """The lines of `if TYPE_CHECKING:` and of its body."""
    nodes = ast.walk(ast.parse(Path(path).read_text(encoding="utf-8")))
    blocks = [node for node in nodes if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    return {line for block in blocks for line in range(block.lineno, (block.end_lineno or block.lineno) + 1)}


def _ranges(lines: list[int]) -> str:
    parts: list[list[int]] = []
    for line in sorted(lines):
        if parts and line == parts[-1][1] + 1:
            parts[-1][1] = line
        else:
            parts.append([line, line])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in parts) or "all"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
