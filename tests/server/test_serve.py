"""The control process where something of it fails: SIGHUP, the state directory, and what it prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import structlog.testing

from gslb.errors import GslbError
from gslb.model.report import StoreState
from gslb.server import listen, serve, statedir
from gslb.server.endpoint import Endpoint
from gslb.server.settings import Settings
from gslb.server.snapshots import Snapshots
from gslb.store.memory import MemoryStore

FORMER, NEW = b"1" * 16, b"2" * 16


@pytest.mark.parametrize(
    ("fault", "keys", "told"),
    [
        (None, (NEW,), []),
        (GslbError("x.cat: gone"), (FORMER,), ["cookie secrets cannot be taken, the former stay"]),
        (OSError(24, "Too many open files"), (FORMER,), ["cookie secrets cannot be taken, the former stay"]),
    ],
)
@pytest.mark.parametrize("reload_fails", [False, True])
async def test_hang_up(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: Exception | None,
    keys: tuple[bytes, ...],
    told: list[str],
    reload_fails: bool,
) -> None:
    """Secrets are set where they were taken; zones/ is read, and the manager told, in any case."""
    secrets = tmp_path / "secrets"
    secrets.write_text(NEW.hex())
    settings = Settings(state=tmp_path, cookie_secret_file=secrets)
    opened = listen.open_all([Endpoint("127.0.0.1", 0)], 1, 1 << 16)
    admin = listen.listen_admin(Endpoint("127.0.0.1", 0))
    process = serve._Process(settings, opened, admin, ("token", "other"), (FORMER,), MemoryStore(), StoreState())
    done: list[str] = []

    async def again() -> None:
        done.append("again")
        if fault:
            raise fault

    async def reload() -> None:
        done.append("reload")
        if reload_fails:
            raise RuntimeError("broken")

    def ready(status: str) -> None:
        done.append("ready")

    monkeypatch.setattr(process._snapshots, "again", again)
    monkeypatch.setattr(Snapshots, "catalog", object())
    monkeypatch.setattr(process._reloader, "reload", reload)
    monkeypatch.setattr(process._control, "summary", lambda: "")
    monkeypatch.setattr(process._notifier, "ready", ready)
    try:
        with structlog.testing.capture_logs() as logs:
            if reload_fails:
                with pytest.raises(RuntimeError, match="broken"):
                    await process._hang_up()
            else:
                await process._hang_up()
    finally:
        opened.close()
        admin.close()
    assert (process._keys, done) == (keys, ["again", "reload", "ready"])
    assert [log["event"] for log in logs] == told


def test_a_full_disk_at_start_names_the_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def full(state: Path) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(statedir, "lock", full)
    monkeypatch.setattr(serve, "configure", lambda level: None)
    here = Endpoint("127.0.0.1", 0)
    settings = Settings(state=tmp_path, listen=(here,), admin=here)
    assert serve.run(settings) == 1
    said = capfd.readouterr().err
    assert said == f"gslb: the state directory {tmp_path} cannot be used: No space left on device\n"
