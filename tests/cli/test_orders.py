"""`drain`, `undrain` and `override` at a real server, and straight into a real Redis."""

from __future__ import annotations

import dataclasses
import http.server
import json
import re
import shlex
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from gslbtest.process import SOON_S, free_port
from gslbtest.serving import Server, serving
from gslbtest.stores import RedisServer

from gslb.health.override import mapping
from gslb.model.override import KIND_DRAIN, Override, Target

EDGES = {"ber-1": "ber", "ber-2": "ber", "ams-1": "ams", "ams-2": "ams", "solo": "solo"}
ZONES = {
    "edges.yaml": "edges:\n"
    + "".join(
        f"  {edge}:\n    pop: {pop}\n    addresses: {{v4: [203.0.113.{host}]}}\n"
        "    location: {country: DE, region: BE, lat: 52.5, lon: 13.4}\n    capacity: 10Gbps\n"
        for host, (edge, pop) in enumerate(EDGES.items(), 1)
    ),
    "networks.csv": "prefix,country,region\n198.51.100.0/24,DE,BE\n",
    "live.yaml": (
        "zone: live.example.\nsoa: {mname: ns1, rname: hostmaster}\n"
        'records:\n  "@": {NS: [ns1]}\n  ns1: {A: 192.0.2.53}\n'
        "services:\n  pull: {pool: all, affinity: [any]}\n  only: {pool: berlin, affinity: [country, any]}\n"
        f"pools:\n  all: {{{', '.join(f'{edge}: 100' for edge in EDGES)}}}\n  berlin: {{ber-1: 100, ber-2: 100}}\n"
    ),
}
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
Typed = Callable[..., tuple[int, list[str], list[str]]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("orders"), zones=ZONES) as found:
        yield found


@pytest.fixture
def typed(gslb, server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Typed]:
    """Types a command to the server: its exit code and lines, with T for every time. All is called off afterwards."""
    monkeypatch.setenv("USER", "nora")
    monkeypatch.setenv("GSLB_ADMIN", f"127.0.0.1:{server.admin}")
    monkeypatch.setenv("GSLB_STATE", str(server.state))

    def run(line: str) -> tuple[int, list[str], list[str]]:
        done = gslb(*shlex.split(line))
        return done.code, re.sub(TIME, "T", done.out).splitlines(), done.err.splitlines()

    yield run
    left = [each["id"] for each in json.loads(gslb("override", "list", "--json").out)]
    if left:
        assert gslb("override", "cancel", *left).code == 0


ORDERED = [
    (
        "drain ber-1 --reason switches",
        ["drain-ber-1: drain edge ber-1", "from    T", "until   T, for 1h", "by      nora: switches"],
        "`gslb undrain ber-1` ends it sooner",
    ),
    (
        "drain ams --for 2h --ramp 10m --from +1h --reason 'new switches' --author ops --id cables",
        ["cables: drain PoP ams over 10m", "from    T, in 1h", "until   T, for 2h", "by      ops: new switches"],
        "`gslb undrain ams` ends it sooner",
    ),
    (
        "drain ber --reason x --force --service only.live.example --view de/be",
        [
            "drain-ber-only.live.example-de-be: drain PoP ber in only.live.example. for DE|BE|",
            "from    T",
            "until   T, for 1h",
            "by      nora: x",
        ],
        "`gslb undrain ber` ends it sooner",
    ),
    (
        "override set ramp ams-1 --weight 12.5% --ramp 90s --for 1d --reason canary",
        ["ramp-ams-1: ramp edge ams-1 to 12.5% over 1m30s", "from    T", "until   T, for 1d", "by      nora: canary"],
        "`gslb override cancel ramp-ams-1` ends it sooner",
    ),
    (
        "override set pin only.live.example. --edges ber-2,ber-1 --view DE --reason 'a match'",
        [
            "pin-only.live.example-de: pin only.live.example. to ber-2 ber-1 for DE||",
            "from    T",
            "until   T, for 1h",
            "by      nora: a match",
        ],
        "`gslb override cancel pin-only.live.example-de` ends it sooner",
    ),
    (
        "drain solo --pop --reason x",
        ["drain-solo: drain PoP solo", "from    T", "until   T, for 1h", "by      nora: x"],
        "`gslb undrain solo` ends it sooner",
    ),
    (
        "drain solo --edge --reason x --id alone",
        ["alone: drain edge solo", "from    T", "until   T, for 1h", "by      nora: x"],
        "`gslb undrain solo` ends it sooner",
    ),
]


@pytest.mark.parametrize(("line", "said", "sooner"), ORDERED, ids=[row[0] for row in ORDERED])
def test_orders(typed: Typed, line: str, said: list[str], sooner: str) -> None:
    assert typed(line) == (0, [*said, sooner], [])
    # What undoes it is what it says.
    code, undone, _ = typed(sooner.split("`")[1].removeprefix("gslb "))
    what = said[0].partition(": ")
    assert (code, undone[0].partition(", ")[0::2]) == (0, (f"{what[0]}: ended", f"{what[2]}, by {said[3][8:]}"))
    assert typed("override list") == (0, ["no overrides"], [])


def test_an_order_that_cuts_a_class(typed: Typed) -> None:
    """Viewers that a service treats alike cannot be parted by an order for some of them, unless a person insists."""
    line = "override set pin pull.live.example. --edges ams-1 --view DE --reason x"
    code, out, err = typed(line)
    assert (code, out, err[-1]) == (1, [], "gslb: nothing was changed; --force orders it all the same")
    assert err[0].startswith("gslb: pull.live.example. ")
    assert typed(f"{line} --force")[0] == 0


def test_an_order_in_place_of_another(typed: Typed) -> None:
    assert typed("drain ams-1 --reason x")[0] == 0
    code, lines, _ = typed("drain ams-1 --id drain-ams-1 --for 3h --reason longer")
    assert (code, lines[0], lines[-2:]) == (
        0,
        "drain-ams-1: drain edge ams-1",
        ["instead of drain edge ams-1, until T", "`gslb undrain ams-1` ends it sooner"],
    )
    assert len(typed("override list")[1]) == 2


REFUSED = [
    ("drain bre-1 --reason x", ["gslb: 'bre-1' is neither an edge nor a PoP; did you mean \"ber-1\"?"]),
    ("drain nowhere --reason x", ["gslb: 'nowhere' is neither an edge nor a PoP"]),
    ("drain ber --edge --reason x", ["gslb: 'ber' is no edge"]),
    ("drain ber-1 --pop --reason x", ["gslb: 'ber-1' is no PoP; did you mean \"ber\"?"]),
    (
        "drain ber --reason x",
        [
            "gslb: only.live.example. would have no healthy IPv4 edge",
            "gslb: nothing was changed; --force orders it all the same",
        ],
    ),
    ("drain ams --service pul.live.example --reason x", ["gslb: --service: 'pul.live.example.' is no service"]),
    ("drain ams-1 --service only.live.example --reason x", ["gslb: EDGE|POP: 'ams-1' is not in the pool of only"]),
    ("drain ams --view FR --reason x", ["gslb: --view: 'FR||': no client is known to be there"]),
    ("override set ramp nowhere --weight 0% --reason x", ["gslb: 'nowhere' is neither an edge nor a PoP"]),
    (
        "override set pin none.live.example. --edges ber-9,ber-1 --reason x",
        ["gslb: SERVICE: 'none.live.example.' is no service", "gslb: --edges: edge 'ber-9' is not in the inventory"],
    ),
    (
        "override set pin only.live.example. --edges ams-1 --reason x",
        ["gslb: --edges: edge 'ams-1' is not in the pool"],
    ),
    ("undrain bre-1", ["gslb: 'bre-1' is neither an edge nor a PoP; did you mean \"ber-1\"?"]),
    ("undrain ber", ["gslb: nothing drains 'ber'"]),
    ("override cancel no neither no", ["gslb: no override 'no' is kept", "gslb: no override 'neither' is kept"]),
    ("override show no", ["gslb: no override 'no' is kept"]),
]


@pytest.mark.parametrize(("line", "said"), REFUSED, ids=[row[0] for row in REFUSED])
def test_refusals(typed: Typed, line: str, said: list[str]) -> None:
    code, out, err = typed(line)
    assert (code, out, len(err)) == (1, [], len(said)), err
    assert [told for told, begin in zip(err, said, strict=True) if not told.startswith(begin)] == []
    assert typed("override list") == (0, ["no overrides"], [])


AMBIGUOUS = "gslb: 'solo' is an edge and a PoP; say --edge or --pop"


@pytest.mark.parametrize("line", ["drain solo --reason x", "override set ramp solo --weight 1% --reason x"])
def test_a_name_that_means_two_things(typed: Typed, line: str) -> None:
    assert typed(line) == (2, [], [AMBIGUOUS])


def test_a_refusal_as_data(typed: Typed) -> None:
    code, out, err = typed("drain ber --reason x --json")
    told = json.loads(out[0])
    assert (code, set(told), len(err)) == (1, {"detail", "emptied", "cut"}, 2)
    assert told["emptied"][0].startswith("only.live.example. would have no healthy IPv4 edge")
    told = json.loads(typed("drain ams --service a.b. --reason x --json")[1][0])
    assert told["faults"] == [{"key": "target.service", "reason": "'a.b.' is no service"}]


def test_undrain_ends_what_targets_exactly_this(typed: Typed) -> None:
    orders = ("drain ams", "drain ams --from +1h", "drain ams-1", "override set ramp ams --weight 90%")
    for number, line in enumerate(orders, 1):
        assert typed(f"{line} --reason x --id u{number}")[0] == 0
    assert typed("undrain ams-2") == (
        1,
        [],
        [
            "gslb: nothing drains 'ams-2'; did you mean \"ams-1\"?",
            "gslb: u1 still says: drain PoP ams",
            "gslb: u2 still says: drain PoP ams",
        ],
    )
    assert typed("undrain ams") == (
        0,
        ["u1: ended, drain PoP ams, by nora: x", "u2: ended, drain PoP ams, by nora: x"],
        ["gslb: u3 still says: drain edge ams-1"],
    )
    assert typed("undrain ams")[0] == 1
    left = [row.split()[0] for row in typed("override list")[1][1:]]
    assert left == ["u3", "u4"]


def test_undrain_of_a_name_that_means_two_things(typed: Typed) -> None:
    for flag in ("edge", "pop"):
        assert typed(f"drain solo --{flag} --reason x --id as-{flag}")[0] == 0
    assert typed("undrain solo") == (
        2,
        [],
        ["gslb: 'solo' is drained as an edge and as a PoP; say --edge or --pop"],
    )
    code, lines, _ = typed("undrain solo --pop --json")
    (told,) = json.loads(lines[0])
    assert (code, told["id"], told["target"], told["state"]) == (0, "as-pop", {"pop": "solo"}, "ended")
    assert typed("undrain solo")[:2] == (0, ["as-edge: ended, drain edge solo, by nora: x"])


def test_list_show_and_cancel(typed: Typed) -> None:
    assert typed("drain ams-1 --reason 'new switches' --id a")[0] == 0
    assert typed("drain ber-1 --from +1h --for 10m --reason later --id z")[0] == 0
    code, lines, _ = typed("override list")
    assert (code, [re.sub(" +", " ", row) for row in lines]) == (
        0,
        [
            "ID STATE FROM UNTIL WHAT BY REASON",
            "a active T T drain edge ams-1 nora new switches",
            "z scheduled T T drain edge ber-1 nora later",
        ],
    )
    told = json.loads(typed("override list --json")[1][0])
    assert [(each["id"], each["state"], each["target"]) for each in told] == [
        ("a", "active", {"edge": "ams-1"}),
        ("z", "scheduled", {"edge": "ber-1"}),
    ]
    assert typed("override show z") == (
        0,
        [
            "id      z",
            "what    drain edge ber-1",
            "state   scheduled",
            "from    T",
            "until   T",
            "author  nora",
            "reason  later",
        ],
        [],
    )
    assert json.loads(typed("override show z --json")[1][0])["reason"] == "later"
    assert typed("override cancel z") == (0, ["z: ended, drain edge ber-1, by nora: later"], [])
    assert typed("override cancel z a") == (
        0,
        ["z: had ended before", "a: ended, drain edge ams-1, by nora: new switches"],
        [],
    )
    assert typed("override list") == (0, ["no overrides"], [])
    ended = json.loads(typed("override list --all --json")[1][0])
    assert {"z", "a"} <= {each["id"] for each in ended}
    assert {each["state"] for each in ended} == {"ended"}
    told = json.loads(typed("override cancel z --json")[1][0])
    assert [(each["id"], each["state"]) for each in told] == [("z", "ended")]


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as found:
        yield found


UNCHECKED = "gslb: written to the store as it stands: no server has checked that each service keeps a healthy edge"


def test_straight_into_a_store(typed: Typed, redis: RedisServer) -> None:
    """For when no server is at hand."""
    store = f"--store {redis.url}"
    code, lines, err = typed(f"drain ber --pop --reason x {store}")
    assert (code, lines[0], err) == (0, "drain-ber: drain PoP ber", [UNCHECKED])
    assert typed(f"drain ber --reason x {store}") == (
        2,
        [],
        ["gslb: only a server knows whether 'ber' is an edge or a PoP; say --edge or --pop"],
    )
    code, lines, err = typed(f"override set pin a.b. --edges q --reason x --json {store}")
    assert (code, json.loads(lines[0])["value"], err) == (0, ["q"], [UNCHECKED])
    assert [row.split()[0] for row in typed(f"override list {store}")[1][1:]] == ["drain-ber", "pin-a.b"]
    assert typed(f"undrain bar {store}") == (1, [], ["gslb: nothing drains 'bar'; did you mean \"ber\"?"])
    assert typed(f"undrain ber {store}") == (0, ["drain-ber: ended, drain PoP ber, by nora: x"], [])
    assert typed(f"override cancel pin-a.b {store}")[0] == 0
    assert typed(f"override list {store}") == (0, ["no overrides"], [])


def test_the_store_is_away_from_its_server(gslb, tmp_path: Path, redis: RedisServer, monkeypatch) -> None:
    monkeypatch.setenv("USER", "nora")
    with serving(tmp_path / "server", zones=ZONES, arguments=["--store", redis.url]) as server:
        where = ["--admin", f"127.0.0.1:{server.admin}", "--state", server.state]
        assert gslb("drain", "ams", "--reason", "x", *where).code == 0
        until = time.monotonic() + SOON_S
        while json.loads(gslb("status", "--json", *where).out)["live"]["overrides"] != 1:
            assert time.monotonic() < until, "the server acts upon it"
        redis.kill()
        done = gslb("override", "list", *where)
        assert (done.code, done.err) == (
            0,
            "gslb: the store is away; these are the overrides that the server acts upon\n",
        )
        assert "drain-ams " in done.out
        for verb in (["drain", "ber-1", "--reason", "x"], ["undrain", "ams"]):
            done = gslb(*verb, *where)
            assert (done.code, done.out) == (1, "")
            assert done.err.startswith("gslb: "), done.err


class Other(http.server.BaseHTTPRequestHandler):
    """A server of another kind, or one that fails half-way: what it replies to each path, 500 for all else."""

    replies: ClassVar[dict[str, bytes]] = {}

    def do_GET(self) -> None:
        body = self.replies.get(self.path)
        self.send_response(500 if body is None else 200)
        self.end_headers()
        self.wfile.write(body or b"oops")

    def do_DELETE(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


def test_another_server_is_there(gslb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GSLB_ADMIN_TOKEN", "x")
    order = Override("a", KIND_DRAIN, Target(edge="a"), 100, 200, author="me", reason="x")
    other = dataclasses.replace(order, id="b")
    kept = {"clock_ms": 150_000, "connected": True, "overrides": [mapping(order), mapping(other)]}
    with http.server.HTTPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        place = f"127.0.0.1:{server.server_port}"
        try:
            for body, said in [(b"<p>", "not a list of edges"), (b'{"edges": [1]}', "not a list of edges")]:
                Other.replies = {"/v1/edges": body}
                done = gslb("drain", "a", "--reason", "x", "--admin", place)
                assert done == (1, "", f"gslb: the server on {place} gives what cannot be read: {said}\n")
            Other.replies = {"/v1/overrides": b"<p>"}
            done = gslb("override", "list", "--admin", place)
            assert done == (1, "", f"gslb: the server on {place} gives what cannot be read: not a list of overrides\n")
            Other.replies = {}
            assert gslb("override", "list", "--admin", place) == (1, "", "gslb: oops\n")
            # What was ended is said, though not all could be.
            ended = json.dumps(mapping(dataclasses.replace(order, until_s=150))).encode()
            Other.replies = {"/v1/overrides": json.dumps(kept).encode(), "/v1/overrides/a": ended}
            done = gslb("override", "cancel", "a", "b", "--admin", place)
            assert done == (1, "a: ended, drain edge a, by me: x\n", "gslb: oops\n")
        finally:
            server.shutdown()


@pytest.mark.parametrize("verb", ["drain a --pop --reason x", "undrain a", "override list"])
@pytest.mark.parametrize("where", ["--admin 127.0.0.1:{}", "--store redis://127.0.0.1:{}"])
def test_nobody_there(gslb, monkeypatch: pytest.MonkeyPatch, verb: str, where: str) -> None:
    monkeypatch.setenv("GSLB_ADMIN_TOKEN", "x")
    port = free_port()
    done = gslb(*verb.split(), *where.format(port).split())
    assert (done.code, done.out) == (1, "")
    assert f"127.0.0.1:{port}" in done.err
