"""Catalogs in the state directory: built by a child process, found again, torn, remembered, pruned."""

from __future__ import annotations

import gc
import json
import os
from pathlib import Path

import pytest
import structlog.testing
from gslbtest.serving import write_files

from gslb.errors import GslbError
from gslb.server import build
from gslb.server.catalogs import Catalogs
from gslb.server.meta import Meta, RateLimit, read_meta


class Place:
    """Zones and a state directory."""

    def __init__(self, folder: Path, small: dict[str, str]) -> None:
        self.zones = write_files(folder / "zones", small)
        self.data = folder / "data"
        self.state = folder / "state"
        self.catalogs = Catalogs(self.zones, self.data, self.state)

    def build(self, base: Path | None = None) -> build.Built:
        """As the child does, in this process."""
        return build.build(self.zones, self.data, self.state, base)

    def edit(self, old: str, new: str) -> None:
        path = self.zones / "live.yaml"
        path.write_text(path.read_text().replace(old, new))


@pytest.fixture
def place(tmp_path: Path, small: dict[str, str]) -> Place:
    return Place(tmp_path, small)


async def test_a_build_in_a_child_is_found_again(place: Place) -> None:
    place.edit("fra: 100}", "fra: 100, sha: 1}")
    failed = await place.catalogs.build()
    assert [error.place for error in failed.errors] == [f"{place.zones}/live.yaml:11:29"]
    assert failed.catalog == ""
    place.edit(", sha: 1", "")
    assert place.catalogs.applied() is None
    built = await place.catalogs.build()
    assert (built.errors, built.moved) == ((), ())
    assert built.generation == await place.catalogs.generation()
    place.catalogs.remember(built)
    kept = place.catalogs.applied()
    assert kept is not None
    assert (kept.generation, str(kept.path), kept.meta) == (built.generation, built.catalog, Meta())


async def test_files_that_cannot_be_read_have_no_generation(place: Place) -> None:
    (place.zones / "gone.yaml").symlink_to("nowhere")
    assert await place.catalogs.generation() == ""
    assert [str(error) for error in place.build().errors] == [
        f"{place.zones}/gone.yaml:0:0: cannot be read: No such file or directory"
    ]


def test_no_zones_at_all(place: Place, tmp_path: Path) -> None:
    built = build.build(tmp_path / "nowhere", place.data, place.state, None)
    assert [str(error) for error in built.errors] == [f"{tmp_path}/nowhere:0:0: no such directory"]


def test_warnings_and_rate_limit_lie_beside(place: Place, small: dict[str, str]) -> None:
    (place.zones / "edges.yaml").write_text(
        small["edges.yaml"] + "rrl: {per_second: 5, slip: 3, allow: [192.0.2.0/24]}\n"
    )
    place.edit("fra: 100}", "fra: 100}\n  unused: {fra: 1}")
    built = place.build()
    assert len(built.warnings) == 1
    meta = read_meta(Path(built.catalog))
    assert meta == Meta(built.warnings, RateLimit(5, 3, 15, ("192.0.2.0/24",)))
    assert place.build() == built  # found, not built


def test_what_moves_is_measured_against_the_base(place: Place) -> None:
    base = Path(place.build().catalog)
    place.edit("sha: 100", "sha: 0")
    built = place.build(base)
    assert [(each.service, each.fraction, round(each.max_change, 3)) for each in built.moved] == [
        ("pull.live.example.", 0.5, 0.3)
    ]
    assert built.held == built.moved


@pytest.mark.parametrize("torn", ["cat", "json", "applied"])
def test_what_is_torn_is_set_aside_and_made_again(place: Place, torn: str) -> None:
    built = place.build()
    place.catalogs.remember(built)
    whole = place.catalogs.applied()
    path = place.state / "applied" if torn == "applied" else Path(built.catalog).with_suffix(f".{torn}")
    os.truncate(path, path.stat().st_size // 2)
    with structlog.testing.capture_logs() as logs:
        assert place.catalogs.applied() is None
    assert [log["event"] for log in logs] == ["the catalog applied last cannot be used"]
    assert path.with_name(path.name + ".torn").exists() == (torn != "json")
    assert place.build() == built
    place.catalogs.remember(built)
    assert place.catalogs.applied() == whole


def test_a_torn_catalog_is_found_by_the_build_too(place: Place) -> None:
    built = place.build()
    os.truncate(built.catalog, 1000)
    assert place.build() == built
    assert Path(f"{built.catalog}.torn").exists()


def test_what_cannot_be_remembered_names_the_path(place: Place) -> None:
    built = place.build()
    (place.state / "applied" / "x").mkdir(parents=True)
    with pytest.raises(GslbError) as caught:
        place.catalogs.remember(built)
    assert str(caught.value) == f"{place.state}/applied: cannot be written: Is a directory"


async def test_what_is_served_is_the_base(place: Place) -> None:
    """Also where it could not be remembered; where its file is torn, there is none."""
    place.catalogs.remember(place.build())
    place.edit("sha: 100", "sha: 0")
    served = place.build()
    assert [each.fraction for each in (await place.catalogs.build()).moved] == [0.5]
    place.catalogs.served = Path(served.catalog)
    assert (await place.catalogs.build()).moved == ()
    place.edit("sha: 0", "sha: 100")
    assert [each.fraction for each in (await place.catalogs.build()).moved] == [0.5]
    os.truncate(served.catalog, 1000)
    assert (await place.catalogs.build()).moved == ()
    assert served.catalog in place.catalogs.unusable


async def test_a_full_disk_is_told_with_its_place(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\necho 'OSError: [Errno 28] No space left on device' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(fake))
    with pytest.raises(GslbError) as caught:
        await place.catalogs.build()
    assert str(caught.value).endswith(f": OSError: [Errno 28] No space left on device: {place.state}")


@pytest.mark.parametrize(("room", "kept"), [(256 << 20, 6), (0, 2)])
def test_former_catalogs_are_kept_by_room(place: Place, monkeypatch: pytest.MonkeyPatch, room: int, kept: int) -> None:
    """For the journal's past: those served last, whenever they were built."""
    monkeypatch.setattr("gslb.server.catalogs.FORMER_BYTES", room)
    paths = []
    for number in range(6):
        place.edit("ttl: 300\n" if not number else f"ttl: {number}\n", f"ttl: {number + 1}\n")
        place.catalogs.remember(built := place.build())
        paths.append(Path(built.catalog))
        os.utime(paths[-1], (1000 + number, 1000 + number))
    place.edit("ttl: 6\n", "ttl: 300\n")
    oldest = place.build()
    os.utime(oldest.catalog, (1, 1))
    place.catalogs.remember(oldest)
    left = [Path(oldest.catalog), *paths[6 - kept :]]
    assert set((place.state / "catalog").iterdir()) == {
        each.with_suffix(end) for each in left for end in (".cat", ".json")
    }
    assert Path(oldest.catalog).stat().st_mtime > 2000, "served now: as if it were built now"


async def test_a_child_that_fails(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.state.parent.joinpath("state").write_text("no directory")
    with structlog.testing.capture_logs() as logs, pytest.raises(GslbError, match="the build ended with exit code 1: "):
        await place.catalogs.build()
    assert "Traceback" in next(log for log in logs if log["event"] == "the build failed")["said"]


def test_the_result_is_printed(
    place: Place, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    waived: list[object] = []  # by the child for itself; this process runs other tests yet
    monkeypatch.setattr(os, "nice", waived.append)
    monkeypatch.setattr(gc, "disable", lambda: waived.append("garbage"))
    assert build.main([str(place.zones), str(place.data), str(place.state)]) == 0
    assert json.loads(capfdbinary.readouterr().out)["errors"] == []
    assert waived == [5, "garbage"]


async def test_what_only_dispatch_reads_holds_up_no_edit(place: Place) -> None:
    """Its faults are for `gslb check` and for dispatch to tell; a change of it is no reload."""
    before = await place.catalogs.generation()
    write_files(place.zones, {"dispatch.yaml": "knee: 5\n", "events.yaml": "streams: x\n"})
    write_files(place.data, {"demand.csv": "time,service,demand_bps\nnow,a.,-1\n"})
    assert await place.catalogs.generation() == before
    built = place.build()
    assert (built.errors, built.warnings, built.generation) == ((), (), before)
    told = build.read(place.zones, place.data).errors
    assert [Path(error.path).name for error in told] == ["demand.csv", "demand.csv", "dispatch.yaml", "events.yaml"]
