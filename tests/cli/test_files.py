"""`check`, `diff` and `locate`: files in, exact lines out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from gslbtest.serving import write_files

from gslb.snapshot import compile as compiling
from gslb.store import files as store_files


def test_nothing_wrong_is_nothing_said(gslb, checkout) -> None:
    assert gslb("check") == (0, "", "")
    assert gslb("check", "zones") == (0, "", "")
    assert gslb("check", checkout) == (0, "", "")  # a folder that holds both
    assert gslb("check", "--json") == (0, '{"errors":[],"warnings":[]}\n', "")


@pytest.mark.parametrize(
    ("changed", "code", "lines"),
    [
        (
            {"zones/live.yaml": ("pool: all", "pool: al")},
            1,
            [
                'zones/live.yaml:7:16: pool: unknown pool "al"; did you mean "all"?',
                'zones/live.yaml:9:3: warning: pool "all": no service uses it',
            ],
        ),
        (
            {"zones/live.yaml": ("192.0.2.53", "192.0.2.530"), "data/isp/ct.csv": ("/25", "/33")},
            1,
            ["data/isp/ct.csv:2:1: ", "zones/live.yaml:5:12: "],
        ),
        (
            {"zones/live.yaml": (", fra: 100}", "}")},
            0,
            ['zones/edges.yaml:8:3: warning: edge "fra" is in no pool'],
        ),
    ],
    ids=["error", "errors of several files", "warning"],
)
def test_check(gslb, files, checkout, changed, code: int, lines: list[str]) -> None:
    write_files(checkout, {name: files[name].replace(*change) for name, change in changed.items()})
    done = gslb("check")
    assert (done.code, done.err) == (code, "")
    found = done.out.splitlines()
    assert len(found) == len(lines), done.out
    for line, expected in zip(found, lines, strict=True):
        assert line.startswith(expected)
    told = json.loads(gslb("check", "--json").out)
    assert [f"{each['path']}:{each['line']}:{each['column']}" for each in told["errors"] + told["warnings"]] == [
        ":".join(line.split(":")[:3]) for line in found
    ]


def test_check_of_other_data(gslb, checkout) -> None:
    write_files(checkout, {"other/isp/x.csv": "prefix,isp\nx,chinanet\n"})
    done = gslb("check", "zones", "--data", "other")
    assert done.code == 1
    assert done.out.startswith("other/isp/x.csv:2:")


def test_check_of_nothing(gslb, checkout) -> None:
    assert gslb("check", "nowhere") == (1, "nowhere:0:0: no such directory\n", "")


def test_schemas_are_written(gslb, checkout, repo: Path) -> None:
    done = gslb("check", "--write-schema", "made/schema")
    names = ("zone", "edges", "isps", "dispatch", "events")
    assert done == (0, "".join(f"made/schema/{name}.json\n" for name in names), "")
    for path in (checkout / "made" / "schema").iterdir():
        assert json.loads(path.read_text())["$schema"].startswith("https://json-schema.org/")


LOCATED = [
    (
        "198.51.100.7",
        [
            "client   198.51.100.7/32",
            "networks CN|SH|, continent AS (198.51.100.0/24 in zones/networks.csv:2)",
            "isp      ||chinanet (198.51.100.0/25 in data/isp/ct.csv:2)",
            "view     CN|SH|chinanet, continent AS",
        ],
    ),
    (
        "198.51.100.200/24",
        [
            "client   198.51.100.0/24",
            "networks CN|SH|, continent AS (198.51.100.0/24 in zones/networks.csv:2)",
            "view     CN|SH|, continent AS",
        ],
    ),
    (
        "2001:db8:1:2::/64",
        [
            "client   2001:db8:1:2::/64",
            "networks DE||, continent EU (2001:db8:1::/48 in zones/networks.csv:4)",
            "view     DE||, continent EU",
        ],
    ),
    ("10.1.2.3", ["client   10.1.2.3/32, in a private block (/8): servers locate its resolver instead", "view     ||"]),
]


@pytest.mark.parametrize(("client", "lines"), LOCATED)
def test_locate(gslb, checkout, client: str, lines: list[str]) -> None:
    assert gslb("locate", client) == (0, "\n".join(lines) + "\n", "")


def test_locate_as_json(gslb, checkout) -> None:
    done = gslb("locate", "198.51.100.7", "--json", "--zones", checkout / "zones", "--data", checkout / "data")
    told = json.loads(done.out)
    assert (told["client"], told["private_length"]) == ("198.51.100.7/32", 0)
    assert [layer["layer"] for layer in told["layers"]] == ["networks", "isp"]
    assert told["view"]["key"] == "CN|SH|chinanet"


def test_locate_in_faulty_files(gslb, files, checkout) -> None:
    """What can be read is shown, and the faults too."""
    write_files(checkout, {"zones/networks.csv": files["zones/networks.csv"] + "203.0.113.0/33,DE,\n"})
    done = gslb("locate", "198.51.100.7")
    assert done.code == 1
    assert "view     CN|SH|chinanet, continent AS\n" in done.out
    assert done.err.startswith("zones/networks.csv:5:1: ")


def test_locate_of_no_address(gslb, checkout) -> None:
    assert gslb("locate", "x") == (1, "", "gslb: 'x' is neither an address nor a prefix\n")


def edited(checkout: Path, files: dict[str, str], **changes: tuple[str, str]) -> Path:
    """Another checkout, with its zone changed."""
    changed = dict(files)
    for old, new in changes.values():
        changed["zones/live.yaml"] = changed["zones/live.yaml"].replace(old, new)
    return write_files(checkout / "new", changed)


MOVES = """\
service pull.live.example. weights: sha: 100 -> sha: 0
service pull.live.example. moves 50.0% of 2.0 known /24s, 30.0% may move
   50.0%  sha -> fra
service pull.live.example. moves 100.0% of 1.0 Mbps demand
  100.0%  sha -> fra
"""


def test_diff(gslb, files, checkout) -> None:
    new = edited(checkout, files, a=("sha: 100", "sha: 0"))
    for old_form, new_form in ((checkout, new), ("zones", new / "zones")):
        assert gslb("diff", old_form, new_form) == (0, MOVES, "")
    told = json.loads(gslb("diff", checkout, new, "--json").out)
    assert [(each["service"], each["fraction"]) for each in told["services"]] == [("pull.live.example.", 0.5)]
    more = "  ns1: {A: 192.0.2.54}\n  www: {A: [192.0.2.1, 192.0.2.2]}"
    new = edited(checkout, files, a=("  ns1: {A: 192.0.2.53}", more))
    assert gslb("diff", checkout, new).out == (
        "record live.example. SOA changed, 1 record\n"
        "record ns1.live.example. A changed, 1 record\n"
        "record www.live.example. A added, 2 records\n"
    )
    assert gslb("diff", checkout, checkout) == (0, "no change\n", "")


def test_diff_takes_the_other_sides_data(gslb, files, checkout, tmp_path) -> None:
    """Zones alone, with no data beside them, are compared on the facts of the other side, or on those named."""
    new = edited(checkout, files, a=("sha: 100", "sha: 0"))
    bare = (new / "zones").rename(tmp_path / "bare")
    assert gslb("diff", "zones", bare) == (0, MOVES, "")
    assert gslb("diff", "zones", bare, "--data", checkout / "data") == (0, MOVES, "")


def test_diff_against_a_catalog_file(gslb, files, checkout) -> None:
    sources = store_files.read_sources(checkout / "zones", checkout / "data")
    arrays = compiling.build(compiling.read(sources.zone_files, sources.tables, sources.databases))
    assert arrays is not None
    catalog = store_files.write_catalog(checkout / "state", sources.generation, arrays)
    assert gslb("diff", catalog, checkout) == (0, "no change\n", "")
    new = edited(checkout, files, a=("sha: 100", "sha: 0"))
    assert gslb("diff", catalog, new) == (0, MOVES, "")
    (checkout / "text").write_text("no catalog")
    done = gslb("diff", "text", "zones")
    assert (done.code, done.out) == (1, "")
    assert (checkout / "text").read_text() == "no catalog"
    assert "text: " in done.err


def test_diff_of_faulty_files(gslb, files, checkout) -> None:
    new = edited(checkout, files, a=("pool: all", "pool: al"))
    done = gslb("diff", checkout, new)
    assert (done.code, done.err) == (1, "")
    assert done.out.startswith(f"{new}/zones/live.yaml:7:16: ")
    assert gslb("diff", "nowhere", "zones") == (1, "", "gslb: nowhere: neither a catalog file nor a folder\n")
