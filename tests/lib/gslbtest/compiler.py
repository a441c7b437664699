"""The C compiler for tests that build the package: they prove that it builds and works, not how fast it is."""

from __future__ import annotations

import tomllib
from pathlib import Path

from gslbtest.process import program

REPO = Path(__file__).parents[3]


def quick(folder: Path) -> dict[str, str]:
    """The environment of a build that takes half the time: its compiler, made in ``folder``, optimises nothing."""
    compiler = folder / "cc"
    compiler.write_text(f'#!/bin/sh\nexec {program("cc")} "$@" -O0 -g0\n', encoding="utf-8")
    compiler.chmod(0o755)
    return {"CC": str(compiler)}


NONE = {"CC": "false"}
"""The environment of a build on a machine without a compiler."""


def extensions() -> set[str]:
    """The modules that are compiled, by their dotted names."""
    project = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))
    return {module["name"] for module in project["tool"]["setuptools"].get("ext-modules", [])}
