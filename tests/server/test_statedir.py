"""The state directory: one server at a time, and a token that only its owner reads."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gslb.errors import GslbError
from gslb.server import statedir


def test_the_lock_is_for_one(tmp_path: Path) -> None:
    state = tmp_path / "a" / "state"
    held = statedir.lock(state)
    with pytest.raises(GslbError) as caught:
        statedir.lock(state)
    assert str(caught.value) == f"the state directory {state} is in use by another server (process {os.getpid()})"
    os.close(held)
    os.close(statedir.lock(state))


def test_a_token_is_made_once(tmp_path: Path) -> None:
    token = statedir.admin_token(tmp_path)
    assert len(token) == 48
    assert (tmp_path / "admin.token").stat().st_mode & 0o777 == 0o600
    assert statedir.admin_token(tmp_path) == token
    for broken in (b" \n", b"\xff\xfe\n"):
        (tmp_path / "admin.token").write_bytes(broken)
        made = statedir.admin_token(tmp_path)
        assert len(made) == 48
        assert made != token
