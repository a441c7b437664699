"""The state directory: one server at a time, and tokens that only its owner reads."""

from __future__ import annotations

import os
from collections.abc import Callable
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


@pytest.mark.parametrize(
    ("make", "name"), [(statedir.admin_token, "admin.token"), (statedir.report_token, "report.token")]
)
def test_a_token_is_made_once(tmp_path: Path, make: Callable[[Path], str], name: str) -> None:
    token = make(tmp_path)
    assert len(token) == 48
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    assert make(tmp_path) == token
    for broken in (b" \n", b"\xff\xfe\n"):
        (tmp_path / name).write_bytes(broken)
        made = make(tmp_path)
        assert len(made) == 48
        assert made != token


def test_the_tokens_differ(tmp_path: Path) -> None:
    assert statedir.admin_token(tmp_path) != statedir.report_token(tmp_path)
    assert statedir.admin_token(tmp_path) == statedir.admin_token(tmp_path)
