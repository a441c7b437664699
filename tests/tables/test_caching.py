"""What caches kept from servers: rates that are known, cut by dead time and given back."""

from __future__ import annotations

from typing import Final

import pytest
from gslbtest.tables import run

from gslb.measure.engine import Engine
from gslb.model import records
from gslb.tables import caching

SLICE_S: Final = 1_767_225_600
NAMES: Final = {
    "slice_s": records.WHOLE,
    "service": records.TEXT,
    "view": records.TEXT,
    "qname_crc": records.WHOLE,
    "rows": records.WHOLE,
    "questions": records.WHOLE,
    "ttl_s": records.REAL,
}
ENTRIES: Final = {"slice_s": records.WHOLE, "view": records.TEXT, "entries": records.WHOLE}

Name = tuple[str, str, int, int, int, float]
"""Service, view, name, rows, questions and TTL."""

CASES: Final[list[tuple[str, list[Name], float]]] = [
    # of 3 questions a minute by each of 100 entries, TTL 20 s, one half is heard: 1.5 = 3 / (1 + 3 × 20 / 60)
    ("at the bound", [("s.", "v", 1, 750, 750, 20.0)], 2.0),
    ("a third of that", [("s.", "v", 1, 300, 300, 20.0)], 1.25),
    ("nobody asks again", [("s.", "v", 1, 1, 1, 20.0)], 1 / (1 - 20 / 30_000)),
    ("answers that are not kept", [("s.", "v", 1, 30_000, 30_000, 0.0)], 1.0),
    ("a farm of caches asks oftener than one could", [("s.", "v", 1, 90_000, 90_000, 20.0)], 2.0),
    ("one name of two is asked for much", [("s.", "v", 1, 750, 750, 20.0), ("s.", "v", 2, 0, 750, 20.0)], 1.5),
    ("a row in four is logged, by its entry", [("s.", "v", 1, 300, 1200, 20.0)], 1.25),
]


@pytest.mark.parametrize(("names", "factor"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_was_not_heard(engine: Engine, names: list[Name], factor: float) -> None:
    rows = [{"slice_s": SLICE_S, **dict(zip(list(NAMES)[1:], name, strict=True))} for name in names]
    entries = [{"slice_s": SLICE_S, "view": "v", "entries": 100}]
    (found,) = run(caching.arrivals, [(rows, NAMES), (entries, ENTRIES)], engine)
    assert found == {"slice_s": SLICE_S, "service": "s.", "view": "v", "arrivals": pytest.approx(factor)}


def test_each_slice_service_and_view_by_itself(engine: Engine) -> None:
    keys = [(at, service, view) for at in (SLICE_S, SLICE_S + 300) for service in ("s.", "t.") for view in ("v", "w")]
    rows = [
        {
            "slice_s": at,
            "service": service,
            "view": view,
            "qname_crc": 1,
            "rows": number,
            "questions": number,
            "ttl_s": 30.0,
        }
        for number, (at, service, view) in enumerate(keys, 1)
    ]
    entries = [
        {"slice_s": at, "view": view, "entries": 10 if view == "v" else 20}
        for at in (SLICE_S, SLICE_S + 300)
        for view in ("v", "w")
    ]
    found = run(caching.arrivals, [(rows, NAMES), (entries, ENTRIES)], engine)
    factors = {(row["slice_s"], row["service"], row["view"]): row["arrivals"] for row in found}
    assert factors == {
        key: pytest.approx(1 / (1 - number / (10 if key[2] == "v" else 20) * 0.1)) for number, key in enumerate(keys, 1)
    }
