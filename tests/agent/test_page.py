"""docs/agent.md: its files are read as they stand, and show every key there is."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import BaseModel

from gslb.agent.config import PROBES, SOURCES, Config, load
from gslb.agent.models import AgentModel, LoadModel, ProbeModel, SourceModel

PAGE = Path(__file__).parents[2] / "docs/agent.md"
HEAD = "edge: fra-1\nstore: redis://127.0.0.1\n"


def blocks() -> list[str]:
    return re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def configs(tmp_path: Path) -> list[Config]:
    found = []
    for number, block in enumerate(blocks()):
        path = tmp_path / f"{number}.yaml"
        path.write_text(block if block.startswith("edge:") else HEAD + block)
        found.append(load(path, None, None, {}))
    return found


def test_every_kind_is_shown(tmp_path: Path) -> None:
    found = configs(tmp_path)
    assert [probe.kind for probe in found[0].probes] == list(PROBES)
    assert {config.load.kind for config in found if config.load} == set(SOURCES)


def test_every_key_is_shown() -> None:
    shown = set(re.findall(r"\b(\w+):\s", "\n".join(blocks())))
    models: list[type[BaseModel]] = [AgentModel, LoadModel, SourceModel, ProbeModel]
    known = {key for model in models for key in model.model_fields}
    assert known - shown == {"token_file"}, "which the minute's start shows"


def test_what_is_shown_as_a_default_is_one(tmp_path: Path) -> None:
    (found, *_), bare = configs(tmp_path), Config("fra-1", "x")
    assert (found.interval_s, found.timeout_s, found.down_at_end) == (bare.interval_s, bare.timeout_s, bare.down_at_end)
    first, *others = found.probes
    assert {(each.interval_s, each.timeout_s, each.rise, each.fall) for each in others} == {
        (first.interval_s, first.timeout_s, first.rise, first.fall)
    }
    assert found.probes[2].max_age_s == others[0].max_age_s
