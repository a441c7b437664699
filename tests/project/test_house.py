"""The rules of the house that no linter knows: what lies where, what may import what, how long a file may be."""

from __future__ import annotations

import ast
import fnmatch
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
SOURCES = sorted((REPO / "gslb").rglob("*.py"))
PURE = ("answer", "snapshot", "policy", "wire", "zone", "geo", "health", "plan", "tables", "model")
"""Floors from `answer` down: no socket, no clock, no randomness, no files but those of geo/mmdb.py."""

TOP = {
    "pyproject.toml", "README.md", "Dockerfile", "gslb", "zones", "data", "tests", "Makefile", "LICENSE",
    "CHANGELOG.md", ".gitignore", ".dockerignore", ".ci", "docs", "deploy",
}  # fmt: skip
ROOMS = {
    "cli", "server", "agent", "dispatch", "measure", "simulate", "store", "answer", "snapshot", "policy", "wire",
    "zone", "geo", "health", "plan", "tables", "model", "errors.py", "__init__.py", "__main__.py", "py.typed",
}  # fmt: skip
IMPURE = {
    "time", "random", "secrets", "uuid", "ssl", "asyncio", "selectors", "subprocess", "threading",
    "multiprocessing", "shutil", "tempfile", "glob", "redis", "uvloop", "uvicorn", "fastapi", "starlette",
    "watchfiles", "aiohttp", "structlog", "prometheus_client", "urllib", "http",
}  # fmt: skip
HARMLESS = {
    "socket": {"inet_pton", "inet_ntop", "AF_INET", "AF_INET6"},
    "io": {"StringIO", "BytesIO", "TextIOWrapper"},
    "os": {"environ", "_Environ"},
    "datetime": {"datetime", "timedelta", "timezone", "UTC", "fromisoformat", "fromtimestamp", "timestamp", "strptime"},
}
"""Of these modules only these names: they turn text into values, or say which implementation is wanted; none opens
anything or reads a clock."""
ONLY_IN = [
    # package, the one file that may import it; or the files, or a room with its slash
    ("redis", "gslb/store/redis.py"),
    ("dnslib", "gslb/wire/message.py"),
    ("maxminddb", "gslb/geo/mmdb.py"),
    ("geoip2", "gslb/geo/mmdb.py"),
    ("ortools", "gslb/plan/flow.py"),
    ("pyarrow", "gslb/dispatch/parquet.py gslb/store/querylog.py gslb/measure/"),
    ("ibis", "gslb/tables/ gslb/measure/engine.py"),
    ("duckdb", "gslb/measure/duck.py"),
    ("pyspark", "gslb/measure/spark.py"),
    ("matplotlib", "gslb/simulate/plots.py"),
]
OPENERS = {"open", "read_text", "read_bytes", "write_text", "write_bytes", "memmap", "fromfile", "open_database"}
LONGEST = 350


def test_top_level() -> None:
    ignored = [row.strip("/") for row in (REPO / ".gitignore").read_text(encoding="utf-8").split()]
    found = {path.name for path in REPO.iterdir()}
    kept = {name for name in found if not any(fnmatch.fnmatch(name, pattern) for pattern in [*ignored, ".git"])}
    assert kept <= TOP


def test_rooms_of_the_package() -> None:
    found = {path.name for path in (REPO / "gslb").iterdir()} - {"__pycache__"}
    assert found <= ROOMS


def test_the_floors_are_the_designs() -> None:
    project = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = project["tool"]["importlinter"]["contracts"]
    assert (contract["type"], contract["exhaustive"], contract["containers"]) == ("layers", True, ["gslb"])
    wanted = [
        {"__main__"},
        {"cli"},
        {"server", "agent", "dispatch", "measure", "simulate"},
        {"store"},
        {"answer"},
        {"snapshot"},
        {"policy", "wire", "zone", "geo", "health", "plan", "tables"},
        {"model"},
        {"errors"},
    ]
    floors = [set(layer.split(" | ")) for layer in contract["layers"]]
    assert len(floors) == len(wanted)
    assert [floor - want for floor, want in zip(floors, wanted, strict=True)] == [set()] * len(wanted)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(REPO)))
def test_a_source_file(path: Path) -> None:
    name = path.relative_to(REPO).as_posix()
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert ast.get_docstring(tree) or not text.strip(), "a module says on its first line what it is for"
    assert text.count("\n") <= LONGEST or _allowed(name), f"over {LONGEST} lines, and no ADR names it"
    imported = set(_imports(tree))
    assert {package for package, homes in ONLY_IN if package in imported and not _at_home(name, homes)} == set()
    if path.relative_to(REPO / "gslb").parts[0] in PURE:
        assert imported & IMPURE == set()
        assert set(_harmful(tree)) == set()
        if name != "gslb/geo/mmdb.py":
            assert set(_opened(tree)) == set()


FAULTS = [
    ("import time", {"time"}, set(), set()),
    ("from os import path", {"os"}, set(), {"os.path"}),
    ("import os\nos.environ.get('A')", {"os"}, set(), set()),
    ("def f():\n    import random.shuffle", {"random"}, set(), set()),
    ("from gslb.model import names", {"gslb"}, set(), set()),
    ("x = open('a')", set(), {"open"}, set()),
    ("x = path.read_text()", set(), {"read_text"}, set()),
    ("x = numpy.memmap('a')", set(), {"memmap"}, set()),
    ("x = path.name", set(), set(), set()),
    ("import socket\nsocket.inet_pton(socket.AF_INET, 'a')", {"socket"}, set(), set()),
    ("import socket\nsocket.socket()", {"socket"}, set(), {"socket.socket"}),
    ("from socket import create_connection", {"socket"}, set(), {"socket.create_connection"}),
]


@pytest.mark.parametrize(("text", "imports", "opened", "harmful"), FAULTS)
def test_what_the_rule_sees(text: str, imports: set[str], opened: set[str], harmful: set[str]) -> None:
    tree = ast.parse(text)
    assert set(_imports(tree)) == imports
    assert set(_opened(tree)) == opened
    assert set(_harmful(tree)) == harmful


def _at_home(name: str, homes: str) -> bool:
    return any(name == home or (home.endswith("/") and name.startswith(home)) for home in homes.split())


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


def _harmful(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        used: list[tuple[str, str]] = []
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            used = [(node.value.id, node.attr)]
        elif isinstance(node, ast.ImportFrom) and node.module:
            used = [(node.module, alias.name) for alias in node.names]
        yield from (f"{module}.{name}" for module, name in used if name not in HARMLESS.get(module, {name}))


def _opened(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func
            name = (
                called.id if isinstance(called, ast.Name) else called.attr if isinstance(called, ast.Attribute) else ""
            )
            if name in OPENERS:
                yield name


def _allowed(name: str) -> bool:
    return any(name in adr.read_text(encoding="utf-8") for adr in (REPO / "docs/adr").glob("*.md"))


TEXTS = [
    path
    for folder in ("gslb", "tests", "zones", "data", "docs")
    for path in sorted((REPO / folder).rglob("*"))
    if path.suffix in {".py", ".pyx", ".pyi", ".md", ".yaml", ".zone", ".csv", ".sh", ".txt", ".json"}
] + [REPO / name for name in ("Makefile", "Dockerfile", "README.md", "CHANGELOG.md", "pyproject.toml", ".ci/run")]
BANNED = [
    # why, pattern; each in two pieces so that this file does not hold it itself
    ("a path of one machine", r"/wo" r"rk/|/ro" r"ot/|/tmp/te" r"am|/ho" r"me/\w"),
    ("something left open", r"\bTO" r"DO\b|\bFIX" r"ME\b|\bX" r"XX\b|NotImplemented" r"Error"),
    ("the trackers of this work", r"\bissue" r" ?#?\d|this ses" r"sion"),
    ("a line without a test, silenced", r"pragma: no" r" cover"),
    # A silenced check gives its reason in a comment of its own, on the line.
    ("no reason for silence", r"# (?:no" r"qa|type: ig" r"nore)(?:: ?[A-Z]+\d+(?:, ?[A-Z]+\d+)*|\[[\w, -]+\])?\s*$"),
]  # fmt: skip


@pytest.mark.parametrize(("why", "pattern"), BANNED, ids=[row[0] for row in BANNED])
def test_words(why: str, pattern: str) -> None:
    banned = re.compile(pattern)
    found = [
        f"{path.relative_to(REPO)}:{number}: {line.strip()}"
        for path in TEXTS
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if banned.search(line)
    ]
    assert found == [], why


def test_the_changelog_has_this_version() -> None:
    version = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    changelog = (REPO / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f'__version__ = "{version}"' in (REPO / "gslb/__init__.py").read_text(encoding="utf-8")
    assert re.search(rf"^## \[(Unreleased|{re.escape(version)})\]", changelog, re.MULTILINE)
    assert f"[{version}]" in changelog


def test_ci_runs_make_test_and_nothing_else() -> None:
    path = REPO / ".ci/run"
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    assert lines == ["set -euo pipefail", 'cd "$(dirname "$0")/.."', "exec make test"]
    assert path.stat().st_mode & 0o111
