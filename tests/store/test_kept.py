"""The store's state on disk: it comes back as it was, and what is torn is set aside and told."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from gslbtest.examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from gslb.errors import GslbError
from gslb.model.override import KINDS, Override, Target
from gslb.model.plan import PLAN_SUM, BindingCap, Forced, Plan, PlanInput, PlannedEdge, PlanRow
from gslb.model.report import VERDICTS, Report, StoreState
from gslb.plan.published import PlanError
from gslb.store import kept

T = 1_795_530_600_000
PLAN = Plan("v7", "v6", T, T, T + 60_000, (PlanRow("s.example.", "CN", "", "", (("a", PLAN_SUM),), ("b",)),))
STATE = StoreState(
    now_ms=T,
    reports={"a": Report("a", 1, 7, T, T - 5, "down", "up", 5, 10, 800, 3, 9000, T - 60), "b": Report("b", 2, 1, T)},
    seen={"a": T, "b": T, "c": T - 1},
    gap_begin_ms=T - 9000,
    gap_end_ms=T - 3000,
    overrides={
        "o": Override("o", "drain", Target(pop="p"), 5, 9, 2, 0, (), "ana", "Umbau „Süd“"),
        "p": Override("p", "pin", Target(service="s.example.", view="CN||"), 5, 9, edges=("a", "b"), reason="r"),
    },
    plan=PLAN,
)

_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_counts = st.integers(0, (1 << 63) - 1)
_costs = st.floats(allow_nan=False, allow_infinity=False)
_reports = st.builds(
    Report, _texts, _counts, _counts, _counts, _counts, st.sampled_from(VERDICTS), st.sampled_from(VERDICTS),
    _counts, _counts, st.integers(-1, 1000), _counts, _counts, _counts,
)  # fmt: skip
_overrides = st.builds(
    Override, _texts, st.sampled_from(KINDS), st.builds(Target, _texts, _texts, _texts, _texts), _counts, _counts,
    _counts, _counts, st.lists(_texts, max_size=3).map(tuple), _texts, _texts,
)  # fmt: skip
_rows = st.builds(
    PlanRow, _texts, _texts, _texts, _texts, st.lists(st.tuples(_texts, _counts), max_size=3).map(tuple),
    st.lists(_texts, max_size=3).map(tuple), _counts, st.lists(_costs, max_size=3).map(tuple),
)  # fmt: skip
_plans = st.builds(
    Plan, _texts, _texts, _counts, _counts, _counts, st.lists(_rows, max_size=3).map(tuple),
    st.dictionaries(_texts, st.builds(PlanInput, _costs, _texts), max_size=2),
    st.lists(st.builds(Forced, _texts, _texts, _counts), max_size=2).map(tuple),
    st.dictionaries(_texts, st.builds(PlannedEdge, _counts, _counts, _counts), max_size=2),
    st.lists(st.builds(BindingCap, _texts, _texts, _counts, _costs), max_size=2).map(tuple),
)  # fmt: skip
_states = st.builds(
    StoreState, _counts, st.dictionaries(_texts, _reports, max_size=3), st.dictionaries(_texts, _counts, max_size=3),
    _counts, _counts, st.dictionaries(_texts, _overrides, max_size=3), st.none() | _plans,
    st.none(),
)  # fmt: skip


@pytest.mark.no_cover
@settings(max_examples=examples(100), deadline=None, derandomize=True)
@given(state=_states)
def test_whatever_it_is_it_comes_back(tmp_path_factory: pytest.TempPathFactory, state: StoreState) -> None:
    folder = tmp_path_factory.mktemp("state")
    kept.save(folder, state)
    assert kept.load(folder) == state


def test_nothing_kept_is_an_empty_state(tmp_path: Path) -> None:
    assert kept.load(tmp_path) == kept.load(tmp_path / "nowhere") == StoreState()


def test_the_newest_counts_and_nothing_else_is_left(tmp_path: Path) -> None:
    kept.save(tmp_path / "state", STATE)
    kept.save(tmp_path / "state", StoreState(5))
    assert kept.load(tmp_path / "state") == StoreState(5)
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["state.json"]


def torn(folder: Path, content: bytes, name: str = "state.json") -> str:
    """What is told of a file of that content."""
    path = folder / name
    path.write_bytes(content)
    with pytest.raises(GslbError) as raised:
        kept.load(folder)
    assert not path.exists()
    assert (folder / f"{name}.torn").read_bytes() == content
    wanted = StoreState() if name == kept.STATE else dataclasses.replace(STATE, plan=None)
    assert kept.load(folder) == wanted, "it is told once"
    reason = str(raised.value).removeprefix(f"{path}: ")
    assert reason.endswith(f"; set aside as {name}.torn")
    return reason.removesuffix(f"; set aside as {name}.torn")


@pytest.mark.parametrize("name", ["state.json", "plan.json"])
def test_a_torn_file_wherever_it_is_torn(tmp_path: Path, name: str) -> None:
    kept.save(tmp_path, STATE)
    content = (tmp_path / name).read_bytes()
    for at in sorted({*range(0, len(content), 5), *range(len(content) - 70, len(content))}):  # the checksum is last
        for other in (content[:at], content[:at] + bytes((content[at] ^ 1,)) + content[at + 1 :]):
            assert torn(tmp_path, other, name) == "its checksum differs"
    for other in (content + b"x", content + b"\n"):
        assert torn(tmp_path, other, name) == "its checksum differs"
    (tmp_path / name).write_bytes(content)
    assert kept.load(tmp_path) == STATE


def test_the_plan_may_be_let_be(tmp_path: Path) -> None:
    kept.save(tmp_path, STATE)
    plan = (tmp_path / "plan.json").stat()
    later = dataclasses.replace(STATE, now_ms=T + 5)
    kept.save(tmp_path, later, but_plan=True)
    assert kept.load(tmp_path) == later
    assert (tmp_path / "plan.json").stat() == plan


def test_an_older_version_kept_the_plan_with_the_rest(tmp_path: Path) -> None:
    kept.save(tmp_path, dataclasses.replace(STATE, plan=Plan("later")))
    (tmp_path / "state.json").write_bytes(signed(msgspec.json.encode({"format": 1, "state": STATE})))
    assert kept.load(tmp_path) == STATE


def signed(text: bytes) -> bytes:
    return text + b"\n" + hashlib.sha256(text).hexdigest().encode() + b"\n"


FOREIGN = [
    (b"", "is not a state: Input data was truncated"),
    (b"[]", "is not a state: Expected `object`, got `array`"),
    (b'{"format":1}', "is not a state: Object missing required field `state`"),
    (b'{"format":"1","state":{}}', "is not a state: Expected `int`, got `str` - at `$.format`"),
    (b'{"format":1,"state":{"now_ms":"x"}}', "is not a state: Expected `int`, got `str` - at `$.state.now_ms`"),
    (
        b'{"format":1,"state":{"reports":{"a":{"edge":"a"}}}}',
        "is not a state: Object missing required field `epoch` - at `$.state.reports[...]`",
    ),
    (b"\xff" * 20, "is not a state: JSON is malformed: invalid character (byte 0)"),
    (b'{"format":1,"state":{"seen":{"\xff":1}}}', "is not a state: "),
]


@pytest.mark.parametrize(("text", "reason"), FOREIGN)
def test_a_foreign_file(tmp_path: Path, text: bytes, reason: str) -> None:
    assert torn(tmp_path, signed(text)).startswith(reason)


def test_a_file_that_is_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MAX_BYTES", 100)
    assert torn(tmp_path, b"x" * 101) == "has more than 100 bytes"


def test_another_version_s_file_is_told_and_left(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(signed(b'{"format":2,"state":"other"}'))
    for _ in range(2):
        with pytest.raises(GslbError) as raised:
            kept.load(tmp_path)
        assert str(raised.value) == f"{path}: of format 2, made by another version of gslb"


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "state.json").mkdir()
    with pytest.raises(GslbError) as raised:
        kept.load(tmp_path)
    assert str(raised.value) == f"{tmp_path / 'state.json'}: cannot be read: Is a directory"


def test_what_cannot_be_set_aside_is_told(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_bytes(b"torn")
    (tmp_path / "state.json.torn").mkdir()
    with pytest.raises(GslbError, match=r"its checksum differs; it cannot be set aside: Is a directory$"):
        kept.load(tmp_path)


@pytest.mark.parametrize(
    ("state", "name"), [(StoreState(seen={"\ud800": 1}), "state.json"), (StoreState(plan=Plan("\ud800")), "plan.json")]
)
def test_what_json_does_not_have_is_not_written(tmp_path: Path, state: StoreState, name: str) -> None:
    kept.save(tmp_path, STATE)
    with pytest.raises(GslbError, match=rf"{name}: cannot be written: "):
        kept.save(tmp_path, state)
    assert kept.load(tmp_path) == STATE


def test_a_full_disk_leaves_what_was(tmp_path: Path) -> None:
    kept.save(tmp_path, STATE)
    Path(tmp_path, f".state.json.{os.getpid()}.tmp").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device"):
        kept.save(tmp_path, StoreState(seen={f"edge-{at}": at for at in range(10_000)}))
    assert kept.load(tmp_path) == STATE


def test_twenty_thousand_reports(tmp_path: Path) -> None:
    ids = [f"edge-{at:05}" for at in range(20_000)]
    state = StoreState(
        T, {edge: Report(edge, T, 5, T, T, load_bps=10**10) for edge in ids}, dict.fromkeys(ids, T), plan=PLAN
    )
    kept.save(tmp_path, state)
    assert kept.load(tmp_path) == state


# Plans.


def test_what_a_plan_is_based_on_is_not_kept(tmp_path: Path) -> None:
    state = StoreState(5, plan=PLAN, plan_base=Plan("v6"))
    kept.save(tmp_path, state)
    assert kept.load(tmp_path) == dataclasses.replace(state, plan_base=None)


def test_a_plan_and_back(tmp_path: Path) -> None:
    sha256 = kept.save_plan(tmp_path, PLAN)
    assert kept.load_plan(tmp_path, "v7", sha256) == PLAN
    path = tmp_path / "plans/v7.plan"
    os.utime(path, (1, 1))
    assert kept.save_plan(tmp_path, PLAN) == sha256
    assert path.stat().st_mtime > 1, "it is used again"


def test_a_plan_of_the_same_version_replaces_it(tmp_path: Path) -> None:
    former = kept.save_plan(tmp_path, PLAN)
    other = Plan("v7")
    sha256 = kept.save_plan(tmp_path, other)
    assert kept.load_plan(tmp_path, "v7", sha256) == other
    with pytest.raises(GslbError, match=r"plans/v7\.plan: plan: sha256: differs from that of the data"):
        kept.load_plan(tmp_path, "v7", former)


def test_a_torn_plan_is_written_again(tmp_path: Path) -> None:
    sha256 = kept.save_plan(tmp_path, PLAN)
    (tmp_path / "plans/v7.plan").write_bytes(b"torn")
    assert kept.save_plan(tmp_path, PLAN) == sha256
    assert kept.load_plan(tmp_path, "v7", sha256) == PLAN


def test_few_plans_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MAX_PLANS", 3)
    for at in range(6):
        kept.save_plan(tmp_path, Plan(f"v{at}"))
        os.utime(tmp_path / f"plans/v{at}.plan", (at + 1, at + 1))
    assert sorted(path.name for path in (tmp_path / "plans").iterdir()) == ["v3.plan", "v4.plan", "v5.plan"]
    with pytest.raises(GslbError, match=r"plans/v0\.plan: plan v0 is no longer kept$"):
        kept.load_plan(tmp_path, "v0", "")


BAD: list[tuple[Any, type[Exception], str]] = [
    (lambda folder: kept.save_plan(folder, Plan("../v1")), GslbError, r"^'\.\./v1' is not the version of a plan$"),
    (lambda folder: kept.load_plan(folder, "../v1", ""), GslbError, r"^'\.\./v1' is not the version of a plan$"),
    (lambda folder: kept.save_plan(folder, Plan("v1", issued_at_ms=5)), PlanError, "effective_at_ms: is before"),
    (lambda folder: kept.load_plan(folder, "dir", ""), GslbError, r"plans/dir\.plan: cannot be read: Is a directory"),
]


@pytest.mark.parametrize(("act", "error", "reason"), BAD)
def test_plans_that_cannot_be(tmp_path: Path, act: Any, error: type[Exception], reason: str) -> None:
    (tmp_path / "plans/dir.plan").mkdir(parents=True)
    with pytest.raises(error, match=reason):
        act(tmp_path)
