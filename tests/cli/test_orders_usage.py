"""What is wrong with an order as it was typed: told before anybody is asked, all of it at once. Nobody listens here."""

from __future__ import annotations

import getpass
from pathlib import Path

import pytest

from gslb.cli.ordering import Draft, near, view_of

LATE = "2000-01-01T00:00:00Z"
USAGE = [
    # what is typed after gslb; what is said, a line each
    ("drain fra --reason x --for 0", ["--for: it would end as it begins"]),
    ("drain fra --reason x --for x", ["--for: 'x' is not a duration, such as 90s, 10m, 2h or 1h30m"]),
    ("drain fra --reason x --for 91d", ["--for: is more than 90 days after from"]),
    (f"drain fra --reason x --from {LATE}", ["--for: it would have ended already"]),
    ("drain fra --reason x --ramp 2h", ["--ramp: 2h is longer than --for 1h"]),
    (
        "drain fra --reason x --from soon --for 1w --ramp -1s",
        [
            "--from: 'soon' is not a time: now, 14:30 (UTC), +10m or 2026-11-24T14:30:00Z",
            "--for: '1w' is not a duration, such as 90s, 10m, 2h or 1h30m",
            "--ramp: '-1s' is not a duration, such as 90s, 10m, 2h or 1h30m",
        ],
    ),
    ("drain fra --reason", ["--reason: is missing"]),
    (
        "drain a/b --reason x",
        ["EDGE|POP: 'a/b' is not a name: 1 to 63 letters, digits, dots, hyphens and underscores,"],
    ),
    ("drain fra --reason x --id A", ["--id: 'A' is not 1 to 63 of a–z, 0–9, dot, hyphen and underscore,"]),
    ("drain fra --reason x --author a\tb", [r"--author: 'a\tb' is not a text of at most 64 printable characters"]),
    ("drain fra --reason x --view XX", ["--view: 'XX||' is not country|region|isp, such as CN|SH|chinanet,"]),
    ("drain fra --reason x --view /SH", ["--view: '|SH|' is not country|region|isp"]),
    ("drain fra --reason x --view DE/BE/a/b", ["--view: 'DE|BE|a|b' is not country|region|isp"]),
    ("drain fra --reason x --service é", ["--service: 'é' is not the name of a service, such as pull.live.example."]),
    ("drain fra --reason x --edge --pop", ["--edge and --pop: a name is the one or the other"]),
    ("undrain fra --edge --pop", ["--edge and --pop: a name is the one or the other"]),
    (
        "override set ramp fra --reason x --weight 101% --for 0",
        [
            "--weight: '101%' is not a part of its weight from 0% to 100%, such as 30%",
            "--for: it would end as it begins",
        ],
    ),
    *(
        (f"override set ramp fra --reason x --weight {text}", [f"--weight: '{text}' is not a part of its weight"])
        for text in ("30", "-1%", "0.3", "100.1%", "1.25%", "%")
    ),
    ("override set pin a. --reason x --edges a,a", ["--edges: 'a' stands twice in it"]),
    ("override set pin a. --reason x --edges a,", ["--edges: '' is not a name: 1 to 63 letters,"]),
    ("override set pin é --reason x --edges a", ["SERVICE: 'é' is not the name of a service,"]),
    ("override set pin a. --reason x --edges a --for 0 --view X", ["--for: it would end as", "--view: 'X||' is not"]),
    *(
        (f"{verb} --store {url}", [said])
        for verb in ("drain fra --reason x --pop", "undrain fra", "override list", "override cancel a")
        for url, said in [
            ("memory://", "--store: the embedded store is inside of a server; name its port by --admin"),
            ("http://127.0.0.1:8053", "--store: that is an admin port; name it by --admin"),
            ("x", "--store: the URL of a store is memory://, redis://…, rediss://… or redis+sentinel://…"),
            ("redis://h:0 --admin 127.0.0.1:1", "--store and --admin: an order goes to the one or to the other"),
        ]
    ),
    (
        "drain fra --reason x --store redis://127.0.0.1:1",
        ["only a server knows whether 'fra' is an edge or a PoP; say --edge or --pop"],
    ),
    ("override list --admin x", ["--admin: 'x' is not ADDRESS:PORT"]),
]


@pytest.fixture(autouse=True)
def _who(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("USER", "nora")
    monkeypatch.setenv("GSLB_ADMIN_TOKEN", "x")


@pytest.mark.parametrize(("typed", "said"), USAGE, ids=[row[0] for row in USAGE])
def test_usage(gslb, typed: str, said: list[str]) -> None:
    arguments = typed.split(" ")
    if typed.endswith("--reason"):
        arguments.append("")
    done = gslb(*arguments)
    lines = done.err.splitlines()
    assert (done.code, done.out, len(lines)) == (2, "", len(said)), done.err
    assert [line for line, begin in zip(lines, said, strict=True) if not line.startswith(f"gslb: {begin}")] == []


@pytest.mark.parametrize(
    "typed",
    [
        "drain fra",
        "drain --reason x",
        "undrain",
        "override set ramp fra --reason x",
        "override set ramp fra --weight 30%",
        "override set pin a. --reason x",
        "override set pin --edges a --reason x",
        "override cancel",
        "override show",
    ],
)
def test_what_must_be_said(gslb, typed: str) -> None:
    done = gslb(*typed.split())
    assert (done.code, done.out) == (2, "")
    assert "Missing" in done.err


@pytest.mark.parametrize("typed", ["override", "override set"])
def test_groups_show_their_help(gslb, typed: str) -> None:
    done = gslb(*typed.split())
    assert done.code == 2
    assert "Usage: gslb override" in done.out + done.err


def test_nobody_has_a_name(gslb, monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("uid not found: 65532")

    monkeypatch.delenv("USER")
    monkeypatch.setattr(getpass, "getuser", nameless)
    assert gslb("drain", "fra", "--reason", "x") == (
        2,
        "",
        "gslb: --author: this user has no name; say who orders it\n",
    )


@pytest.mark.parametrize(
    ("typed", "view"),
    [
        ("", ""),
        ("CN", "CN||"),
        ("CN/SH", "CN|SH|"),
        ("CN/SH/chinanet", "CN|SH|chinanet"),
        ("CN|SH|", "CN|SH|"),
        ("//AS4134", "||AS4134"),
    ],
)
def test_views(typed: str, view: str) -> None:
    assert view_of(typed) == view


@pytest.mark.parametrize(("name", "said"), [("fra-l", '; did you mean "fra-1"?'), ("x", "")])
def test_near(name: str, said: str) -> None:
    assert near(name, ["fra-1", "sha-1"]) == said


IDS = [
    # kind, target, ids taken, the id that is made up
    ("drain", {"pop": "fra"}, [], "drain-fra"),
    ("drain", {"pop": "fra"}, ["drain-fra"], "drain-fra-2"),
    ("drain", {"pop": "fra"}, ["drain-fra", "drain-fra-2"], "drain-fra-3"),
    ("ramp", {"edge": "FRA_1", "view": "DE||"}, [], "ramp-fra_1-de"),
    ("pin", {"service": "*.pull.live.example.", "view": "||AS1"}, [], "pin-pull.live.example-as1"),
    ("drain", {"edge": "a" * 63}, [], "drain-" + "a" * 57),
    ("drain", {"edge": "a" * 63}, ["drain-" + "a" * 57], "drain-" + "a" * 55 + "-2"),
]


@pytest.mark.parametrize(("kind", "target", "taken", "made"), IDS)
def test_ids(kind: str, target: dict[str, str], taken: list[str], made: str) -> None:
    assert Draft(kind, target, "now", "1h", "0s", "me", "x").free_id(taken) == made
