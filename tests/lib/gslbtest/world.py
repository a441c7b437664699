"""A small network in texts, compiled by the real path into an engine, for tests that ask it in process."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from gslb.answer import fast
from gslb.answer.engine import Engine, Identity, Trace
from gslb.model.report import StoreState
from gslb.snapshot import compile as compiling
from gslb.snapshot import layout, steering
from gslb.snapshot.catalog import Catalog
from gslb.snapshot.steering import Steering

RESOLVER = bytes((192, 0, 2, 200))
NOW_S = 1_800_000_000


class Compiled(Protocol):
    """What this module needs of the compiled path."""

    def answer(self, packet: bytes, source: bytes, now_s: int, draw: int) -> bytes | fast.Miss | None: ...


@dataclass(frozen=True)
class World:
    """Snapshots of one network, an engine over them, and the compiled path where it is there and wanted.

    With a compiled path, whatever is asked is asked of both, and they are held to the law.
    """

    catalog: Catalog
    steering: Steering
    engine: Engine
    compiled: Compiled | None = None

    def ask(
        self,
        packet: bytes,
        source: bytes = RESOLVER,
        *,
        now_s: int = NOW_S,
        draw: int = 1 << 63,
        tcp: bool = False,
        trace: Trace | None = None,
    ) -> bytes | None:
        """The engine's reply."""
        reply = self.engine.reply(packet, source, now_s=now_s, draw=draw, tcp=tcp, trace=trace or Trace())
        if self.compiled is not None and not tcp:
            found = self.compiled.answer(packet, source, now_s, draw)
            assert found is fast.MISS or found == reply, (packet.hex(), found, reply)
        return reply

    def misses(self, packet: bytes, source: bytes = RESOLVER) -> bool:
        """Whether the compiled path leaves a packet to the engine."""
        assert self.compiled is not None
        return self.compiled.answer(packet, source, NOW_S, 0) is fast.MISS

    def on_reference(self) -> World:
        """The same network without the compiled path."""
        return replace(self, compiled=None)

    def steered(self, state: StoreState, now_ms: int) -> World:
        """The same network in another state."""
        made = _world(self.catalog, state, now_ms, self.engine.identity)
        return made if self.compiled is not None else made.on_reference()


def world(
    zones: Mapping[str, str],
    tables: Mapping[str, str] | None = None,
    *,
    state: StoreState | None = None,
    identity: Identity | None = None,
) -> World:
    """Compile texts by their paths (``zones/…`` and ``data/…``); any error in them fails the test."""
    files = compiling.read(_encoded(zones), _encoded(tables or {}), [])
    arrays = compiling.build(files)
    assert not files.findings.errors, [str(error) for error in files.findings.errors]
    assert arrays is not None
    catalog = Catalog(compiling.in_memory(arrays, b"\xab" * 32))
    return _world(catalog, state or StoreState(), 0, identity or Identity(cookie_secrets=(bytes(range(16)),)))


def _world(catalog: Catalog, state: StoreState, now_ms: int, identity: Identity) -> World:
    arrays = steering.build(catalog.arrays, state, now_ms)
    packed = memoryview(b"".join(layout.pack(layout.STEERING_MAGIC, catalog.generation, arrays)))
    steered = Steering(packed)
    engine = Engine(catalog, steered, identity)
    snapshot, _ = fast.compiled(os.environ)
    return World(catalog, steered, engine, snapshot(catalog, steered, identity) if snapshot else None)


def _encoded(texts: Mapping[str, str]) -> dict[str, bytes]:
    return {path: text.encode() for path, text in texts.items()}
