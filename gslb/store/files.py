"""Files in and out: `zones/` and `data/` as one consistent reading, and the catalogs kept in the state directory.

The state directory holds ``catalog/<generation>.cat``, ``applied`` (the generation served last, in hexadecimal) and
``digests.json`` (what databases hashed to, so that they are not read again). Each is written beside its name, synced
and renamed, so that it is there whole or not at all; what is found torn all the same is set aside as ``*.torn``.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import mmap
import os
import stat
import time
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy.typing as npt

import gslb
from gslb.errors import Findings, GslbError
from gslb.snapshot import layout
from gslb.snapshot.prefix_rows import PrefixRows
from gslb.store.atomic import replacing, write_atomic
from gslb.zone.parse import MAX_BYTES

MAX_TABLE_BYTES = 1 << 30
MAX_DATABASE_BYTES = 8 << 30
MAX_FILES = 20_000
MAX_DEPTH = 4
"""Folders within folders under `zones/`."""

_TRIES = 5
_PIECE_BYTES = 1 << 20
_TABLES = ("resolvers.csv", "rtt.csv", "demand.csv")
_NOT_BUILT = ("zones/dispatch.yaml", "zones/events.yaml", "data/demand.csv")
"""What acts on published plans alone: an edit of it, or a fault in it, is nothing to a catalog."""
_MEMO_SETTLES_NS = 2 * 10**9


@dataclass(frozen=True, slots=True)
class Sources:
    """One reading of `zones/` and `data/`.

    ``zone_files`` and ``tables`` map the path to show to the content: all files of `zones/`, networks.csv among them,
    and the CSV files of `data/`. ``databases`` are the MMDB files: the path to show and the one to open. ``digests``
    maps ``zones/…`` and ``data/…``, wherever those lie, to SHA-256, ``shown`` to the path to show. ``findings`` tells
    what could not be read.
    """

    zone_files: dict[str, bytes]
    tables: dict[str, bytes]
    databases: tuple[tuple[str, Path], ...]
    digests: dict[str, str]
    findings: Findings
    shown: dict[str, str] = field(default_factory=dict)

    @property
    def mmdb_paths(self) -> tuple[Path, ...]:
        """The MMDB files, to open."""
        return tuple(path for _, path in self.databases)

    @property
    def generation(self) -> bytes:
        """What a catalog made of these files is keyed by: 32 bytes from their names and contents, the layout's version
        and this package's. Equal wherever the files are equal; those that only dispatch reads do not count."""
        digest = hashlib.sha256(f"gslb {gslb.__version__} layout {layout.VERSION}\n".encode())
        for name, content in sorted(self.digests.items()):
            if name in _NOT_BUILT:
                continue
            digest.update(f"{content} {name}\n".encode("utf-8", "surrogateescape"))
        return digest.digest()

    def of_catalog(self) -> Sources:
        """The files that a catalog is made of: without those that only dispatch reads."""
        left_out = {self.shown[name] for name in _NOT_BUILT if name in self.shown}
        return replace(
            self,
            zone_files={path: text for path, text in self.zone_files.items() if path not in left_out},
            tables={path: text for path, text in self.tables.items() if path not in left_out},
        )


def read_sources(zones: Path, data: Path, *, state: Path | None = None) -> Sources:
    """Read both directories. ``data`` may be absent. Names that begin with a dot are passed over, symlinks followed.

    The reading is of one moment: it is made again while a file changes meanwhile, and an error after five times.
    With ``state``, databases that have the size, time and inode they had are not read to be hashed.
    """
    for _ in range(_TRIES):
        findings = Findings()
        before = _listing(zones, data, findings)
        sources = _contents(before, findings, state)
        if _stamps(before) == _stamps(_listing(zones, data, Findings())):
            return sources
    sources.findings.error(str(zones), 0, 0, "the files keep changing while they are read")
    return sources


def catalog_path(state: Path, generation: bytes) -> Path:
    """Where the catalog of a generation is kept."""
    return state / "catalog" / f"{generation.hex()}.cat"


def write_catalog(
    state: Path, generation: bytes, arrays: Mapping[str, npt.NDArray[Any]], rows: PrefixRows | None = None
) -> Path:
    """Keep a catalog; ``arrays`` are the sections of `gslb.snapshot.layout`, ``rows`` makes those that are not there.

    What ``rows`` makes is written as it comes, and the file read once more for its checksum: the catalog is never in
    memory as a whole.
    """
    path = catalog_path(state, generation)
    magic = layout.CATALOG_MAGIC
    lengths = {name: array.size for name, array in arrays.items()} | (dict(rows.lengths) if rows else {})
    places = layout.place(magic, lengths)
    whole = ((name, 0, array) for name, array in arrays.items())
    with replacing(path) as file:
        file.truncate(places.size)
        file.seek(layout.HEADER.size)
        file.write(places.table)
        for name, first, part in itertools.chain(whole, rows.parts() if rows else ()):
            file.seek(places.offsets[name] + first * layout.CATALOG_SECTIONS[name].itemsize)
            file.write(layout.raw(magic, name, part))
        file.seek(layout.HEADER.size)
        crc = 0
        while piece := file.read(_PIECE_BYTES):
            crc = zlib.crc32(piece, crc)
        file.seek(0)
        file.write(layout.header(magic, generation, places.size, crc))
    return path


def read_catalog(path: Path, *, set_aside: bool = False, verify: bool = True) -> memoryview:
    """The bytes of a catalog, mapped and verified by their checksum; ``verify`` False leaves that out.

    Raises `GslbError` where the file is torn or not a catalog, or of another version of the layout. With ``set_aside``,
    for files of our own state directory alone, a torn one is renamed first, so that it is built again.
    """
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                raise GslbError(f"{path}: empty{_aside(path, set_aside)}")
            buffer = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        raise GslbError(f"{path}: cannot be read: {error.strerror}") from None
    if buffer[:8] == layout.CATALOG_MAGIC and buffer[8:12] != layout.VERSION.to_bytes(4, "little"):
        raise GslbError(f"{path}: made by another version of gslb")
    try:
        layout.unpack(layout.CATALOG_MAGIC, buffer, verify=verify)
    except GslbError as error:
        raise GslbError(f"{path}: {error}{_aside(path, set_aside)}") from None
    return buffer


def set_applied(state: Path, generation: bytes) -> None:
    """Remember which catalog is served."""
    write_atomic(state / "applied", [generation.hex().encode() + b"\n"])


def applied(state: Path) -> bytes | None:
    """The generation served last; None where none was. Raises `GslbError` where the file is torn, once set aside."""
    path = state / "applied"
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise GslbError(f"{path}: cannot be read: {error.strerror}") from None
    with contextlib.suppress(ValueError):
        generation = bytes.fromhex(content.decode())
        if len(generation) == 32:
            return generation
    raise GslbError(f"{path}: not a generation; set aside as {_set_aside(path).name}")


def prune(state: Path, keep: Collection[bytes], spare: int = 2, spare_bytes: int = 0) -> list[Path]:
    """Delete catalogs, and the ``.json`` beside each, but for the generations in ``keep`` and, of the others, the
    ``spare`` newest and those that do not take more than ``spare_bytes`` together with all that are newer; also torn
    ones beyond ``spare`` and what an interrupted write left. Returns what was deleted."""
    folder = state / "catalog"
    wanted = {catalog_path(state, generation) for generation in keep}
    deleted: list[Path] = []
    if not folder.is_dir():
        return deleted
    for pattern, left, left_bytes in (("*.cat", spare, spare_bytes), ("*.torn", spare, -1), (".*.tmp", 0, -1)):
        found = [(path, path.stat()) for path in folder.glob(pattern) if path not in wanted]
        found.sort(key=lambda pair: (pair[1].st_mtime_ns, pair[0].name), reverse=True)
        together = 0
        for at, (path, status) in enumerate(found):
            together += status.st_size
            if at < left or together <= left_bytes:
                continue
            beside = [path.with_suffix(".json")] if path.suffix == ".cat" else []
            for each in (path, *(other for other in beside if other.exists())):
                each.unlink(missing_ok=True)
                deleted.append(each)
    return deleted


@dataclass(frozen=True, slots=True)
class _Found:
    """A file to read: the path to show, the one to open, and what tells whether it changed."""

    shown: str
    path: Path
    stamp: tuple[int, int, int]  # size, mtime_ns, inode


def _listing(zones: Path, data: Path, findings: Findings) -> dict[str, _Found]:
    """The files by name: ``zones/live.yaml``, ``data/isp/telecom.csv``."""
    if not zones.is_dir():
        findings.error(str(zones), 0, 0, "no such directory")
    wanted: list[tuple[str, Path, int]] = []
    for path in _walk(zones, 0):
        name = path.relative_to(zones).as_posix()
        if not name.startswith("schema/"):
            limit = MAX_TABLE_BYTES if name == "networks.csv" else MAX_BYTES
            wanted.append((f"zones/{name}", path, limit))
    wanted += [(f"data/{name}", data / name, MAX_TABLE_BYTES) for name in _TABLES if _there(data / name)]
    for folder, ending, limit in (("isp", ".csv", MAX_TABLE_BYTES), ("geo", ".mmdb", MAX_DATABASE_BYTES)):
        paths = [path for path in _entries(data / folder) if path.name.endswith(ending)]
        wanted += [(f"data/{folder}/{path.name}", path, limit) for path in paths]
    found = {}
    for name, path, limit in wanted[:MAX_FILES]:
        stamp = _stamp(path, limit, findings)
        if stamp is not None:
            found[name] = _Found(_shown(path), path, stamp)
    if len(wanted) > MAX_FILES:
        findings.error(str(zones), 0, 0, f"{len(wanted)} files, at most {MAX_FILES} are read")
    return found


def _walk(folder: Path, depth: int) -> Iterator[Path]:
    for path in _entries(folder):
        if path.is_dir():
            if depth < MAX_DEPTH:
                yield from _walk(path, depth + 1)
        else:
            yield path


def _entries(folder: Path) -> list[Path]:
    """What lies in ``folder``, sorted, without hidden names (a ConfigMap's ``..data`` among them)."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return []


def _there(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def _stamp(path: Path, limit: int, findings: Findings) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError as error:
        findings.error(_shown(path), 0, 0, f"cannot be read: {error.strerror}")
        return None
    if not stat.S_ISREG(status.st_mode):
        findings.error(_shown(path), 0, 0, "not a regular file")
        return None
    if status.st_size > limit:
        findings.error(_shown(path), 0, 0, f"the file has {status.st_size} bytes; at most {limit} are read")
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino


def _shown(path: Path) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _stamps(listing: Mapping[str, _Found]) -> dict[str, tuple[int, int, int]]:
    return {name: found.stamp for name, found in listing.items()}


def _contents(listing: Mapping[str, _Found], findings: Findings, state: Path | None) -> Sources:
    zone_files: dict[str, bytes] = {}
    tables: dict[str, bytes] = {}
    databases: list[tuple[str, Path]] = []
    digests: dict[str, str] = {}
    memo = _Memo(state)
    for name, found in listing.items():
        try:
            if name.endswith(".mmdb") and name.startswith("data/"):
                digests[name] = memo.digest(found)
                databases.append((found.shown, found.path))
                continue
            content = found.path.read_bytes()
        except OSError as error:
            findings.error(found.shown, 0, 0, f"cannot be read: {error.strerror}")
            continue
        digests[name] = hashlib.sha256(content).hexdigest()
        (zone_files if name.startswith("zones/") else tables)[found.shown] = content
    memo.save()
    shown = {name: found.shown for name, found in listing.items()}
    return Sources(zone_files, tables, tuple(databases), digests, findings, shown)


class _Memo:
    """Digests of databases by path, valid while size, time and inode are the same. A broken memo is an empty one."""

    def __init__(self, state: Path | None) -> None:
        self.path = state / "digests.json" if state is not None else None
        self.known: dict[str, list[Any]] = {}
        self.used: dict[str, list[Any]] = {}
        if self.path is not None:
            with contextlib.suppress(OSError, ValueError):
                known = json.loads(self.path.read_bytes())
                if isinstance(known, dict):
                    self.known = known

    def digest(self, found: _Found) -> str:
        name = str(found.path.absolute())
        entry = self.known.get(name)
        if isinstance(entry, list) and len(entry) == 4 and tuple(entry[:3]) == found.stamp and _is_sha256(entry[3]):
            self.used[name] = entry
            return str(entry[3])
        with found.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if time.time_ns() - found.stamp[1] > _MEMO_SETTLES_NS:  # else a further write could leave the stamp as it is
            self.used[name] = [*found.stamp, digest]
        return digest

    def save(self) -> None:
        if self.path is not None and self.used != self.known:
            with contextlib.suppress(OSError):  # only time is lost
                write_atomic(self.path, [json.dumps(self.used, sort_keys=True).encode() + b"\n"])


def _is_sha256(value: object) -> bool:
    return isinstance(value, str) and len(value) == 64


def _aside(path: Path, wanted: bool) -> str:
    return f"; set aside as {_set_aside(path).name}" if wanted else ""


def _set_aside(path: Path) -> Path:
    aside = path.with_name(path.name + ".torn")
    with contextlib.suppress(OSError):
        path.replace(aside)
    return aside
