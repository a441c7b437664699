"""The compiled path cannot go missing quietly, and its sources keep the rules of the house."""

from __future__ import annotations

import ast
import importlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from gslbtest import compiler
from gslbtest.process import program

REPO = Path(__file__).parents[2]
SOURCES = sorted((REPO / "gslb").rglob("*.pyx"))
DECLARATIONS = sorted((REPO / "gslb").rglob("*.pxd"))
FLOORS = ("server", "answer", "snapshot", "policy wire zone geo health plan", "model", "errors")
"""From top to bottom: a file may import from its own floor and those below."""
TAKEN_FROM = {
    "answer": {"libc", "gslb", "numpy"},
    "server": {"libc", "posix", "gslb", "numpy", "os", "signal", "time", "ipaddress"},
}
"""What the sources of a floor may import from: below `server` there is no system call."""
USERS = {"gslb.answer._fast": {"gslb/answer/fast.py"}, "gslb.server._": {"gslb/server/native.py"}}
"""The only Python that imports compiled modules when it runs: a chooser, and what the chooser let in."""
LONGEST = 350
IMPORT = re.compile(r"^\s*(?:from\s+([\w.]+)\s+c?import\b|c?import\s+([\w.]+))", re.MULTILINE)


def name_of(path: Path) -> str:
    return path.relative_to(REPO).with_suffix("").as_posix().replace("/", ".")


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_it_is_compiled(path: Path) -> None:
    """Where there is a compiler, and `make packages` sees to it that there is one."""
    assert program("cc")
    module = importlib.import_module(name_of(path))
    assert module.__file__ is not None
    assert module.__file__.endswith(".so")
    assert path.with_suffix(".pyi").is_file()


def test_every_source_is_built_and_may_fail_to() -> None:
    project = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))
    modules = project["tool"]["setuptools"]["ext-modules"]
    assert sorted(module["sources"] for module in modules) == [[path.relative_to(REPO).as_posix()] for path in SOURCES]
    assert compiler.extensions() == set(map(name_of, SOURCES))
    assert all(module["optional"] for module in modules), "without a compiler the package installs all the same"


def test_cython_is_for_building_alone() -> None:
    project = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))
    assert any(need.startswith("Cython") for need in project["build-system"]["requires"])
    needs = project["project"]["dependencies"]
    assert not any(need.lower().startswith("cython") for need in needs)


@pytest.mark.parametrize("path", SOURCES + DECLARATIONS, ids=lambda path: str(path.relative_to(REPO)))
def test_a_source(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    floor = path.relative_to(REPO / "gslb").parts[0]
    assert text.count("\n") <= LONGEST
    assert text.startswith(("# cython: ", "# Made by "))
    if path.suffix == ".pyx":
        assert re.search(r"^# Invariant of this file: ", text, re.MULTILINE)
        assert re.search(r'^"""\w', text, re.MULTILINE), "it says what it is for"
    imported = set(imports(text))
    assert {name.partition(".")[0] for name in imported} <= TAKEN_FROM[floor]
    above = FLOORS.index(floor)
    allowed = {room for each in FLOORS[above:] for room in each.split()}
    assert {name.split(".")[1] for name in imported if name.startswith("gslb.")} <= allowed
    if floor == "answer":
        assert "<sys/" not in text
        assert "<netinet/" not in text


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("from libc.stdint cimport uint8_t\nimport os", {"libc.stdint", "os"}),
        ("cimport numpy\nfrom gslb.server._udp cimport *", {"numpy", "gslb.server._udp"}),
        ("def f():\n    from gslb.wire import codes", {"gslb.wire"}),
        ('"""import of nothing"""\nfrom_here = important', set()),
    ],
)
def test_what_the_rule_sees(text: str, names: set[str]) -> None:
    assert set(imports(text)) == names


def test_who_imports_what_is_compiled() -> None:
    imported = {
        path.relative_to(REPO).as_posix(): set(imported_when_run(ast.parse(path.read_text(encoding="utf-8"))))
        for path in (REPO / "gslb").rglob("*.py")
    }
    for prefix, users in USERS.items():
        assert {path for path, names in imported.items() if any(name.startswith(prefix) for name in names)} == users


def imports(text: str) -> Iterator[str]:
    """The modules that a Cython source imports."""
    return (match[1] or match[2] for match in IMPORT.finditer(text))


def imported_when_run(node: ast.AST) -> Iterator[str]:
    """The modules that Python imports, but for those that only type checkers do."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module:
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        yield from imported_when_run(child)
