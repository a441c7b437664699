"""Published plans: what is read, what is written, and the exact message of what is refused."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import random
from typing import Any

import pytest
import zstandard
from gslbtest.examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from gslb.model.geography import CONTINENT_OF
from gslb.model.plan import PLAN_SUM, BindingCap, Forced, Plan, PlanInput, PlannedEdge, PlanRow
from gslb.plan import published
from gslb.plan.published import MAX_FAULTS, MAX_ROWS, MAX_TEXT, PlanError

T = 1_795_530_600_000
ROW: list[Any] = ["pull.live.example.", "CN", "SH", "chinanet", [["sha-ct", 40000], ["sha-cu", 25535]], ["fra-1"]]
PLAN: dict[str, Any] = {
    "format": 1, "version": "2026-11-24.7", "base": "2026-11-24.6", "issued_at_ms": T, "effective_at_ms": T + 1000,
    "hold_until_ms": T + 3_600_000, "inputs": {"demand": {"age_s": 12, "sha256": "ab" * 32}}, "forced": [],
    "rows": [ROW, ["pull.live.example.", "CN", "", "", [["sha-ct", PLAN_SUM]], []]],
}  # fmt: skip
READ = Plan(
    "2026-11-24.7",
    "2026-11-24.6",
    T,
    T + 1000,
    T + 3_600_000,
    (
        PlanRow("pull.live.example.", "CN", "SH", "chinanet", (("sha-ct", 40000), ("sha-cu", 25535)), ("fra-1",)),
        PlanRow("pull.live.example.", "CN", "", "", (("sha-ct", PLAN_SUM),)),
    ),
    {"demand": PlanInput(12, "ab" * 32)},
)
GONE: Any = object()


def packed(told: object) -> tuple[bytes, str]:
    """As a dispatcher publishes it, but for what is wrong with it."""
    text = told if isinstance(told, bytes) else json.dumps(told).encode()
    data = zstandard.compress(text)
    return data, hashlib.sha256(data).hexdigest()


def refused(told: object) -> list[str]:
    with pytest.raises(PlanError) as raised:
        published.read(*packed(told))
    assert raised.value.faults
    return [f"{key}: {reason}" if key else reason for key, reason in raised.value.faults]


def test_what_is_read() -> None:
    assert published.read(*packed(PLAN)) == READ
    assert published.read(*published.write(READ)) == READ


@pytest.mark.parametrize(
    "changes",
    [
        {"forced": GONE},
        {"solver": "flow", "notes": {"a": [1]}},
        {"demand_bps": [], "costs": [], "edges": {}, "caps": []},
        {"demand_bps": [0, 0], "costs": [[], []], "inputs": {"demand": {**PLAN["inputs"]["demand"], "path": "x"}}},
    ],
)
def test_what_says_the_same(changes: dict[str, Any]) -> None:
    told = {key: value for key, value in {**PLAN, **changes}.items() if value is not GONE}
    assert published.read(*packed(told)) == READ


BESIDE = [
    # a key beside the rows, and what is read of it
    ({"inputs": GONE}, {"inputs": {}}),
    ({"inputs": {"reports": {"age_s": 0.5}}}, {"inputs": {"reports": PlanInput(0.5, "")}}),
    ({"forced": [{"edge": "sha-ct", "reason": "down", "bps": 7}, {"edge": "", "reason": "later-word"}]},
     {"forced": (Forced("sha-ct", "down", 7), Forced("", "later-word"))}),
    ({"edges": {"sha-ct": {"projected_bps": 5}, "x": {"projected_bps": 0, "background_bps": 2, "factor_milli": 500}}},
     {"edges": {"sha-ct": PlannedEdge(5), "x": PlannedEdge(0, 2, 500)}}),
    ({"caps": [{"kind": "pop", "name": "sha", "capacity_bps": 10**12, "price": -1, "note": 1},
               {"kind": "network", "capacity_bps": (1 << 62) - 1, "price": 1e-9}]},
     {"caps": (BindingCap("pop", "sha", 10**12, -1), BindingCap("network", "", (1 << 62) - 1, 1e-9))}),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "wanted"), BESIDE)
def test_what_stands_beside_the_rows(changes: dict[str, Any], wanted: dict[str, Any]) -> None:
    told = {key: value for key, value in {**PLAN, **changes}.items() if value is not GONE}
    plan = published.read(*packed(told))
    assert plan == dataclasses.replace(READ, **wanted)
    assert published.read(*published.write(plan)) == plan


def test_what_each_row_was_made_of() -> None:
    plan = published.read(*packed({**PLAN, "demand_bps": [10**12, 0], "costs": [[1, 2.5, 3], []]}))
    assert [(row.demand_bps, row.costs) for row in plan.rows] == [(10**12, (1, 2.5, 3)), (0, ())]
    assert published.read(*published.write(plan)) == plan


def test_a_plan_may_be_small() -> None:
    told = {"format": 1, "version": "v1", "issued_at_ms": 0, "effective_at_ms": 0, "hold_until_ms": 0, "rows": []}
    assert published.read(*packed(told)) == Plan("v1")


NAME = "1 to 63 letters, digits, dots, hyphens and underscores, beginning with a letter or digit"
COLUMNS = "is not a list of service, country, region, isp, weights, backups"
SERVICE = "is not the name of a service in lower case with its final dot, such as pull.live.example."
REGION = "is neither empty nor a region, such as SH"
TIME = "is not a time in ms since 1970"
UNNAMED = "is not a name of 1 to 63 letters, digits, dots, hyphens and underscores"
WEIGHT = "is not a whole number from 0 to 65535"
MANY = [[f"e{at}", 0] for at in range(17)]

BAD: list[tuple[dict[str, Any], list[str]]] = [
    # what differs from PLAN (GONE: absent), key and reason of each fault
    ({"format": 2}, ["format: 2 is not 1, the one that this version reads"]),
    ({"format": True}, ["format: true is not 1, the one that this version reads"]),
    ({"format": GONE}, ["format: null is not 1, the one that this version reads"]),
    ({"version": GONE}, [f"version: null is not a name: {NAME}"]),
    ({"version": "../x"}, [f"version: '../x' is not a name: {NAME}"]),
    ({"version": "a" * 64}, [f"version: '{'a' * 40}…' is not a name: {NAME}"]),
    ({"version": "v\n"}, [f"version: 'v\\n' is not a name: {NAME}"]),
    ({"base": 5}, [f"base: 5 is neither empty nor a name: {NAME}"]),
    ({"base": "-"}, [f"base: '-' is neither empty nor a name: {NAME}"]),
    ({"issued_at_ms": GONE}, ["issued_at_ms: is missing"]),
    ({"issued_at_ms": -1}, [f"issued_at_ms: -1 {TIME}"]),
    ({"issued_at_ms": 1.5}, [f"issued_at_ms: 1.5 {TIME}"]),
    ({"issued_at_ms": True}, [f"issued_at_ms: true {TIME}"]),
    ({"hold_until_ms": 1 << 60}, [f"hold_until_ms: {1 << 60} {TIME}"]),
    ({"hold_until_ms": "2026"}, [f"hold_until_ms: '2026' {TIME}"]),
    ({"effective_at_ms": T - 1}, ["effective_at_ms: is before issued_at_ms"]),
    ({"hold_until_ms": T + 999}, ["hold_until_ms: is before effective_at_ms"]),
    ({"inputs": []}, ["inputs: a list of 0 is not a mapping"]),
    ({"inputs": {"a b": 5, "x": {"age_s": -1, "sha256": "AB"}, "-": {}}},
     ["inputs['a b']: 5 is not a mapping", "inputs['x'].age_s: -1 is not an age in seconds",
      "inputs['x'].sha256: 'AB' is not 64 hexadecimal digits",
      f"inputs['-']: {UNNAMED}", "inputs['-'].age_s: null is not an age in seconds"]),
    ({"inputs": {f"i{at}": {"age_s": 1} for at in range(65)}}, ["inputs: has 65 keys; at most 64 are read"]),
    ({"forced": {}}, ["forced: a mapping is not a list"]),
    ({"forced": [7, {}, {"edge": "a b", "reason": "Down", "bps": -1}]},
     ["forced[0]: 7 is not a mapping", f"forced[1].edge: null {UNNAMED}, nor empty",
      "forced[1].reason: null is not a word of small letters", f"forced[2].edge: 'a b' {UNNAMED}, nor empty",
      "forced[2].reason: 'Down' is not a word of small letters", "forced[2].bps: -1 is not a rate in bits per second"]),
    ({"forced": [{}] * 10_001}, ["forced: has 10001 items; at most 10000 are read"]),
    ({"edges": []}, ["edges: a list of 0 is not a mapping"]),
    ({"edges": {"a b": {}, "x": {"projected_bps": 1.5, "background_bps": None, "factor_milli": -1}}},
     [f"edges['a b']: {UNNAMED}", "edges['a b'].projected_bps: -1 is not a rate in bits per second",
      "edges['x'].projected_bps: 1.5 is not a rate in bits per second",
      "edges['x'].background_bps: null is not a rate in bits per second",
      "edges['x'].factor_milli: -1 is not from 0 to 1000000"]),
    ({"caps": [{"kind": 5, "name": None, "capacity_bps": "1", "price": float("inf")}]},
     ["caps[0].kind: 5 is not a word of small letters", f"caps[0].name: null {UNNAMED}, nor empty",
      "caps[0].capacity_bps: '1' is not a rate in bits per second", "caps[0].price: inf is not a price"]),
    ({"demand_bps": {}}, ["demand_bps: a mapping is not a list"]),
    ({"demand_bps": [1]}, ["demand_bps: has 1 items for 2 rows"]),
    ({"demand_bps": [1.0, -1]}, ["demand_bps[0]: 1 is not a rate in bits per second",
                                 "demand_bps[1]: -1 is not a rate in bits per second"]),
    ({"demand_bps": [True, 1 << 53]}, ["demand_bps[0]: true is not a rate in bits per second",
                                       "demand_bps[1]: 9007199254740992 is not a rate in bits per second"]),
    ({"costs": 5}, ["costs: 5 is not a list"]),
    ({"costs": [[1, 2]]}, ["costs: has 1 items for 2 rows"]),
    ({"costs": [[1, 2], [1]]}, ["costs[0]: has 2 costs for 3 edges"]),
    ({"costs": [[1, 2, float("nan")], 5]},
     ["costs[0]: a list of 3 is not a list of costs", "costs[1]: 5 is not a list of costs"]),
    ({"costs": [[1, 2, True], [1e16]]},
     ["costs[0]: a list of 3 is not a list of costs", "costs[1]: a list of 1 is not a list of costs"]),
    ({"rows": GONE}, ["rows: is missing"]),
    ({"rows": {}}, ["rows: a mapping is not a list"]),
    ({"rows": [[]] * (MAX_ROWS + 1)}, ["rows: has 200001 rows; at most 200000 are read"]),
    ({"rows": [5]}, [f"rows[0]: 5 {COLUMNS}"]),
    ({"rows": [ROW[:5]]}, [f"rows[0]: a list of 5 {COLUMNS}"]),
    ({"rows": [[*ROW, 1]]}, [f"rows[0]: a list of 7 {COLUMNS}"]),
    ({"rows": [ROW, ROW]}, ["rows[1]: is of the same service, country, region and isp as rows[0]"]),
    ({"rows": [["Pull.example.", *ROW[1:]]]}, [f"rows[0].service: 'Pull.example.' {SERVICE}"]),
    ({"rows": [["pull.example", *ROW[1:]]]}, [f"rows[0].service: 'pull.example' {SERVICE}"]),
    ({"rows": [["pull example.", *ROW[1:]]]}, [f"rows[0].service: 'pull example.' {SERVICE}"]),
    ({"rows": [[None, *ROW[1:]]]}, [f"rows[0].service: null {SERVICE}"]),
    ({"rows": [[ROW[0], "XX", *ROW[2:]]]}, ["rows[0].country: 'XX' is neither empty nor a country, such as CN"]),
    ({"rows": [[ROW[0], ["CN"], *ROW[2:]]]},
     ["rows[0].country: a list of 1 is neither empty nor a country, such as CN"]),
    ({"rows": [[ROW[0], "CN", "sh", *ROW[3:]]]}, [f"rows[0].region: 'sh' {REGION}"]),
    ({"rows": [[ROW[0], "CN", 5, *ROW[3:]]]}, [f"rows[0].region: 5 {REGION}"]),
    ({"rows": [[ROW[0], "", "SH", *ROW[3:]]]}, ["rows[0].region: has no country"]),
    ({"rows": [[*ROW[:3], "a b", *ROW[4:]]]}, [f"rows[0].isp: 'a b' is neither empty nor a name: {NAME}"]),
    ({"rows": [[*ROW[:3], 5, *ROW[4:]]]}, [f"rows[0].isp: 5 is neither empty nor a name: {NAME}"]),
    ({"rows": [[*ROW[:4], [], []]]},
     ["rows[0].weights: a list of 0 is not a list of 1 to 16 pairs of edge and weight"]),
    ({"rows": [[*ROW[:4], MANY, []]]},
     ["rows[0].weights: a list of 17 is not a list of 1 to 16 pairs of edge and weight"]),
    ({"rows": [[*ROW[:4], {"a": 1}, []]]},
     ["rows[0].weights: a mapping is not a list of 1 to 16 pairs of edge and weight"]),
    ({"rows": [[*ROW[:4], ["a", ["b"]], []]]},
     ["rows[0].weights[0]: 'a' is not a pair of edge and weight",
      "rows[0].weights[1]: a list of 1 is not a pair of edge and weight"]),
    ({"rows": [[*ROW[:4], [["a", 65534]], []]]}, ["rows[0].weights: sum to 65534, not to 65535"]),
    ({"rows": [[*ROW[:4], [["a", PLAN_SUM], ["b", 1]], []]]}, ["rows[0].weights: sum to 65536, not to 65535"]),
    ({"rows": [[*ROW[:4], [["a", -1], ["b", 65536]], []]]},
     [f"rows[0].weights[0]: -1 {WEIGHT}", f"rows[0].weights[1]: 65536 {WEIGHT}"]),
    ({"rows": [[*ROW[:4], [["a", 65535.0], ["b", False], ["c", "0"]], []]]},
     [f"rows[0].weights[0]: 65535 {WEIGHT}", f"rows[0].weights[1]: false {WEIGHT}",
      f"rows[0].weights[2]: '0' {WEIGHT}"]),
    ({"rows": [[*ROW[:4], [["a", 1], ["a", 65534]], []]]}, ["rows[0].weights[1]: 'a' stands in the row already"]),
    ({"rows": [[*ROW[:4], [["a b", PLAN_SUM]], []]]}, [f"rows[0].weights[0]: 'a b' is not a name: {NAME}"]),
    ({"rows": [[*ROW[:5], None]]}, ["rows[0].backups: null is not a list of at most 16 edges"]),
    ({"rows": [[*ROW[:5], ["b"] * 17]]}, ["rows[0].backups: a list of 17 is not a list of at most 16 edges"]),
    ({"rows": [[*ROW[:5], ["b", "b", "sha-ct", 5]]]},
     ["rows[0].backups[1]: 'b' stands in the row already", "rows[0].backups[2]: 'sha-ct' stands in the row already",
      f"rows[0].backups[3]: 5 is not a name: {NAME}"]),
    (
        {"version": "", "issued_at_ms": None, "hold_until_ms": 0, "rows": [7, [*ROW[:5], 8]]},
        [f"version: '' is not a name: {NAME}", f"issued_at_ms: null {TIME}", "hold_until_ms: is before effective_at_ms",
         f"rows[0]: 7 {COLUMNS}", "rows[1].backups: 8 is not a list of at most 16 edges"],
    ),
    (
        {"rows": [5] * 1000},
        [*(f"rows[{at}]: 5 {COLUMNS}" for at in range(MAX_FAULTS)), "more may be wrong: reading ends after 20 faults"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "reasons"), BAD)
def test_faults(changes: dict[str, Any], reasons: list[str]) -> None:
    assert refused({key: value for key, value in {**PLAN, **changes}.items() if value is not GONE}) == reasons


def test_the_version_is_told_where_it_is_known() -> None:
    with pytest.raises(PlanError) as raised:
        published.read(*packed({**PLAN, "base": 5}))
    assert raised.value.version == "2026-11-24.7"
    assert str(raised.value) == f"plan '2026-11-24.7': base: 5 is neither empty nor a name: {NAME}"
    with pytest.raises(PlanError, match=r"^plan: format: 3 is not 1"):
        published.read(*packed({**PLAN, "format": 3}))


TEXTS = [
    (b"", "not JSON: Expecting value: line 1 column 1 (char 0)"),
    (b"{", "not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
    (b"[1]", "a list of 1 is not a mapping"),
    (b'"a"', "'a' is not a mapping"),
    (b"\xff\xfe", "not JSON: 'utf-8' codec can't decode"),
    (b"[" * 200_000, "not JSON: nested too deep"),
    (b"[]," * 4_410_000, "has more than 4400000 lists and mappings"),
    (b'{"format": 1, "format": 1}', "not JSON: a key stands twice in a mapping"),
    (b'{"format": ' + b"9" * 5000 + b"}", "not JSON: Exceeds the limit (4300 digits)"),
    (b" " * (MAX_TEXT + 1), "unpacks to more than 33554432 bytes"),
]


@pytest.mark.parametrize(("text", "reason"), TEXTS, ids=[str(at) for at in range(len(TEXTS))])
def test_texts_that_are_no_plan(text: bytes, reason: str) -> None:
    (told,) = refused(text)
    assert told.startswith(reason)


def test_a_bomb_is_not_unpacked() -> None:
    """4 GB of nothing, in some hundred kilobytes that say so and in some that do not."""
    block = bytes(1 << 20)
    for size in (4 << 30, -1):
        packer = zstandard.ZstdCompressor(level=1).compressobj(size=size)
        data = b"".join([packer.compress(block) for _ in range(4096 if size > 0 else 64)]) + packer.flush()
        with pytest.raises(PlanError, match=r"unpacks to more than|not Zstandard"):
            published.read(data, hashlib.sha256(data).hexdigest())


def test_a_window_that_would_take_too_much_memory_is_refused() -> None:
    wide = zstandard.ZstdCompressionParameters(window_log=27, write_content_size=0)
    packer = zstandard.ZstdCompressor(compression_params=wide).compressobj()
    data = packer.compress(json.dumps(PLAN).encode()) + packer.flush()
    with pytest.raises(PlanError, match=r"not Zstandard: .*memory"):
        published.read(data, hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize(
    ("sha256", "reason"),
    [
        ("ab" * 32, "differs from that of the data"),
        ("", "is not 64 hexadecimal digits"),
        ("AB" * 32, "is not 64 hexadecimal digits"),
    ],
)
def test_the_checksum_is_the_data_s(sha256: str, reason: str) -> None:
    with pytest.raises(PlanError) as raised:
        published.read(packed(PLAN)[0], sha256)
    assert raised.value.faults == (("sha256", reason),)


def test_what_is_not_zstandard() -> None:
    for data in (b"", b"plain", json.dumps(PLAN).encode()):
        with pytest.raises(PlanError, match=r"^plan: not (Zstandard|JSON): "):
            published.read(data, hashlib.sha256(data).hexdigest())


def test_each_byte_counts() -> None:
    data, sha256 = published.write(READ)
    assert published.write(READ) == (data, sha256)
    for at in range(len(data)):
        for other in (data[:at], data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]):
            with pytest.raises(PlanError, match=r"^plan: sha256: differs"):
                published.read(other, sha256)
            with contextlib.suppress(PlanError):  # where the checksum was made anew, nothing but a plan or this comes
                published.read(other, hashlib.sha256(other).hexdigest())


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        (Plan("a b"), "version: 'a b' is not a name"),
        (Plan("v1", rows=(PlanRow("s.", "", "", "", (("a", 1),)),)), r"rows\[0\].weights: sum to 1"),
        (Plan("v1", issued_at_ms=5), "effective_at_ms: is before issued_at_ms"),
        (
            Plan("v1", rows=(PlanRow("s.", "", "", "", (("a", PLAN_SUM),), (), 1, (1.0, 2.0)),)),
            r"costs\[0\]: has 2 costs for 1 edges",
        ),
        (Plan("v1", caps=(BindingCap("edge", "a", 1, float("nan")),)), r"caps\[0\].price: nan is not a price"),
    ],
)
def test_what_cannot_be_read_is_not_written(plan: Plan, reason: str) -> None:
    for refuse in (published.write, published.check):
        with pytest.raises(PlanError, match=reason):
            refuse(plan)


def test_what_is_too_long_to_be_read_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "MAX_TEXT", 300)
    with pytest.raises(PlanError, match=r"rows: the plan has \d+ bytes; at most 300 are read"):
        published.write(READ)


_costs = st.floats(-1e15, 1e15)
_rates = st.integers(0, 1 << 52)
_names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", fullmatch=True)


@st.composite
def _rows(draw: st.DrawFn) -> PlanRow:
    edges = draw(st.lists(_names, min_size=1, max_size=8, unique=True))
    count = draw(st.integers(1, len(edges)))
    borders = sorted(draw(st.lists(st.integers(0, PLAN_SUM), min_size=count - 1, max_size=count - 1)))
    weights = [end - begin for begin, end in zip([0, *borders], [*borders, PLAN_SUM], strict=True)]
    country = draw(st.sampled_from(["", *CONTINENT_OF]))
    return PlanRow(
        draw(st.from_regex(r"[!-@\[-~]{1,40}\.", fullmatch=True)),
        country,
        draw(st.from_regex(r"[A-Z0-9]{0,3}", fullmatch=True)) if country else "",
        draw(st.just("") | _names),
        tuple(zip(edges[:count], weights, strict=True)),
        tuple(edges[count:]),
        draw(st.integers(0, 1 << 52)),
        tuple(draw(st.just([]) | st.lists(_costs, min_size=len(edges), max_size=len(edges)))),
    )


@st.composite
def _plans(draw: st.DrawFn) -> Plan:
    times = sorted(draw(st.lists(st.integers(0, (1 << 53) - 1), min_size=3, max_size=3)))
    rows = draw(st.lists(_rows(), max_size=5, unique_by=lambda row: row[:4]))
    made_of = draw(st.dictionaries(_names, st.builds(PlanInput, st.floats(0, 1e9), st.just("0" * 64)), max_size=2))
    planned = draw(st.dictionaries(_names, st.builds(PlannedEdge, _rates, _rates, st.integers(0, 2000)), max_size=2))
    return Plan(draw(_names), draw(st.just("") | _names), *times, tuple(rows), made_of, (), planned)


@settings(max_examples=examples(100), deadline=None, derandomize=True)
@given(_plans())
def test_round_trip(plan: Plan) -> None:
    assert published.read(*published.write(plan)) == plan


_junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=20,
)


@settings(max_examples=examples(150), deadline=None, derandomize=True)
@given(
    st.dictionaries(st.sampled_from([*PLAN, "demand_bps", "costs", "edges", "caps"]), _junk), _junk, st.integers(0, 5)
)
def test_whatever_it_is_it_is_read_or_refused(changes: dict[str, Any], cell: Any, column: int) -> None:
    row = [*ROW[:column], cell, *ROW[column + 1 :]]
    for told in ({**PLAN, **changes}, {**PLAN, "rows": [row]}, {**PLAN, "rows": [cell]}):
        with contextlib.suppress(PlanError):
            found = published.read(*packed(told))
            assert published.read(*published.write(found)) == found


@pytest.mark.parametrize("count", [2000, pytest.param(50_000, marks=pytest.mark.soak)])
def test_a_large_plan(count: int) -> None:
    chance = random.Random(7)
    rows = []
    for at in range(count):
        edges = [f"edge-{edge:04}" for edge in chance.sample(range(500), 6)]
        weights = tuple(zip(edges[:4], [16383, 16383, 16383, PLAN_SUM - 3 * 16383], strict=True))
        key = (f"s{at // 1000}.live.example.", "DE", "", f"AS{at % 1000}")
        rows.append(PlanRow(*key, weights, tuple(edges[4:]), at, (at / 8, 1.5, 2.5, 3.5, 4.5, 5.5)))
    plan = Plan("large", rows=tuple(rows))
    found = published.read(*published.write(plan))
    assert found == plan
    assert found.rows[0].service is found.rows[1].service, "what repeats takes memory once"
