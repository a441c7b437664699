"""docs/zones.md has every key with its default and an example, and its files are sound."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gslb.zone import dispatch_models, models
from gslb.zone.check import check
from gslb.zone.models import Model

FOUND = {**vars(models), **vars(dispatch_models)}
MODELS = [each for each in FOUND.values() if isinstance(each, type) and issubclass(each, Model)]


@pytest.fixture(scope="module")
def page() -> str:
    return (Path(__file__).parents[2] / "docs/zones.md").read_text("utf-8")


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_key_is_there(model: type[Model], page: str) -> None:
    for python_name, field in model.model_fields.items():
        name = field.alias or python_name
        assert re.search(rf"`{name}\b|[{{ ]{name}:", page), name
        default = re.search(r"default: ([\d.]+\w*)$", field.description or "")
        if default:
            assert re.search(rf"^\|[^|]*`{name}`[^|]*\|.*\| [^|]*{re.escape(default[1])}", page, re.MULTILINE) or (
                model is models.HashLengths and default[1] in page
            ), name


def test_the_files_of_the_page_are_sound(page: str) -> None:
    files = {
        path: text.encode()
        for path, text in re.findall(r"^```(?:yaml)?\n[#;] (zones/\S+)\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    }
    names = ("dispatch.yaml", "edges.yaml", "events.yaml", "isps.yaml", "live.example.yaml", "more.example.yaml")
    assert sorted(files) == [f"zones/{name}" for name in (*names, "static.zone")]
    found = check(files)
    assert [str(each) for each in found.findings.errors + found.findings.warnings] == []
