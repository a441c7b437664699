"""The chooser's law, on every row of the query table; and its off switch."""

from __future__ import annotations

import pytest
from gslbtest.query_rows import QUERIES, REFUSALS
from gslbtest.world import NOW_S, RESOLVER, World

from gslb.answer import fast


@pytest.mark.parametrize("row", [*QUERIES, *REFUSALS], ids=lambda row: f"{row.rule}: {row.case}")
def test_misses_or_agrees(net: World, row: object) -> None:
    packet: bytes = row.packet
    found = fast.answer(packet, RESOLVER, NOW_S, 1)
    assert isinstance(found, fast.Miss) or found == net.ask(packet, draw=1)


@pytest.mark.parametrize(("value", "wanted"), [(None, True), ("", True), ("0", True), ("1", False), ("yes", False)])
def test_off_switch(value: str | None, wanted: bool) -> None:
    environment = {} if value is None else {fast.OFF_SWITCH: value}
    assert fast.wanted(environment) is wanted


def test_miss_shows_its_name() -> None:
    assert repr(fast.MISS) == "MISS"
