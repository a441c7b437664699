"""JSON Schemas: valid, equal to what is shipped, complete, and of one mind with the check where one file decides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from gslb.errors import Findings
from gslb.zone.models import Model
from gslb.zone.parse import parse
from gslb.zone.reading import read
from gslb.zone.schema import FILES, schemas

SCHEMAS = {name: json.loads(text) for name, text in schemas().items()}


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_valid_and_the_same_each_time(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])
    assert schemas()[name] == schemas()[name]
    assert schemas()[name].endswith("}\n")


def test_what_is_shipped_is_what_is_generated(repo: Path) -> None:
    shipped = {path.name: path.read_text("utf-8") for path in (repo / "zones/schema").glob("*.json")}
    assert shipped == schemas(), "gslb check --write-schema zones/schema"


def objects(node: Any, place: str) -> list[tuple[str, dict[str, Any]]]:
    if isinstance(node, list):
        return [each for i, item in enumerate(node) for each in objects(item, f"{place}/{i}")]
    if not isinstance(node, dict):
        return []
    own = [(place, node)] if "properties" in node else []
    return own + [each for key, item in node.items() for each in objects(item, f"{place}/{key}")]


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_every_key_is_described_and_no_other_allowed(name: str) -> None:
    for place, node in objects(SCHEMAS[name], name):
        assert node["additionalProperties"] is False, place
        assert [key for key, value in node["properties"].items() if not value.get("description")] == [], place


@pytest.mark.parametrize("model", [*FILES.values()])
def test_every_required_key_has_a_placeholder_that_is_sound(model: type[Model]) -> None:
    def models(root: type[Model]) -> set[type[Model]]:
        found = {root}
        for each in root.__subclasses__():
            found |= models(each)
        return found

    for each in models(Model):
        required = {field.alias or name for name, field in each.model_fields.items() if field.is_required()}
        assert set(each.PLACEHOLDERS) == required, each
        each.model_validate(each.PLACEHOLDERS)
    assert model in models(Model)


TIMES = "from: '2026-01-01T00:00:00Z', until: '2026-01-02T00:00:00Z'"
ROWS = [
    ("zone.json", "zone: a.", True),
    ("zone.json", "ttl: 5", False),
    ("zone.json", "{zone: a., ttl: 5m, soa: {serial: 1, refresh: 1h}, include: a.zone, services: , records: }", True),
    ("zone.json", "{zone: a., ttl: 5 minutes}", False),
    ("zone.json", "{zone: a., tll: 5}", False),
    ("zone.json", "{zone: a., records: {w: {A: 192.0.2.1, TXT: [a, b], MX: {ttl: 5m, data: [10 a]}, TYPE1: 1}}}", True),
    ("zone.json", "{zone: a., records: {w: {A: {ttl: 5}}}}", False),
    ("zone.json", "{zone: a., records: {w: [192.0.2.1]}}", False),
    ("zone.json", "{zone: a., records: {w: {A: []}}}", False),
    ("zone.json", "{zone: a., records: {w: {A: {data: []}}}}", False),
    ("zone.json", "{zone: a., records: {w: {}}}", False),
    ("zone.json", "{zone: a., records: {w: }}", False),
    ("zone.json", "{zone: a., services: {w: {pool: p, affinity: [isp, any], panic: 30%, hash_len: {v4: 24}}}}", True),
    ("zone.json", "{zone: a., services: {w: {affinity: nearest, fallback: {v4: 192.0.2.1}, dispatch: true}}}", True),
    ("zone.json", "{zone: a., services: {w: {affinity: near}}}", False),
    ("zone.json", "{zone: a., services: {w: {affinity: []}}}", False),
    ("zone.json", "{zone: a., services: {w: }, include: []}", True),
    ("zone.json", "{zone: a., services: {w: {answers: 17}}}", False),
    ("zone.json", "{zone: a., services: {w: {panic: 1.5}}}", False),
    ("zone.json", "{zone: a., services: {w: {on_all_down: shut}}}", False),
    ("zone.json", "{zone: a., defaults: {like: w}}", False),
    ("zone.json", "{zone: a., pools: {p: {e: 65535}}}", True),
    ("zone.json", "{zone: a., pools: {p: {e: 65536}}}", False),
    ("edges.json", "edges: {e: {pop: p, addresses: {v4: a}, location: {country: DE, lat: 1, lon: 1}}}", None),
    ("edges.json", "edges: {e: {pop: p, addresses: {v4: 192.0.2.1}, location: {country: DE, lat: 1.5, lon: 1}}}", True),
    ("edges.json", "edges: {e: {pop: p, addresses: {}, location: {country: Germany, lat: 1, lon: 1}}}", False),
    ("edges.json", "edges: {e: {pop: p, addresses: {}, location: {country: DE, lat: 91, lon: 1}}}", False),
    ("edges.json", "edges: {e: {pop: p, addresses: {}}}", False),
    ("edges.json", "edges: {e: {pop: p, addresses: {}, location: {country: DE, lat: 1, lon: 1}, fence: []}}", False),
    (
        "edges.json",
        "edges: {e: {pop: p, addresses: {v6: []}, location: {country: DE, lat: 1, lon: 1}, isps: []}}",
        True,
    ),
    ("edges.json", "{edges: {}, health: {stale_s: 2.5, silence_share: 30%}, rrl: {per_second: 5}}", True),
    ("edges.json", "{edges: {}, rrl: {slip: 5}}", False),
    ("isps.json", "isps: {a: {asns: [1, AS2], names: [b]}, b: {asns: 3}}", True),
    ("isps.json", "isps: {a: {asn: 1}}", False),
    ("dispatch.json", "{alpha: 0.5, knee: 75%, small_group_bps: 5Mbps, round_s: 30, edges: , network: }", True),
    ("dispatch.json", "{edges: {e: {capacity: 1Gbps, price: 2}}, pops: {p: }, regions: {r: {pops: p}}}", True),
    ("dispatch.json", "{edges: {e: {capacity: 1Gb}}}", False),
    ("dispatch.json", "{edges: {e: {pops: [p]}}}", False),
    ("dispatch.json", "{regions: {r: {pops: []}}}", False),
    ("dispatch.json", "{regions: {r: {capacity: 1Gbps}}}", False),
    ("dispatch.json", "{network: {price: 1}}", False),
    ("dispatch.json", "{round_s: 5}", False),
    ("dispatch.json", "{move_share: 1.5}", False),
    ("events.json", "{streams: , maintenance: []}", True),
    ("events.json", f"streams: [{{name: a, service: b., {TIMES}, demand: 1Tbps, view: {{isp: AS1}}, ramp: 5m}}]", True),
    ("events.json", f"streams: [{{name: a, service: b., {TIMES}}}]", False),
    ("events.json", f"streams: {{name: a, service: b., {TIMES}, demand: 1Tbps}}", False),
    ("events.json", f"maintenance: [{{name: a, edge: b, {TIMES}, drain: 1h}}]", True),
    ("events.json", f"maintenance: [{{name: a, edge: b, {TIMES}, drain: soon}}]", False),
    ("events.json", f"maintenance: [{{name: a, {TIMES}, edges: [b]}}]", False),
]


@pytest.mark.parametrize(("name", "content", "sound"), ROWS)
def test_schema_and_model_agree(name: str, content: str, sound: bool | None) -> None:
    findings = Findings()
    read(FILES[name], parse("f", content.encode(), findings), findings)
    wrong = list(jsonschema.Draft202012Validator(SCHEMAS[name]).iter_errors(yaml.safe_load(content)))
    if sound is None:  # formats are for the editor to look at
        assert findings.errors
    else:
        assert (not findings.errors, not wrong) == (sound, sound)


def test_the_sample_is_sound_to_its_schemas(repo: Path) -> None:
    for path in sorted((repo / "zones").glob("*.yaml")):
        reserved = ("edges.yaml", "isps.yaml", "dispatch.yaml", "events.yaml")
        name = path.name.replace(".yaml", ".json") if path.name in reserved else "zone.json"
        text = path.read_text("utf-8")
        assert text.startswith(f"# yaml-language-server: $schema=schema/{name}\n"), path
        assert [
            error.message for error in jsonschema.Draft202012Validator(SCHEMAS[name]).iter_errors(yaml.safe_load(text))
        ] == []
