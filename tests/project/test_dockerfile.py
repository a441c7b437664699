"""The image, without an engine to build it: the Dockerfile's own steps, run in a folder that stands for its root."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from gslbtest import compiler
from gslbtest.asking import addresses, ask
from gslbtest.process import SOON_S, command, free_port, running, wait_for_text

REPO = Path(__file__).parents[2]
INSTRUCTION = re.compile(r"^([A-Z]+)\s+(.*)$")


@dataclass(slots=True)
class Stage:
    """One FROM and what follows it: (instruction, text) in order."""

    base: str
    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        """The texts of one instruction."""
        return [text for each, text in self.steps if each == instruction]


def stages() -> list[Stage]:
    """The Dockerfile, read."""
    text = re.sub(r"\\\n\s*", " ", (REPO / "Dockerfile").read_text(encoding="utf-8"))
    found: list[Stage] = []
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        match = INSTRUCTION.match(line)
        assert match, line
        if match[1] == "FROM":
            base, _, name = match[2].partition(" AS ")
            found.append(Stage(base, name))
        else:
            found[-1].steps.append((match[1], match[2]))
    return found


def test_shape() -> None:
    build, final = stages()
    assert build.base == "python:3.11-bookworm"  # with a compiler, which the slim one lacks
    assert final.base == "python:3.11-slim-bookworm"
    assert final.all("RUN") == []
    assert final.all("USER") == ["65532:65532"]
    assert {"title", "description", "version", "licenses"} == set(
        re.findall(r"opencontainers\.image\.(\w+)=", final.all("LABEL")[0])
    )
    assert f'version="{_version()}"' in final.all("LABEL")[0]
    assert final.all("STOPSIGNAL") == ["SIGTERM"]


@pytest.mark.parametrize("stage", [0, 1], ids=["build", "final"])
def test_exec_form_alone(stage: int) -> None:
    for instruction in ("RUN", "CMD", "ENTRYPOINT"):
        for text in stages()[stage].all(instruction):
            assert isinstance(json.loads(text), list), text
    for text in stages()[stage].all("HEALTHCHECK"):
        assert isinstance(json.loads(text[text.index("CMD") + 3 :]), list)


def test_what_is_copied_is_there_and_reaches_the_build() -> None:
    words = [text.split()[:-1] for text in stages()[0].all("COPY")]
    for name in (name for each in words for name in each):
        assert (REPO / name).exists(), name
        assert not _ignored(name), name


SOAK = pytest.mark.soak


@pytest.fixture(scope="module", params=["this checkout in place of the wheels", pytest.param("all of it", marks=SOAK)])
def image(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """The final stage's root: a folder in which every COPY and RUN of the Dockerfile has been done.

    To make and install the wheels of the first stage takes half a minute; that they work tests of packages prove too.
    """
    folder = tmp_path_factory.mktemp("image")
    root = folder / "root"
    done: dict[str, Path] = {}
    todo = stages()
    if request.param != "all of it":
        done[todo.pop(0).name] = _first_stage(folder / "first")
    for number, stage in enumerate(todo):
        root.mkdir()
        # What is installed runs for seconds here: compiling all of it beforehand takes longer than it saves.
        _build(stage, root, done, {**compiler.quick(folder), "PIP_NO_COMPILE": "1"})
        if number + 1 < len(todo):
            done[stage.name] = root.rename(folder / stage.name)
    return root


def test_it_serves_and_is_healthy_with_all_but_its_state_read_only(image: Path, tmp_path: Path) -> None:
    final = stages()[-1]
    shutil.copytree(REPO / "zones", image / "etc/gslb/zones")
    shutil.copytree(REPO / "data", image / "etc/gslb/data", ignore=shutil.ignore_patterns("__pycache__"))
    before = _files(image)
    port, admin = free_port(), free_port()
    line = [_inside(image, word) for word in json.loads(final.all("ENTRYPOINT")[0]) + json.loads(final.all("CMD")[0])]
    line = [word.replace(":5300", f":{port}") for word in line]
    env = {"PATH": os.environ["PATH"], "GSLB_ADMIN": f"127.0.0.1:{admin}", "GSLB_STATE": str(image / "var/lib/gslb")}
    env |= dict(pair.split("=") for text in final.all("ENV") for pair in text.split())
    check = final.all("HEALTHCHECK")[0]
    probe = [_inside(image, word) for word in json.loads(check[check.index("CMD") + 3 :])]
    log = tmp_path / "serve.log"
    assert subprocess.run(probe, env=env, capture_output=True, timeout=SOON_S, check=False).returncode == 1
    with running(line, log, env=env, cwd=image) as process:
        wait_for_text(process, log, "ready ")
        assert addresses(ask(port, "pull.live.example", subnet="198.51.100.0/28")) == ["203.0.113.10", "203.0.113.11"]
        assert addresses(ask(port, "pull.live.example", subnet="198.51.100.0/28", host="::1"))
        health = subprocess.run(probe, env=env, capture_output=True, text=True, timeout=SOON_S, check=False)
        assert (health.returncode, health.stderr) == (0, "")
        process.send_signal(signal.SIGTERM)
        assert process.wait(SOON_S) == 0
    changed = {name for name in _files(image) ^ before if not name.startswith("var/lib/gslb/")}
    assert changed == set()


def _first_stage(root: Path) -> Path:
    """What it leaves in ``root``, but that its environment has this checkout, and what that needs, where they are."""
    venv = root / "opt/gslb"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True, timeout=SOON_S)
    (site,) = venv.glob("lib/python*/site-packages")
    (site / "here.pth").write_text(f"{REPO}\n{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    script = Path(command("gslb")).read_text(encoding="utf-8").partition("\n")[2]
    (venv / "bin/gslb").write_text(f"#!{venv}/bin/python\n{script}", encoding="utf-8")
    (venv / "bin/gslb").chmod(0o755)
    (root / "var/lib/gslb").mkdir(parents=True)
    return root


def _build(stage: Stage, root: Path, done: dict[str, Path], env: dict[str, str]) -> None:
    here = root
    for instruction, text in stage.steps:
        if instruction == "WORKDIR":
            here = root / text.strip("/")
            here.mkdir(parents=True, exist_ok=True)
        elif instruction == "COPY":
            words = [word for word in text.split() if not word.startswith("--")]
            source = re.search(r"--from=(\w+)", text)
            for word in words[:-1]:
                target = root / words[-1].strip("/") if words[-1].startswith("/") else here / words[-1]
                _copy(done[source[1]] / word.strip("/") if source else REPO / word, target, filtered=source is None)
        elif instruction == "RUN":
            line = [_inside(root, word) for word in json.loads(text)]
            if line[0] == "python":
                line[0] = os.path.realpath(sys.executable)
            result = subprocess.run(
                line, cwd=here, capture_output=True, text=True, timeout=600, check=False, env={**os.environ, **env}
            )
            assert result.returncode == 0, f"{text}\n{result.stdout}{result.stderr}"


def _copy(source: Path, target: Path, *, filtered: bool) -> None:
    if filtered:
        assert not _ignored(source.relative_to(REPO).as_posix()), f"{source} does not reach the build"
    if source.is_file():
        shutil.copy(source, target / source.name if target.is_dir() else target)
    else:
        skip = shutil.ignore_patterns("__pycache__", "*.pyc", "*.so", "*.c") if filtered else None
        shutil.copytree(source, target, symlinks=True, ignore=skip, dirs_exist_ok=True)


def _ignored(name: str) -> bool:
    verdict = False
    for row in (REPO / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if row and not row.startswith("#"):
            pattern = row.removeprefix("!")
            if any(fnmatch.fnmatch(name[:end], pattern) for end in [*_slashes(name), len(name)]):
                verdict = not row.startswith("!")
    return verdict


def _slashes(name: str) -> list[int]:
    return [at for at, letter in enumerate(name) if letter == "/"]


def _inside(root: Path, word: str) -> str:
    """A word of a command with a path of the image made a path below ``root``."""
    return str(root) + word if word.startswith("/") else word


def _files(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*")}


def _version() -> str:
    found = re.search(r'__version__ = "(.+)"', (REPO / "gslb/__init__.py").read_text(encoding="utf-8"))
    assert found
    return found[1]
