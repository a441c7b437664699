"""The command as a whole: help, usage, exit codes, and how little it loads."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from gslbtest.process import SOON_S, command

from gslb import __version__

VERBS = [
    "serve", "check", "diff", "locate", "apply", "explain", "status", "push", "agent", "drain", "undrain", "override",
]  # fmt: skip
WHERE = "admin state config json"


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_help(gslb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    done = gslb("--help")
    assert done.code == 0
    for verb in VERBS:
        assert re.search(rf"^\W+{verb} +\w", plain(done.out), re.MULTILINE), verb
    assert "Exit codes: 0 ok" in done.out


@pytest.mark.parametrize(
    ("verb", "options"),
    [
        (
            "serve",
            "zones data state listen admin store workers server-id debug-acl cookie-secret-file query-log-dir config",
        ),
        ("log tail", "log follow service edge view client resolver rcode qtype server plan json"),
        ("log query", "log from to service edge view client resolver rcode qtype server plan json"),
        ("check", "data json write-schema"),
        ("diff", "data json"),
        ("locate", "zones data json"),
        ("apply", "force admin state config json"),
        ("explain", f"subnet type at {WHERE}"),
        ("status", f"live ready watch interval frames {WHERE}"),
        ("push", f"health health4 health6 load capacity sessions valid-for store {WHERE}"),
        ("drain", f"reason from for ramp service view author id edge pop force store {WHERE}"),
        ("undrain", f"edge pop store {WHERE}"),
        ("override list", f"all store {WHERE}"),
        ("override show", f"store {WHERE}"),
        ("override cancel", f"store {WHERE}"),
        ("override set ramp", f"weight reason from for ramp service view author id edge pop force store {WHERE}"),
        ("override set pin", f"edges reason from for view author id force store {WHERE}"),
    ],
)
def test_help_of_verbs(gslb, monkeypatch: pytest.MonkeyPatch, verb: str, options: str) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    done = gslb(*verb.split(), "-h")
    found = set(re.findall(r"^\W+--([a-z][a-z0-9-]+)", plain(done.out), re.MULTILINE)) - {"help"}
    assert (done.code, found) == (0, set(options.split()))


def test_version(gslb) -> None:
    assert gslb("--version") == (0, f"gslb {__version__}\n", "")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["serve", "--nonsense"],
        ["serve", "--workers", "x"],
        ["diff", "one"],
        ["explain", "a", "--type", "MX"],
    ],
)
def test_usage(gslb, arguments: list[str]) -> None:
    done = gslb(*arguments)
    assert done.code == 2


@pytest.mark.parametrize(
    ("arguments", "code", "err"),
    [
        (["--workers", "0"], 2, "gslb: --workers: input should be greater than or equal to 1\n"),
        (
            ["--listen", "here", "--store", "x"],
            2,
            "gslb: --listen: 'here' is not ADDRESS:PORT, such as 192.0.2.1:53 or [2001:db8::1]:53\n"
            "gslb: --store: the URL of a store is memory://, redis://…, rediss://… or redis+sentinel://…\n",
        ),
        (["--config", "settings.toml"], 78, "settings.toml:1:1: unknown setting 'workrs'; did you mean 'workers'?\n"),
        (["--config", "nowhere.toml"], 78, "nowhere.toml:0:0: No such file or directory\n"),
    ],
)
def test_settings_that_cannot_be_used(gslb, checkout: Path, arguments: list[str], code: int, err: str) -> None:
    (checkout / "settings.toml").write_text("workrs = 2\n")
    done = gslb("serve", *arguments)
    assert done.code == code
    assert sorted(done.err.splitlines()) == sorted(err.splitlines())


def test_help_loads_little() -> None:
    """What is heavy is loaded by the verb that needs it: help must come at once."""
    heavy = {
        "numpy", "pydantic", "fastapi", "uvicorn", "uvloop", "structlog", "msgspec", "dnslib", "dns", "yaml", "redis",
        "aiohttp", "asyncio",
    }  # fmt: skip
    code = (
        "import sys; sys.argv = ['gslb', '--help']\n"
        "from gslb.cli import main\n"
        "try: main()\n"
        f"except SystemExit: print(sorted({heavy} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=SOON_S, check=True)
    assert done.stderr == "[]\n"


def test_the_reader_goes_away(checkout: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as pipe:
        done = subprocess.run(
            [command("gslb"), "locate", "198.51.100.7"],
            stdout=pipe,
            stderr=subprocess.PIPE,
            timeout=SOON_S,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, b"")


def test_a_terminal_that_knows_few_letters(checkout: Path) -> None:
    (checkout / "zones" / "live.yaml").write_text("zone: ü.example.\n")
    done = subprocess.run(
        [command("gslb"), "check"],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        timeout=SOON_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert "?.example" in done.stdout


def test_python_m(checkout: Path) -> None:
    line = [sys.executable, "-m", "gslb", "--version"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=SOON_S, check=False)
    assert (done.returncode, done.stdout) == (0, f"gslb {__version__}\n")
