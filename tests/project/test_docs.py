"""Every command shown in README.md and docs/ is run, and what it prints is what the page shows.

`make transcripts` writes the outputs anew, for a person to read the difference.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import pytest
from gslbtest.checkout import Step, checkout, steps
from gslbtest.process import SOON_S, free_port, running, wait_for_tcp, wait_for_text

REPO = Path(__file__).parents[2]
REWRITE = "GSLB_WRITE_TRANSCRIPTS"
PAGES = [REPO / "README.md", *sorted((REPO / "docs").glob("*.md"))]
SLOW = {"simulation.md"}
"""Pages whose commands take ten seconds and more, for `make soak`; tests of the same verbs hold them to less."""
LOOKS = re.compile(r"(?P<wait>(?:sleep \d+; )?)(?=(?:dig|gslb (?:status|explain|override list|log))\b)")
"""Commands that change nothing, and the wait before them."""
VOLATILE = [
    # what differs from run to run, and what stands for it on both sides
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?", "<time>"),
    (r"\b[0-9a-f]{16}(?:[0-9a-f]{48})?\b", "<hash>"),
    (r"\bpid[ =:]+\d+", "pid <n>"),
    (r"\b1[7-9]\d{11}\b", "<ms>"),
    (r"\b\d+(?:\.\d+)? m?s\b", "<duration>"),
    (r"[ \t]+", " "),
    (r" +\n", "\n"),
]


def marked(page: Path) -> Any:
    return pytest.param(page, marks=[pytest.mark.soak] if page.name in SLOW else [])


@pytest.mark.parametrize("page", [*map(marked, PAGES)], ids=lambda path: path.name)
def test_a_page(page: Path, tmp_path: Path) -> None:
    found = [step for step in steps(page.read_text(encoding="utf-8")) if not step.skipped]
    with _Reader(checkout(tmp_path / "gslb")) as reader:
        pairs = [(step, reader.run(step)) for step in found]
    if os.environ.get(REWRITE):
        _write(page, pairs)
        return
    wrong = [
        f"{page.name}:{step.line}: $ {step.command}\nshown:\n{step.shown}printed:\n{printed}"
        for step, printed in pairs
        if not _same(step, printed)
    ]
    assert wrong == [], "\n".join(wrong)


def test_the_readme_has_the_two_commands() -> None:
    commands = [step.command for step in steps((REPO / "README.md").read_text(encoding="utf-8"))]
    assert {"make run", "make test"} <= set(commands)


NUMBER = re.compile(r"\d+(?:\.\d+)?")
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", [*PAGES, *sorted((REPO / "docs/adr").glob("*.md"))], ids=lambda path: path.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert [target for target in LINK.findall(text) if not (page.parent / target).exists()] == []


ROWS = [
    ("```console\n$ a\nx\ny\n```", [Step("a", "x\ny\n", 2, "")]),
    ("```console\n$ a \\\n> b\nx\n$ c\n```", [Step("a \\\nb", "x\n", 2, ""), Step("c", "", 5, "")]),
    ("<!-- not run: needs root -->\n```console\n$ a\n```", [Step("a", "", 3, "needs root")]),
    ("<!-- about: floats -->\n```console\n$ a\nx 1\n```", [Step("a", "x 1\n", 3, "", about=True)]),
    ("```yaml\n$ a\n```\n$ b", []),
]


@pytest.mark.parametrize(("text", "wanted"), ROWS)
def test_steps(text: str, wanted: list[Step]) -> None:
    assert steps(text) == wanted


ABOUT = [
    # shown, printed, nearly the same
    ("a 10 %\nb 0.00", "a 10.4 %\nb 0.1", True),
    ("a 10 %", "a 20 %", False),
    ("a 10 %", "b 10 %", False),
    ("a 10", "a 10 10", False),
]


@pytest.mark.parametrize(("shown", "printed", "wanted"), ABOUT)
def test_nearly_the_same(shown: str, printed: str, *, wanted: bool) -> None:
    assert _same(Step("a", shown, 1, "", about=True), printed) == wanted
    assert not _same(Step("a", shown, 1, ""), printed)


class _Reader:
    """Somebody who types the commands one after another in a folder of their own.

    ``make run`` and ``redis-server`` are left running until the page ends. The ports of the pages are free ones here.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {shown: str(free_port()) for shown in ("5300", "6379", "8053")}
        self.running = contextlib.ExitStack()
        self.patient = not os.environ.get(REWRITE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.running.close()

    def run(self, step: Step) -> str:
        command = self._ported(step.command, self.ports)
        back = {here: there for there, here in self.ports.items()}
        if step.command.endswith("make run"):
            return self._ported(self._serve(shlex.split(step.command)[:-2]), back)
        if step.command.startswith("redis-server "):
            return self._redis(shlex.split(command))
        looks = LOOKS.match(command)
        if looks is None or not self.patient:
            return self._ported(self._typed(command), back)
        # A person waits a moment and looks; here it is looked again until it is so: sooner, or later on a busy machine.
        until = time.monotonic() + SOON_S
        while self.patient:
            printed = self._ported(self._typed(command[looks.end("wait") :]), back)
            if _same(step, printed):
                break
            self.patient = time.monotonic() < until
            time.sleep(0.1)
        return printed

    def _typed(self, command: str) -> str:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self._env(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SOON_S,
            check=False,
        )
        return done.stdout

    def _serve(self, settings: list[str]) -> str:
        log = self.folder.parent / "run.log"
        line = ["env", *settings, "make", "run", f"PORT={self.ports['5300']}", f"ADMIN=127.0.0.1:{self.ports['8053']}"]
        process = self.running.enter_context(running(line, log, cwd=self.folder, env=self._env()))
        said = wait_for_text(process, log, "ready ")
        return "".join(row + "\n" for row in said.splitlines() if not row.startswith("{"))

    def _redis(self, line: list[str]) -> str:
        log = self.folder.parent / "redis.log"
        process = self.running.enter_context(running(line, log, cwd=self.folder))
        wait_for_tcp(process, log, int(self.ports["6379"]))
        return ""

    def _env(self) -> dict[str, str]:
        bin_folder = str(Path(sys.executable).parent)
        return {
            **os.environ,
            "PATH": f"{bin_folder}:{os.environ['PATH']}",
            "GSLB_ADMIN": f"127.0.0.1:{self.ports['8053']}",
            "GSLB_STATE": ".state",
            "COLUMNS": "120",
            "TERM": "dumb",
            "LANG": "C.UTF-8",
        }

    @staticmethod
    def _ported(text: str, ports: dict[str, str]) -> str:
        return re.sub(rf"\b(?:{'|'.join(ports)})\b", lambda found: ports[found[0]], text)


def _write(page: Path, pairs: list[tuple[Step, str]]) -> None:
    """Put what was printed in place of what is shown, from the last command to the first."""
    rows = page.read_text(encoding="utf-8").splitlines()
    for step, printed in reversed(pairs):
        begin = step.line + step.command.count("\n")
        rows[begin : begin + len(step.shown.splitlines())] = [row.rstrip() for row in printed.splitlines()]
    page.write_text("\n".join(rows) + "\n", encoding="utf-8")


def _same(step: Step, printed: str) -> bool:
    shown, printed = _settled(step.shown), _settled(printed)
    if not step.about:
        return shown == printed
    if NUMBER.sub("#", shown) != NUMBER.sub("#", printed):
        return False
    pairs = zip(NUMBER.findall(shown), NUMBER.findall(printed), strict=True)
    return all(abs(float(one) - float(other)) <= max(0.5, abs(float(one)) / 10) for one, other in pairs)


def _settled(text: str) -> str:
    for pattern, stand_in in VOLATILE:
        text = re.sub(pattern, stand_in, text)
    return text.strip()
