"""The agent's file: what is made of it, and each fault of it with its place and words."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from gslb.agent.config import Config, Probe, Source, Target, load
from gslb.agent.fields import Place
from gslb.errors import ConfigErrors, UsageError

BASE = "edge: fra-1\nstore: redis://127.0.0.1\n"
V4, V6 = socket.AF_INET, socket.AF_INET6
NOT_A_NAME = "is not a name: 1 to 63 letters, digits, dots, hyphens and underscores, beginning with a letter or digit"
NOT_A_SPAN = "is not a span of time: a number with ms, s, m or h, such as 200ms or 5s"
NOT_A_URL = "is not a URL such as http://127.0.0.1:8080/health"
NOT_A_PLACE = "is not HOST:PORT, such as 127.0.0.1:1935 or [::1]:1935"
NEEDS_FAMILY = "is a name; say whose addresses are meant by family: 4, 6 or both"


def read(tmp_path: Path, text: str, edge: str | None = None, store: str | None = None, **environ: str) -> Config:
    path = tmp_path / "agent.yaml"
    path.write_text(text)
    return load(path, edge, store, environ)


def test_everything(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    config = read(
        tmp_path,
        f"""
edge: fra-1
store: http://127.0.0.1:8053
token_file: {tmp_path}/token
interval: 5s
timeout: 800ms
valid_for: 1m
last_word: down
capacity: 40Gbps
load:
  prometheus: http://127.0.0.1:9100/metrics
  metric: sent_bytes_total
  labels: {{device: eth0}}
  scale: 8
  over: 10s
  interval: 2
  timeout: 0.5s
sessions: {{command: [count, --all]}}
probes:
  - {{http: "https://[::1]/", status: [200, 204], body: ok, host: live.example, verify: no, rise: 1, fall: 9}}
  - {{tcp: "edge.example:80", family: both, interval: 200ms, timeout: 1s}}
  - {{rtmp: 127.0.0.1, family: both}}
  - {{hls: http://127.0.0.1/a.m3u8, max_age: 1m}}
""",
    )
    https = Place("https://[::1]/", "::1", 443, "https://[::1]/")
    playlist = Place("http://127.0.0.1/a.m3u8", "127.0.0.1", 80, "http://127.0.0.1/a.m3u8")
    assert config == Config(
        edge="fra-1",
        store="http://127.0.0.1:8053",
        token="secret",
        interval_s=5.0,
        timeout_s=0.8,
        valid_ms=60_000,
        down_at_end=True,
        capacity_bps=40_000_000_000,
        load=Source(
            kind="prometheus",
            url="http://127.0.0.1:9100/metrics",
            metric="sent_bytes_total",
            labels=(("device", "eth0"),),
            is_counter=True,
            scale=8.0,
            interval_s=2.0,
            timeout_s=0.5,
            over_s=10.0,
        ),
        sessions=Source(kind="command", argv=("count", "--all")),
        probes=(
            Probe(
                "http",
                https,
                (Target(socket.AF_UNSPEC, False, True),),
                rise=1,
                fall=9,
                status=(200, 204),
                body="ok",
                host="live.example",
                verify=False,
            ),
            Probe(
                "tcp",
                Place("edge.example:80", "edge.example", 80),
                (Target(V4, True, False), Target(V6, False, True)),
                said=True,
                interval_s=0.2,
                timeout_s=1.0,
            ),
            Probe("rtmp", Place("127.0.0.1", "127.0.0.1", 1935), (Target(socket.AF_UNSPEC, True, True),), said=True),
            Probe("hls", playlist, (Target(socket.AF_UNSPEC, True, False),), max_age_s=60.0),
        ),
    )
    assert config.probed == (True, True)
    assert [str(probe) for probe in config.probes[1:3]] == ["tcp edge.example:80", "rtmp 127.0.0.1"]


LITERAL = socket.AF_UNSPEC
FAMILIES = [
    # probes; for each target: by which addresses, and whose health: 4, 6 or both
    ([], []),
    (['{tcp: "127.0.0.1:1"}'], [(LITERAL, "46")]),
    (['{tcp: "[::1]:1"}', '{rtmp: "[::1]"}'], [(LITERAL, "46"), (LITERAL, "46")]),
    (['{tcp: "127.0.0.1:1"}', '{tcp: "[::1]:1"}'], [(LITERAL, "4"), (LITERAL, "6")]),
    (['{tcp: "127.0.0.1:1"}', '{tcp: "[::1]:1", family: 4}'], [(LITERAL, "46"), (LITERAL, "4")]),
    (['{tcp: "127.0.0.1:1"}', '{tcp: "[::1]:1", family: both}'], [(LITERAL, "4"), (LITERAL, "46")]),
    (['{tcp: "127.0.0.1:1", family: 4}'], [(LITERAL, "4")]),
    (['{tcp: "e:1", family: 6}'], [(V6, "6")]),
    (['{tcp: "e:1", family: both}'], [(V4, "4"), (V6, "6")]),
]


@pytest.mark.parametrize(("probes", "ways"), FAMILIES)
def test_families(tmp_path: Path, probes: list[str], ways: list[tuple[int, str]]) -> None:
    config = read(tmp_path, f"{BASE}probes: [{', '.join(probes)}]\n")
    targets = [target for probe in config.probes for target in probe.targets]
    assert [(each.family, "4" * each.four + "6" * each.six) for each in targets] == ways
    assert config.probed == tuple(any(name in whose for _, whose in ways) for name in "46")


KINDS = [
    ("load: {prometheus: http://h/, metric: sent_total}", True),
    ("load: {prometheus: http://h/, metric: sent}", False),
    ("load: {prometheus: http://h/, metric: sent_total, kind: gauge}", False),
    ("load: {prometheus: http://h/, metric: sent, kind: counter}", True),
]


@pytest.mark.parametrize(("text", "is_counter"), KINDS)
def test_counters_are_known_by_their_name(tmp_path: Path, text: str, is_counter: bool) -> None:
    found = read(tmp_path, BASE + text).load
    assert found is not None
    assert found.is_counter is is_counter


FAULTS = [
    ("", ["0:0: the file is empty"]),
    ("- a\n", ["1:1: a file holds keys and values, not a list or a text"]),
    (
        "edge: [a\n",
        ["2:1: YAML: did not find expected ',' or ']' (while parsing a flow sequence, which began on line 1)"],
    ),
    (
        "interval: 1s\n",
        ['1:1: key "edge" is missing, and there is no --edge', '1:1: key "store" is missing, and there is no --store'],
    ),
    (
        "edge: fra 1\nstore: [a]\nlaod: x\n",
        [
            f'1:7: edge: "fra 1" {NOT_A_NAME}',
            "2:8: store: a list is not a text",
            '3:1: unknown key "laod"; did you mean "load"?',
        ],
    ),
    (
        "edge: a\nstore: memory://\n",
        ["2:8: store: the embedded store is inside of a server; name the server's admin port: http://ADDR:PORT"],
    ),
    ("edge: a\nstore: http://127.0.0.1\n", ['2:8: store: "http://127.0.0.1" is not http://ADDR:PORT']),
    (
        "edge: a\nstore: https://127.0.0.1:1\ntoken_file: /nowhere\n",
        [
            '2:8: store: "https://127.0.0.1:1" is not http://ADDR:PORT',
            "3:13: token_file: /nowhere cannot be read: No such file or directory",
        ],
    ),
    (
        "edge: a\nstore: http://127.0.0.1:8053\n",
        ["2:8: store: an admin port wants a token: name token_file, or set GSLB_REPORT_TOKEN"],
    ),
    ("edge: a\nstore: redis://h/x\n", ["2:8: store: what follows the host in the URL is not the number of a database"]),
    (
        BASE + "interval: 10s\n",
        ['3:11: interval: "10s" needs valid_for, of two intervals at least'],
    ),
    (
        BASE + "interval: 3s\nvalid_for: 5s\n",
        ['4:12: valid_for: "5s" is less than two intervals'],
    ),
    (
        BASE + "interval: 10\ntimeout: 1d\nvalid_for: [1]\ninterval: 1\nlast_word: drain\ncapacity: fast\n",
        [
            '3:11: interval: "10" needs valid_for, of two intervals at least',
            f'4:10: timeout: "1d" {NOT_A_SPAN}',
            f"5:12: valid_for: a list {NOT_A_SPAN}",
            '6:1: duplicate key "interval"; it stands on line 3 already',
            '7:12: last_word: "drain" is not one of none, down',
            '8:11: capacity: "fast" is not a rate: a number above 0 with bps, kbps, Mbps, Gbps or Tbps, such as 40Gbps',
        ],
    ),
    (BASE + "interval: 61s\nvalid_for: 2m\n", ['3:11: interval: "61s" is not from 0.1 s to 60 s']),
    (BASE + "load: fast\n", ['3:7: load: "fast" is not a mapping of keys to values']),
    (
        BASE + "load: {}\nsessions: {scale: 2}\n",
        [
            '3:1: "load" names one of interface, prometheus, command',
            '4:1: "sessions" names one of prometheus, command',
        ],
    ),
    (
        BASE + "load: {interface: lo, command: [cat], metric: x, over: 0}\n",
        [
            '3:23: command: "load" is of one kind; it is interface already',
            "3:39: metric: belongs to prometheus, not to interface",
            '3:56: over: "0" is not from 0.5 s to 60 s',
        ],
    ),
    (
        BASE
        + "load: {prometheus: ftp://h/, direction: up}\n"
        + "sessions: {prometheus: http://h/, kind: gauge, labels: {a: [b]}}\n",
        [
            f'3:20: prometheus: "ftp://h/" {NOT_A_URL}',
            '3:8: prometheus: key "metric" is missing beside it',
            "3:30: direction: belongs to interface, not to prometheus",
            '3:41: direction: "up" is not one of tx, rx',
            '4:12: prometheus: key "metric" is missing beside it',
            '4:35: unknown key "kind"; known are prometheus, metric, labels, scale, command, interval, timeout',
            "4:60: a: a list is not a text",
        ],
    ),
    (
        BASE + "load: {command: cat file}\nsessions: {command: []}\n",
        [
            '3:17: command: "cat file" is one word; a command is a list of words, such as [cat, /run/load]',
            "4:21: command: an empty list names no program; leave the key out",
        ],
    ),
    # What needs a family beside what has one.
    (BASE + "probes:\n  - {tcp: 'h:1'}\n  - {tcp: '127.0.0.1:1'}\n", [f'4:11: tcp: "h" {NEEDS_FAMILY}']),
    (BASE + "probes: x\n", ['3:9: probes: "x" is not a mapping of keys to values']),
    (BASE + "probes: {tcp: x}\n", ["3:9: probes: a mapping is not a list"]),
    (
        BASE + "probes:\n  - text\n  - {}\n  - {tcp: 127.0.0.1, htp: x}\n  - {tcp: 'h:1', status: 200}\n",
        [
            '4:5: probes: "text" is not a mapping of keys to values',
            "5:5: a probe names one of http, flv, hls, rtmp, tcp",
            f'6:11: tcp: "127.0.0.1" {NOT_A_PLACE}',
            '6:22: unknown key "htp"; did you mean "http"?',
            f'7:11: tcp: "h" {NEEDS_FAMILY}',
            "7:18: status: belongs to http, not to tcp",
        ],
    ),
    (
        BASE
        + "probes:\n  - {http: 'http://e/', flv: 'http://127.0.0.1/', max_age: 5s}\n"
        + "  - {hls: 'http://e/', family: 5}\n",
        [
            f'4:12: http: "e" {NEEDS_FAMILY}',
            "4:25: flv: a probe is of one kind; it is http already",
            "4:51: max_age: belongs to hls, not to http",
            '5:32: family: "5" is not one of 4, 6, both',
        ],
    ),
    (
        BASE
        + "probes:\n  - {rtmp: '127.0.0.1:0', interval: 1ms, rise: 0, fall: x}\n"
        + "  - {http: 'http://127.0.0.1/', verify: perhaps}\n",
        [
            f'4:12: rtmp: "127.0.0.1:0" {NOT_A_PLACE}',
            '4:37: interval: "1ms" is not from 0.1 s to 3600 s',
            '4:48: rise: "0" is not a whole number from 1 to 100',
            '4:57: fall: "x" is not a whole number from 1 to 100',
            '5:41: verify: "perhaps" is not true or false',
        ],
    ),
]


@pytest.mark.parametrize(("text", "wanted"), FAULTS)
def test_faults(tmp_path: Path, text: str, wanted: list[str]) -> None:
    with pytest.raises(ConfigErrors) as raised:
        read(tmp_path, text)
    lines = str(raised.value).splitlines()
    assert sorted(line.removeprefix(f"{tmp_path}/agent.yaml:") for line in lines) == sorted(wanted)


PLACES = [
    ("tcp", "[::1]:80", True),
    ("tcp", "::1:80", False),
    ("tcp", "[127.0.0.1]:80", False),
    ("tcp", "[fe80::1%eth0]:80", False),
    ("tcp", "127.0.0.256:80", False),
    ("tcp", "127.0.0.1:65536", False),
    ("rtmp", "[::1]", True),
    ("http", "http://127.0.0.1:0x50/", False),
    ("http", "http://127.0.0.1:99999/", False),
    ("http", "http://user:secret@127.0.0.1/", False),
    ("http", "http:///", False),
    ("http", "http://[::1/", False),
    ("http", "http://127.0.0.1/#top", False),
    ("flv", "https://127.0.0.1/live.flv?key=1", True),
]


@pytest.mark.parametrize(("kind", "place", "sound"), PLACES)
def test_places(tmp_path: Path, kind: str, place: str, sound: bool) -> None:
    text = f"{BASE}probes: [{{{kind}: '{place}'}}]\n"
    if sound:
        assert read(tmp_path, text).probes[0].place.text == place
    else:
        reason = NOT_A_URL if kind == "http" else NOT_A_PLACE
        with pytest.raises(ConfigErrors, match=r"3:\d+: ") as raised:
            read(tmp_path, text)
        assert str(raised.value).endswith(reason)


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    config = read(tmp_path, "edge: a\nstore: redis://127.0.0.1\n", edge="b", store="redis://127.0.0.2")
    assert (config.edge, config.store) == ("b", "redis://127.0.0.2")


def test_no_file_at_all() -> None:
    config = load(None, "fra-1", "http://127.0.0.1:8053", {"GSLB_REPORT_TOKEN": "secret"})
    assert config == Config(edge="fra-1", store="http://127.0.0.1:8053", token="secret")
    assert config.probed == (False, False)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors, match=r"agent\.yaml:0:0: No such file or directory"):
        load(tmp_path / "agent.yaml", None, None, {})


@pytest.mark.parametrize(("held", "reason"), [(b"\n", "holds no token"), (b"\xff", "holds no token")])
def test_token_files(tmp_path: Path, held: bytes, reason: str) -> None:
    (tmp_path / "token").write_bytes(held)
    with pytest.raises(ConfigErrors) as raised:
        read(tmp_path, f"edge: a\nstore: http://127.0.0.1:1\ntoken_file: {tmp_path}/token\n")
    assert str(raised.value) == f"{tmp_path}/agent.yaml:3:13: token_file: {tmp_path}/token {reason}"


USAGE = [
    (
        None,
        None,
        {},
        [
            "--edge is missing, and there is no file that says it",
            "--store is missing, and there is no file that says it",
        ],
    ),
    (
        "a b",
        "memory://",
        {},
        [
            f'--edge: "a b" {NOT_A_NAME}',
            "--store: the embedded store is inside of a server; name the server's admin port: http://ADDR:PORT",
        ],
    ),
    ("a", "http://h:1", {}, ["--store: an admin port wants a token: name token_file, or set GSLB_REPORT_TOKEN"]),
    ("a", "http://h:1", {"GSLB_REPORT_TOKEN": "zwölf"}, ["GSLB_REPORT_TOKEN holds no token"]),
]


@pytest.mark.parametrize(("edge", "store", "environ", "wanted"), USAGE)
def test_usage(edge: str | None, store: str | None, environ: dict[str, str], wanted: list[str]) -> None:
    with pytest.raises(UsageError) as raised:
        load(None, edge, store, environ)
    assert str(raised.value).splitlines() == wanted


def test_faults_of_flags_and_file_together(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        read(tmp_path, "edge: a\ncapacity: 0\n", edge="a b")
    assert len(str(raised.value).splitlines()) == 3
