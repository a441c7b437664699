"""Invariant: the compiled path misses a packet, or parses and answers it as the reference does, byte for byte.

An atheris target: what of the reference a packet reaches guides the search. Source address, time and draw follow from
the packet, so a packet alone shows a fault again:

    PYTHONPATH=tests/lib python tests/fuzz/differential.py FILE
"""

from __future__ import annotations

import hashlib
import sys

import atheris

with atheris.instrument_imports(include=["gslb.wire", "gslb.answer", "gslb.geo.special"]):
    from gslb.answer.engine import Engine
    from gslb.wire import query as reference

from gslbtest import network
from gslbtest.agreement import parsed_alike
from gslbtest.world import NOW_S, RESOLVER, World, world

from gslb.model.report import Report, StoreState

SOURCES = [RESOLVER, bytes((198, 51, 100, 7)), bytes((127, 0, 0, 1)), bytes.fromhex("20010db8000100000000000000000001"),
           bytes(10) + b"\xff\xff\xc6\x33\x64\x07"]  # fmt: skip
TIMES_S = [0, NOW_S, 2**31 - 1, 2**31, 2**32 - 1, 2**32 + 5]


def worlds() -> list[World]:
    """The tests' network: quiet, with some edges gone, and failing open."""
    quiet = world(network.ZONES, network.TABLES)
    assert isinstance(quiet.engine, Engine)
    assert quiet.compiled is not None, "the differential needs the compiled path"
    found = [quiet]
    for down in (("ber-1", "nyc-1"), tuple(quiet.catalog.edge_ids)):
        reports = {edge: Report(edge, 1, 1, 5000, health4="down", health6="down") for edge in down}
        found.append(quiet.steered(StoreState(5000, reports, dict.fromkeys(down, 5000)), 5000))
    return found


WORLDS = worlds()


def one_input(packet: bytes) -> None:
    """Ask both paths; raises where they differ."""
    chance = int.from_bytes(hashlib.blake2b(packet, digest_size=16).digest())
    draw, rest = chance >> 64, chance & (1 << 64) - 1
    assert parsed_alike(reference.parse(packet), packet), packet.hex()
    WORLDS[rest % len(WORLDS)].ask(
        packet,
        SOURCES[(rest >> 16) % len(SOURCES)],
        now_s=TIMES_S[(rest >> 32) % len(TIMES_S)],
        draw=draw,
    )


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
