"""JSON Schemas of the files in `zones/`, generated from the models, for editors: text in, files out elsewhere.

They describe what YAML 1.2 makes of a text. What only several keys or files show is left to `gslb check`.
"""

from __future__ import annotations

import json
from typing import Any

from gslb.zone.dispatch_models import DispatchModel, EventsModel
from gslb.zone.models import EdgesModel, IspsModel, Model, ZoneModel

FILES: dict[str, type[Model]] = {
    "zone.json": ZoneModel,
    "edges.json": EdgesModel,
    "isps.json": IspsModel,
    "dispatch.json": DispatchModel,
    "events.json": EventsModel,
}
"""The files of `zones/schema/` and the model each comes from."""


def schemas() -> dict[str, str]:
    """The text of each schema by its file's name; equal for equal models."""
    return {name: _text(model) for name, model in FILES.items()}


def _text(model: type[Model]) -> str:
    schema = _tidy(model.model_json_schema())
    definitions = schema.pop("$defs", {})
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "$defs": definitions}
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def _tidy(node: Any) -> Any:
    """Without pydantic's titles, and without null and its default, which no file can write."""
    if isinstance(node, list):
        return [_tidy(each) for each in node if each != {"type": "null"}]
    if not isinstance(node, dict):
        return node
    kept = {
        key: {name: _tidy(value) for name, value in each.items()} if key in ("properties", "$defs") else _tidy(each)
        for key, each in node.items()
        if not (key == "title" and isinstance(each, str)) and key != "default"
    }
    alternatives = kept.get("anyOf")
    if isinstance(alternatives, list) and len(alternatives) == 1:
        del kept["anyOf"]
        kept = {**alternatives[0], **kept}
    return kept
