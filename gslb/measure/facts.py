"""What zones and data say, as tables to join with: where networks are, which services and edges there are.

They are made once of equal files and kept in a folder of the warehouse as Parquet, since of millions of networks that
takes seconds. Files with faults leave what was read before.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from gslb.errors import Findings, GslbError
from gslb.geo.facts import distinct
from gslb.geo.prefix import host_masks
from gslb.geo.view import Geography, Located, merge
from gslb.measure.arrow import Texts, write_columns
from gslb.measure.engine import Engine
from gslb.measure.silver import Facts
from gslb.model import records
from gslb.model.intent import Intent
from gslb.model.names import to_text
from gslb.snapshot import compile as files_of_catalog
from gslb.store.atomic import write_atomic
from gslb.store.files import Sources, read_sources

FORMAT: Final = 1
"""Of the files kept: another one makes them anew."""

Column = npt.NDArray[Any] | Texts

_CURRENT: Final = "_current.json"
_TABLES: Final = {"places": records.PLACES, "services": records.SERVICES, "edges": records.EDGES}


class FactColumns(NamedTuple):
    """The tables as columns, by the names of `records`."""

    places: Mapping[str, Column]
    services: Mapping[str, Column]
    edges: Mapping[str, Column]

    @property
    def digest(self) -> str:
        """Of all that they hold: 32 hexadecimal digits."""
        found = hashlib.sha256()
        for table in self:
            for name, column in table.items():
                values, texts = column if isinstance(column, Texts) else (column, ())
                found.update(repr((name, len(values), *texts)).encode())
                found.update(np.ascontiguousarray(values).data)
        return found.hexdigest()[:32]


class _Kept(msgspec.Struct, frozen=True):
    """What lies in the folder: of which files it was made, and what it holds."""

    generation: str
    digest: str


def read(zones: Path, data: Path, engine: Engine, folder: Path) -> Facts:
    """The tables by the files that are there now; ``folder`` keeps them, and nothing else. While the files have faults
    the tables are those of before, and ``fault`` tells. Raises `GslbError` where there are none."""
    folder.mkdir(parents=True, exist_ok=True)
    sources = read_sources(zones, data, state=folder).of_catalog()
    generation = f"{FORMAT}-{sources.generation.hex()[:32]}"
    kept, fault = _kept(folder), ""
    if kept is None or kept.generation != generation:
        try:
            kept = _make(sources, zones, folder, generation)
        except GslbError as error:
            if kept is None:
                raise
            fault = str(error)
    found = {name: engine.read([_path(folder, kept, name)], columns) for name, columns in _TABLES.items()}
    return Facts(**found, digest=kept.digest, fault=fault)


def columns(sources: Sources, zones: Path) -> FactColumns:
    """The tables of one reading of the files. Raises `ConfigErrors` with all their faults."""
    findings = Findings()
    findings.errors += sources.findings.errors
    files = files_of_catalog.read(sources.zone_files, sources.tables, sources.databases, findings, str(zones))
    geography = merge(files.layers, findings)
    findings.raise_if_any()
    assert files.intent is not None
    return FactColumns(places(geography), _services(files.intent), _edges(files.intent))


def places(geography: Geography) -> dict[str, Column]:
    """`PLACES`: each prefix of which something else is known than of the one around it. See `Located`."""
    views = geography.views
    first, key_of = distinct([views.country, views.region, views.isp])
    pieces = [(4, *_prefixes(geography.v4, key_of, 32)), (6, *_prefixes(geography.v6, key_of, 64))]
    family = np.concatenate([np.full(len(nets), family, dtype=np.int64) for family, nets, _, _ in pieces])
    nets, lens, keys = (np.concatenate([piece[at] for piece in pieces]) for at in (1, 2, 3))
    view = first[keys]
    texts = {name: Texts(getattr(views, name)[view], views.strings) for name in ("country", "region", "isp")}
    return {"family": family, "net": nets, "len": lens, **texts}


def _prefixes(
    located: Located, key_of: npt.NDArray[np.uint32], bits: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.uint32]]:
    """First address, length and key of each node whose key is another than its parent's; of the whole space only where
    something is known."""
    nets = _node_starts(located, bits)
    keys = key_of[located.node_view]
    keep = keys != keys[located.node_parent]
    keep[0] = keys[0] != key_of[0]
    signed = nets[keep].view(np.int64) if bits == 64 else nets[keep].astype(np.int64)
    return signed, located.node_len[keep].astype(np.int64), keys[keep]


def _node_starts(located: Located, bits: int) -> npt.NDArray[Any]:
    """The first address of each node: that of any interval in it, or of any node below it, cut to its length."""
    hosts = host_masks(bits)
    lens, parents = located.node_len, located.node_parent
    nets = np.zeros(len(lens), dtype=located.starts.dtype)
    nets[located.nodes] = located.starts & ~hosts[lens[located.nodes]]
    order = np.argsort(lens, kind="stable")
    bounds = np.searchsorted(lens[order], np.arange(bits + 2))
    for length in range(bits, 0, -1):
        rows = order[bounds[length] : bounds[length + 1]]
        above = parents[rows]
        nets[above] = nets[rows] & ~hosts[lens[above]]
    return nets


def _services(intent: Intent) -> dict[str, Column]:
    services = sorted((to_text(service.name), service.ttl_s) for zone in intent.zones for service in zone.services)
    return {"service": _texts([name for name, _ in services]), "ttl_s": _wholes([ttl_s for _, ttl_s in services])}


def _edges(intent: Intent) -> dict[str, Column]:
    edges = sorted(intent.edges, key=lambda edge: edge.id)
    return {
        "edge": _texts([edge.id for edge in edges]),
        "pop": _texts([edge.pop for edge in edges]),
        "country": _texts([edge.location.country for edge in edges]),
        "region": _texts([edge.location.region for edge in edges]),
        "isps": _texts([" ".join(edge.isps) for edge in edges]),
        "capacity_bps": _wholes([edge.capacity_bps for edge in edges]),
    }


def _texts(values: list[str]) -> Texts:
    distinct_texts = {text: at for at, text in enumerate(dict.fromkeys(values))}
    return Texts(np.array([distinct_texts[text] for text in values], dtype=np.int32), tuple(distinct_texts))


def _wholes(values: list[int]) -> npt.NDArray[np.int64]:
    return np.array(values, dtype=np.int64)


def _kept(folder: Path) -> _Kept | None:
    """What is there whole; None where nothing is."""
    try:
        kept = msgspec.json.decode((folder / _CURRENT).read_bytes(), type=_Kept)
    except (OSError, msgspec.DecodeError):
        return None
    return kept if all(_path(folder, kept, name).is_file() for name in _TABLES) else None


def _make(sources: Sources, zones: Path, folder: Path, generation: str) -> _Kept:
    """Make the tables and keep them; those of before are removed."""
    made = columns(sources, zones)
    kept = _Kept(generation, made.digest)
    for (name, kinds), table in zip(_TABLES.items(), made, strict=True):
        path = _path(folder, kept, name)
        path.parent.mkdir(exist_ok=True)
        write_columns(path, table, kinds)
    write_atomic(folder / _CURRENT, [msgspec.json.encode(kept)])
    for path in folder.iterdir():
        if path.is_dir() and path.name != generation:
            shutil.rmtree(path, ignore_errors=True)
    return kept


def _path(folder: Path, kept: _Kept, name: str) -> Path:
    return folder / kept.generation / f"{name}.parquet"
