"""Wheel and sdist: they build, hold what they should, and give a working ``gslb`` on every Python that is here."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import pytest
from gslbtest import compiler
from gslbtest.asking import addresses, ask
from gslbtest.process import free_port, running, wait_for_text
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPO = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel and the sdist, built by ``python -m build`` from a copy of the sources.

    With it comes what Cython made of them when the package was installed here: making it anew takes longest.
    """
    folder = tmp_path_factory.mktemp("build")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPO / name, folder)
    shutil.copytree(REPO / "gslb", folder / "gslb", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    line = [
        sys.executable,
        "-m",
        "build",
        "--sdist",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(folder / "dist"),
        str(folder),
    ]
    _run(*line, env=compiler.quick(folder))
    (wheel,), (sdist,) = (folder / "dist").glob("*.whl"), (folder / "dist").glob("*.tar.gz")
    return wheel, sdist


def test_contents(built: tuple[Path, Path]) -> None:
    wheel, sdist = built
    sources = {"gslb/py.typed"}
    for kind in ("py", "pyi", "pyx", "pxd", "lua", "csv"):
        sources |= {path.relative_to(REPO).as_posix() for path in (REPO / "gslb").rglob(f"*.{kind}")}
    compiled = {f"{name.replace('.', '/')}{sysconfig.get_config_var('EXT_SUFFIX')}" for name in compiler.extensions()}
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
        assert {name for name in inside if ".dist-info/" not in name} == sources | compiled
        assert any(name.endswith(".dist-info/licenses/LICENSE") for name in inside)
        metadata = archive.read(next(name for name in inside if name.endswith("/METADATA"))).decode()
    assert "License-Expression: Apache-2.0" in metadata
    assert "Requires-Python: >=3.11" in metadata
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert sources | {"LICENSE", "README.md", "pyproject.toml"} <= inside


SOAK = pytest.mark.soak
THIS = f"{sys.version_info[0]}.{sys.version_info[1]}"


@pytest.mark.parametrize(
    ("version", "compiles"),
    [(THIS, True), (THIS, False), pytest.param("3.12", False, marks=SOAK), pytest.param("3.13", True, marks=SOAK)],
)
def test_installed(built: tuple[Path, Path], tmp_path: Path, version: str, compiles: bool) -> None:
    """On the Python that runs the tests, over those of its packages that are needed: from the wheel and, without a
    compiler, from the sdist. On others from the sdist with all it needs, from nothing.
    """
    python = _python(version)
    _run(python, "-m", "venv", "--without-pip", str(tmp_path / "venv"))
    python = str(tmp_path / "venv/bin/python")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--python", python]
    if version == THIS:
        (site,) = (tmp_path / "venv/lib").glob("python*/site-packages")
        (site / "here.pth").write_text(f"{_needed(tmp_path / 'needed')}\n", encoding="utf-8")
        kept = ["--no-compile", "--no-deps", "--ignore-installed", "--no-build-isolation"]
        env = {} if compiles else {**compiler.NONE, "PYTHONPATH": sysconfig.get_path("purelib")}
        _run(*pip, "install", *kept, str(built[0] if compiles else _translated(built[1], tmp_path)), env=env)
    else:
        env = compiler.quick(tmp_path) if compiles else compiler.NONE
        _run(*pip, "install", "--no-compile", str(built[1]), env=env)
    _run(*pip, "check")
    there = "import importlib.util, sys; print(*(n for n in sys.argv[1:] if importlib.util.find_spec(n)))"
    names = compiler.extensions()
    assert set(_run(python, "-I", "-c", there, *names).split()) == (names if compiles else set())
    gslb = str(tmp_path / "venv/bin/gslb")
    assert _run(gslb, "--version").strip().endswith(_version())
    _run(gslb, "check", str(REPO / "zones"))
    port, admin = free_port(), free_port()
    shutil.copytree(REPO / "zones", tmp_path / "zones")
    shutil.copytree(REPO / "data", tmp_path / "data")
    line = [gslb, "serve", "--zones", "zones", "--data", "data", "--state", "state"]
    line += ["--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}"]
    log = tmp_path / "serve.log"
    with running(line, log, cwd=tmp_path) as process:
        wait_for_text(process, log, "ready ")
        assert addresses(ask(port, "pull.live.example", subnet="198.51.100.16/28")) == ["203.0.113.20"]
        on_reference = "UDP is answered on the reference path" in log.read_text()
        assert on_reference is not compiles


def _needed(folder: Path) -> Path:
    """A folder that holds what ``dependencies`` of pyproject.toml come to, as installed here, and nothing else."""
    folder.mkdir()
    todo, seen = ["gslb"], {"gslb"}
    while todo:
        of = todo.pop()
        found = metadata.distribution(of)
        for requirement in map(Requirement, found.requires or []):
            name = canonicalize_name(requirement.name)
            if name not in seen and (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
                seen.add(name)
                todo.append(name)
        tops = {path.parts[0] for path in found.files or [] if of != "gslb"} - {"..", "__pycache__"}
        for top in tops:
            if not (folder / top).exists():
                (folder / top).symlink_to(Path(str(found.locate_file(top))))
    return folder


def _translated(sdist: Path, folder: Path) -> Path:
    """The sdist, unpacked, with what Cython made of these sources here: making it anew takes longest."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "sdist", filter="data")
    (top,) = (folder / "sdist").iterdir()
    for source in (REPO / "gslb").rglob("*.pyx"):
        made = source.with_suffix(".c")
        shutil.copyfile(made, top / made.relative_to(REPO))
    return top


def _python(version: str) -> str:
    """A Python of this version that works; skips where there is none. A pyenv shim may exist and yet not run."""
    if version == THIS:
        return sys.executable
    name = f"python{version}"
    kept = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    for python in (name, *sorted(map(str, kept.glob(f"{version}.*/bin/{name}")))):
        try:
            subprocess.run([python, "-c", "import ensurepip"], check=True, capture_output=True, timeout=30)
        except (OSError, subprocess.CalledProcessError):
            continue
        return python
    pytest.skip(f"Python version absent: {name}")


def _run(*line: str, env: Mapping[str, str] | None = None) -> str:
    env = {**os.environ, **(env or {})}
    done = subprocess.run(line, capture_output=True, text=True, timeout=600, check=False, env=env)
    assert done.returncode == 0, f"{' '.join(line)}\n{done.stdout}{done.stderr}"
    return done.stdout


def _version() -> str:
    found = re.search(r'__version__ = "(.+)"', (REPO / "gslb/__init__.py").read_text(encoding="utf-8"))
    assert found
    return found[1]
