"""Reading `zones/` and `data/` as one, and what is kept in the state directory."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gslb
from gslb.errors import GslbError
from gslb.snapshot import layout
from gslb.store import atomic, files

GENERATION = bytes(range(32))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with zones, data and state; every file of `data/` an hour old."""
    contents = {
        "zones/edges.yaml": "edges: {}",
        "zones/live.yaml": "zone: live.example.",
        "zones/networks.csv": "prefix,isp",
        "zones/sub/static.zone": "www A 192.0.2.1",
        "zones/schema/zone.json": "{}",
        "zones/.hidden.yaml": "no",
        "zones/.git/config": "no",
        "data/resolvers.csv": "a",
        "data/rtt.csv": "b",
        "data/demand.csv": "c",
        "data/other.csv": "no",
        "data/make.py": "no",
        "data/isp/one.csv": "d",
        "data/isp/two.txt": "no",
        "data/geo/city.mmdb": "city",
        "data/geo/asn.mmdb": "asn",
        "data/geo/readme": "no",
        "state/x": "",
    }
    for name, text in contents.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if name.startswith("data/"):
            os.utime(path, (time.time() - 3600,) * 2)
    return tmp_path


def read(tree: Path) -> files.Sources:
    return files.read_sources(tree / "zones", tree / "data", state=tree / "state")


def told(sources: files.Sources, tree: Path) -> list[str]:
    return sorted(str(error).replace(str(tree) + "/", "") for error in sources.findings.errors)


def test_what_is_read(tree: Path) -> None:
    sources = read(tree)
    assert told(sources, tree) == []
    shown = {path.removeprefix(f"{tree}/"): content for path, content in sources.zone_files.items()}
    assert shown == {
        "zones/edges.yaml": b"edges: {}",
        "zones/live.yaml": b"zone: live.example.",
        "zones/networks.csv": b"prefix,isp",
        "zones/sub/static.zone": b"www A 192.0.2.1",
    }
    assert {path.removeprefix(f"{tree}/"): content for path, content in sources.tables.items()} == {
        "data/resolvers.csv": b"a",
        "data/rtt.csv": b"b",
        "data/demand.csv": b"c",
        "data/isp/one.csv": b"d",
    }
    assert sources.mmdb_paths == (tree / "data/geo/asn.mmdb", tree / "data/geo/city.mmdb")
    assert sources.databases[0] == (str(tree / "data/geo/asn.mmdb"), tree / "data/geo/asn.mmdb")
    assert len(sources.digests) == len(sources.zone_files) + len(sources.tables) + 2
    assert len(sources.generation) == 32


def test_data_may_be_absent_but_zones_may_not(tree: Path) -> None:
    sources = files.read_sources(tree / "zones", tree / "nowhere")
    assert (told(sources, tree), sources.tables, sources.databases) == ([], {}, ())
    assert told(files.read_sources(tree / "nowhere", tree / "data"), tree) == ["nowhere:0:0: no such directory"]


def test_generation_is_of_names_contents_and_versions_alone(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = read(tree).generation
    tree.rename(tree.with_name("elsewhere"))
    tree = tree.with_name("elsewhere")
    (tree / "zones/live.yaml").touch()
    (tree / "zones/schema/edges.json").write_text("{}")
    (tree / "data/other.csv").write_text("changed")
    assert read(tree).generation == first
    found = {first}
    for name, text in [("zones/live.yaml", "zone: other."), ("data/isp/one.csv", "e"), ("data/geo/city.mmdb", "CITY")]:
        (tree / name).write_text(text)
        found.add(read(tree).generation)
    (tree / "data/rtt.csv").rename(tree / "data/isp/rtt.csv")
    found.add(read(tree).generation)
    monkeypatch.setattr(layout, "VERSION", 99)
    found.add(read(tree).generation)
    monkeypatch.setattr(gslb, "__version__", "99")
    found.add(read(tree).generation)
    assert len(found) == 7


def test_what_only_dispatch_reads_is_nothing_to_a_catalog(tree: Path) -> None:
    first = read(tree).generation
    for name in ("zones/dispatch.yaml", "zones/events.yaml", "data/demand.csv"):
        for text in ("one", "another"):
            (tree / name).write_text(text)
            assert read(tree).generation == first
    sources = read(tree)
    assert {f"{tree}/zones/dispatch.yaml", f"{tree}/zones/events.yaml"} <= set(sources.zone_files)
    left = sources.of_catalog()
    assert left.generation == first
    gone = (set(sources.zone_files) - set(left.zone_files)) | (set(sources.tables) - set(left.tables))
    assert gone == {f"{tree}/zones/dispatch.yaml", f"{tree}/zones/events.yaml", f"{tree}/data/demand.csv"}
    (tree / "zones/sub/dispatch.yaml").write_text("a file of that name that a zone may include")
    assert read(tree).generation != first


def test_what_cannot_be_read_is_told_and_the_rest_is_read(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tree / "zones/broken.yaml").symlink_to("nowhere")
    (tree / "zones/loop.yaml").symlink_to("loop.yaml")
    os.mkfifo(tree / "zones/pipe.yaml")
    (tree / "data/rtt.csv").unlink()
    (tree / "data/rtt.csv").mkdir()
    (tree / "data/demand.csv").unlink()
    (tree / "data/demand.csv").symlink_to("gone.csv")
    (tree / "zones/long.yaml").write_bytes(b"x" * 40)
    monkeypatch.setattr(files, "MAX_BYTES", 30)
    sources = read(tree)
    assert told(sources, tree) == [
        "data/demand.csv:0:0: cannot be read: No such file or directory",
        "data/rtt.csv:0:0: not a regular file",
        "zones/broken.yaml:0:0: cannot be read: No such file or directory",
        "zones/long.yaml:0:0: the file has 40 bytes; at most 30 are read",
        "zones/loop.yaml:0:0: cannot be read: Too many levels of symbolic links",
        "zones/pipe.yaml:0:0: not a regular file",
    ]
    assert len(sources.zone_files) == 4


def test_a_file_that_goes_between_listing_and_reading(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", gone)
    sources = files.read_sources(tree / "zones", tree / "nowhere")
    assert told(sources, tree)[0] == "zones/edges.yaml:0:0: cannot be read: Permission denied"
    assert sources.digests == {}


def test_too_many_files(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_FILES", 3)
    sources = read(tree)
    assert told(sources, tree) == ["zones:0:0: 10 files, at most 3 are read"]
    assert len(sources.digests) == 3


def test_folders_are_followed_only_so_deep(tree: Path) -> None:
    (tree / "zones/loop").symlink_to(".", target_is_directory=True)
    sources = read(tree)
    assert told(sources, tree) == []
    assert max(path.count("/loop/") + path.count("loop") for path in sources.zone_files) <= 8
    assert any("loop/live.yaml" in path for path in sources.zone_files)


def test_a_config_map(tree: Path) -> None:
    """Kubernetes swaps ``..data`` from one timestamped folder to another; each file is a symlink through it."""
    mounted = tree / "mounted"
    for folder, text in (("..2026_1", "one"), ("..2026_2", "two")):
        (mounted / folder).mkdir(parents=True)
        (mounted / folder / "live.yaml").write_text(text)
    (mounted / "..data").symlink_to("..2026_1")
    (mounted / "live.yaml").symlink_to("..data/live.yaml")
    first = files.read_sources(mounted, tree / "nowhere")
    assert list(first.zone_files.items()) == [(str(mounted / "live.yaml"), b"one")]
    (mounted / "..tmp").symlink_to("..2026_2")
    (mounted / "..tmp").replace(mounted / "..data")
    second = files.read_sources(mounted, tree / "nowhere")
    assert list(second.zone_files.values()) == [b"two"]
    assert first.generation != second.generation


def test_a_change_while_reading_is_read_again(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = files._contents
    edits = iter([True, False])

    def contents(*arguments: Any) -> files.Sources:
        found = inner(*arguments)
        if next(edits, False):
            (tree / "zones/new.yaml").write_text("zone: new.")
        return found

    monkeypatch.setattr(files, "_contents", contents)
    sources = read(tree)
    assert told(sources, tree) == []
    assert str(tree / "zones/new.yaml") in sources.zone_files


def test_files_that_never_rest_are_told(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = files._contents

    def contents(*arguments: Any) -> files.Sources:
        found = inner(*arguments)
        with (tree / "zones/live.yaml").open("a") as file:
            file.write("#")
        return found

    monkeypatch.setattr(files, "_contents", contents)
    assert told(read(tree), tree) == ["zones:0:0: the files keep changing while they are read"]


def test_databases_are_hashed_once(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = read(tree)
    opened: list[Path] = []
    inner = Path.open

    def opening(path: Path, *arguments: Any, **named: Any) -> Any:
        opened.append(path)
        return inner(path, *arguments, **named)

    monkeypatch.setattr(Path, "open", opening)
    assert read(tree).digests == first.digests
    assert [path for path in opened if path.suffix == ".mmdb"] == []
    (tree / "data/geo/city.mmdb").write_text("CITY")
    assert read(tree).digests["data/geo/city.mmdb"] != first.digests["data/geo/city.mmdb"]
    # It was written a moment ago, so a further write could leave no trace: it is hashed again.
    opened.clear()
    (tree / "data/geo/city.mmdb").write_text("TOWN")
    assert read(tree).digests["data/geo/city.mmdb"] != first.digests["data/geo/city.mmdb"]
    assert tree / "data/geo/city.mmdb" in opened
    assert tree / "data/geo/asn.mmdb" not in opened


@pytest.mark.parametrize("memo", [b"", b"{", b"[1]", b"\xff", b"null", b'{"PATH": 5}', b'{"PATH": [1, 2, 3, "x"]}'])
def test_a_broken_memo_is_an_empty_one(tree: Path, memo: bytes) -> None:
    wanted = read(tree).digests
    path = tree / "state/digests.json"
    path.write_bytes(memo.replace(b"PATH", str(tree / "data/geo/city.mmdb").encode()))
    assert read(tree).digests == wanted
    assert b"city.mmdb" in path.read_bytes()


def test_a_memo_that_lies_about_the_digest_is_not_believed(tree: Path) -> None:
    wanted = read(tree).digests
    path = tree / "state/digests.json"
    digest = wanted["data/geo/city.mmdb"]
    path.write_text(path.read_text().replace(digest, digest[:-1]))
    assert read(tree).digests == wanted


def test_a_state_that_cannot_be_written_costs_only_time(tree: Path) -> None:
    sources = files.read_sources(tree / "zones", tree / "data", state=tree / "state/x")
    assert told(sources, tree) == []
    assert len(sources.databases) == 2


def test_names_that_are_not_utf8_can_be_shown(tree: Path) -> None:
    (tree / "zones" / os.fsdecode(b"b\xe9.yaml")).write_text("zone: b.")
    sources = read(tree)
    assert str(tree / "zones/b\\xe9.yaml") in sources.zone_files
    assert len(sources.generation) == 32


# State.


def test_write_atomic_replaces_the_whole(tmp_path: Path) -> None:
    path = tmp_path / "a/b"
    atomic.write_atomic(path, [b"one", memoryview(b" two")])
    atomic.write_atomic(path, [b"three"])
    assert path.read_bytes() == b"three"
    assert [each.name for each in path.parent.iterdir()] == ["b"]


def test_write_atomic_that_fails_leaves_what_was(tmp_path: Path) -> None:
    path = tmp_path / "b"
    atomic.write_atomic(path, [b"one"])

    def pieces() -> Any:
        yield b"half"
        raise RuntimeError("torn")

    with pytest.raises(RuntimeError, match="torn"):
        atomic.write_atomic(path, pieces())
    assert path.read_bytes() == b"one"
    assert [each.name for each in tmp_path.iterdir()] == ["b"]


def arrays() -> dict[str, Any]:
    return {name: np.zeros(3, dtype) for name, dtype in layout.CATALOG_SECTIONS.items()}


def test_a_catalog_and_back(tmp_path: Path) -> None:
    path = files.write_catalog(tmp_path, GENERATION, arrays())
    assert path == files.catalog_path(tmp_path, GENERATION) == tmp_path / f"catalog/{GENERATION.hex()}.cat"
    generation, found = layout.unpack(layout.CATALOG_MAGIC, files.read_catalog(path))
    assert generation == GENERATION
    assert {name: len(array) for name, array in found.items()} == dict.fromkeys(layout.CATALOG_SECTIONS, 3)


def test_a_catalog_outlives_its_file(tmp_path: Path) -> None:
    path = files.write_catalog(tmp_path, GENERATION, arrays())
    buffer = files.read_catalog(path)
    path.unlink()
    assert layout.unpack(layout.CATALOG_MAGIC, buffer)[0] == GENERATION


TORN = [
    (lambda content: b"", "empty"),
    (lambda content: content[:40], "snapshot: shorter than its header"),
    (lambda content: content[:-1], "snapshot: "),
    (lambda content: content[:-70] + b"\1" + content[-69:], "snapshot: checksum differs"),
    (lambda content: b"not a catalog" * 20, "snapshot: magic b'not a ca' is not b'GSLBCAT\\x00'"),
]


@pytest.mark.parametrize(("tear", "reason"), TORN)
def test_a_torn_catalog_is_set_aside_and_said(tmp_path: Path, tear: Any, reason: str) -> None:
    path = files.write_catalog(tmp_path, GENERATION, arrays())
    path.write_bytes(tear(path.read_bytes()))
    before = path.read_bytes()
    with pytest.raises(GslbError) as raised:
        files.read_catalog(path)
    assert str(raised.value).startswith(f"{path}: {reason}")
    assert path.read_bytes() == before, "who only reads it leaves it"
    with pytest.raises(GslbError) as raised:
        files.read_catalog(path, set_aside=True)
    assert str(raised.value).startswith(f"{path}: {reason}")
    assert str(raised.value).endswith(f"; set aside as {GENERATION.hex()}.cat.torn")
    assert [each.name for each in path.parent.iterdir()] == [f"{GENERATION.hex()}.cat.torn"]


def test_a_catalog_of_another_version_stays(tmp_path: Path) -> None:
    path = files.write_catalog(tmp_path, GENERATION, arrays())
    content = path.read_bytes()
    path.write_bytes(content[:8] + (layout.VERSION + 1).to_bytes(4, "little") + content[12:])
    with pytest.raises(GslbError, match=r"made by another version of gslb$"):
        files.read_catalog(path)
    assert path.exists()


def test_a_catalog_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(GslbError, match=r"cannot be read: No such file or directory$"):
        files.read_catalog(tmp_path / "x.cat")


def test_applied(tmp_path: Path) -> None:
    assert files.applied(tmp_path) is None
    files.set_applied(tmp_path, GENERATION)
    assert files.applied(tmp_path) == GENERATION
    files.set_applied(tmp_path, bytes(32))
    assert files.applied(tmp_path) == bytes(32)


@pytest.mark.parametrize("content", [b"", b"xyz", b"00ff", b"\xff" * 64, "é".encode()])
def test_a_torn_pointer_is_set_aside_and_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "applied").write_bytes(content)
    with pytest.raises(GslbError, match=r"applied: not a generation; set aside as applied\.torn$"):
        files.applied(tmp_path)
    assert (tmp_path / "applied.torn").read_bytes() == content
    assert files.applied(tmp_path) is None


def test_a_pointer_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "applied").mkdir()
    with pytest.raises(GslbError, match=r"applied: cannot be read: Is a directory$"):
        files.applied(tmp_path)


def test_prune(tmp_path: Path) -> None:
    assert files.prune(tmp_path, []) == []
    generations = [bytes((number,)) * 32 for number in range(6)]
    for age, generation in enumerate(generations):
        path = files.write_catalog(tmp_path, generation, arrays())
        os.utime(path, (1000 - age, 1000 - age))
        path.with_suffix(".json").write_text("what is kept beside it")
    (tmp_path / "catalog/.x.cat.17.tmp").write_text("half")
    (tmp_path / f"catalog/{generations[3].hex()}.cat.torn").write_text("torn")
    deleted = files.prune(tmp_path, [generations[5]], spare=2)
    left = [generations[0], generations[1], generations[5]]
    wanted = {f"{each.hex()}.{kind}" for each in left for kind in ("cat", "json")} | {
        f"{generations[3].hex()}.cat.torn"
    }
    assert {path.name for path in (tmp_path / "catalog").iterdir()} == wanted
    assert len(deleted) == 7
    assert files.prune(tmp_path, [generations[5]], spare=2) == []


@pytest.mark.parametrize(
    ("spare", "catalogs", "left"), [(1, 0.5, 1), (1, 3, 3), (1, 3.5, 3), (2, 1, 2), (0, 0, 0), (0, 9, 6)]
)
def test_prune_keeps_what_takes_little_room(tmp_path: Path, spare: int, catalogs: float, left: int) -> None:
    """``spare_bytes`` is given in sizes of a catalog."""
    paths = [files.write_catalog(tmp_path, bytes((number,)) * 32, arrays()) for number in range(6)]
    for age, path in enumerate(paths):
        os.utime(path, (1000 - age, 1000 - age))
    (tmp_path / "catalog/.x.cat.17.tmp").touch()
    files.prune(tmp_path, [], spare, int(catalogs * paths[0].stat().st_size))
    assert set((tmp_path / "catalog").iterdir()) == set(paths[:left])
