"""Settings of measuring: flags over variables over a file, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gslb.errors import ConfigErrors, UsageError
from gslb.measure.settings import Settings, load


def test_flags_over_variables_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "measure.toml"
    path.write_text('log = "from-file"\nout = "from-file"\nwait_s = 30\nmetrics = "none"\nengine = "spark"\n')
    environ = {"GSLB_OUT": "from-variable", "GSLB_MEMORY_MB": "4096", "GSLB_LISTEN": "127.0.0.1:8056", "GSLB_LOG": ""}
    found = load({"zones": Path("from-flag"), "data": None, "wait_s": 5}, environ, path)
    assert found == Settings(
        log=Path("from-file"), out=Path("from-variable"), zones=Path("from-flag"), engine="spark", memory_mb=4096,
        wait_s=5, listen=("127.0.0.1", 8056), metrics=None,
    )  # fmt: skip
    assert found.scratch_path == Path("from-variable/scratch")
    assert load({"scratch": Path("elsewhere")}, {}, None, tmp_path / "none").scratch_path == Path("elsewhere")


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("ENGINE", "sqlite", "GSLB_ENGINE: 'sqlite' is none of duckdb, spark"),
        ("STORE", "memory://", "GSLB_STORE: the embedded store is inside of a server"),
        ("STORE", "mysql://", "GSLB_STORE: the URL of a store is"),
        ("WAIT_S", "-1", "GSLB_WAIT_S: '-1' is not a whole number from 0 to 3600"),
        ("KEEP_GOLD_DAYS", "0", "is not a whole number from 1 to 3650"),
        ("METRICS", "here", "'here' is not ADDRESS:PORT"),
    ],
)
def test_what_cannot_be_is_told(tmp_path: Path, variable: str, value: str, told: str) -> None:
    with pytest.raises(UsageError) as error:
        load({}, {f"GSLB_{variable}": value}, None, tmp_path / "none")
    assert told in str(error.value)


def test_faults_of_the_file_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "measure.toml"
    path.write_text("lag = 1\nengines = 2\n")
    with pytest.raises(ConfigErrors) as error:
        load({}, {}, path)
    assert str(error.value).splitlines() == [
        f"{path}:0:0: unknown setting 'engines'; did you mean 'engine'?",
        f"{path}:0:0: unknown setting 'lag'; did you mean 'log'?",
    ]
    path.write_text("wait_s = true\nmetrics = 5\n")
    with pytest.raises(UsageError) as fault:
        load({}, {}, path)
    assert str(fault.value).splitlines() == [
        f"{path}: wait_s: True is not a whole number from 0 to 3600",
        f"{path}: metrics: 5 is not a text",
    ]
