"""Settings: what wins over what, and what is said of faults, with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from gslb.errors import ConfigErrors, UsageError
from gslb.server.endpoint import Endpoint
from gslb.server.settings import Settings, load, read_secrets

FORM = "is not ADDRESS:PORT, such as 192.0.2.1:53 or [2001:db8::1]:53"
NO_HOST = "the URL names no host, or one that is not HOST, HOST:PORT or [IPv6]:PORT"
NOWHERE = Path("/nonexistent/gslb.toml")
SECRET = "e5e973e5a6b2a43f48e7dc849e37bfcf"


def test_defaults() -> None:
    settings, given = load({}, {}, default=NOWHERE)
    assert settings.listen == (Endpoint("127.0.0.1", 5300),)
    assert str(settings.admin) == "127.0.0.1:8053"
    assert settings.workers == 1
    assert given == frozenset()


def test_flag_over_variable_over_file(tmp_path: Path) -> None:
    file = tmp_path / "gslb.toml"
    file.write_text('workers = 2\nserver_id = "file"\nadmin = "127.0.0.1:1"\nlisten = ["127.0.0.1:53", "[::1]:53"]\n')
    environ = {"GSLB_WORKERS": "3", "GSLB_SERVER_ID": "variable", "GSLB_PORT": "tcp://a.cluster.sets.such"}
    settings, given = load({"workers": 4, "listen": None, "debug_acl": []}, environ, file)
    assert (settings.workers, settings.server_id, str(settings.admin)) == (4, "variable", "127.0.0.1:1")
    assert [str(each) for each in settings.listen] == ["127.0.0.1:53", "[::1]:53"]
    assert given == {"workers", "server_id", "admin", "listen"}


def test_file_by_variable_and_by_default(tmp_path: Path) -> None:
    file = tmp_path / "gslb.toml"
    file.write_text("workers = 2\n")
    assert load({}, {"GSLB_CONFIG": str(file)}, default=NOWHERE)[0].workers == 2
    assert load({}, {}, default=file)[0].workers == 2


def test_empty_variables_are_not_given(tmp_path: Path) -> None:
    file = tmp_path / "gslb.toml"
    file.write_text("workers = 2\n")
    environ = {"GSLB_CONFIG": "", "GSLB_LISTEN": "", "GSLB_WORKERS": "", "GSLB_STATE": ""}
    settings, given = load({}, environ, default=file)
    assert (settings.workers, [str(each) for each in settings.listen]) == (2, ["127.0.0.1:5300"])
    assert given == {"workers"}


def test_lists_in_variables() -> None:
    environ = {
        "GSLB_LISTEN": "127.0.0.1:5300, [::1]:5300",
        "GSLB_DEBUG_ACL": "192.0.2.0/24,2001:db8::/32",
        "GSLB_COOKIE_SECRETS": f"{SECRET},{'0' * 32}",
    }
    settings, _ = load({}, environ, default=NOWHERE)
    assert [str(each) for each in settings.listen] == ["127.0.0.1:5300", "[::1]:5300"]
    assert [str(each) for each in settings.debug_acl] == ["192.0.2.0/24", "2001:db8::/32"]
    assert settings.cookie_secrets == (bytes.fromhex(SECRET), bytes(16))


@pytest.mark.parametrize(
    ("flags", "environ", "message"),
    [
        ({"workers": 0}, {}, "--workers: input should be greater than or equal to 1"),
        ({"workers": 65}, {}, "--workers: input should be less than or equal to 64"),
        ({"listen": ["localhost:53"]}, {}, f"--listen: 'localhost:53' {FORM}"),
        ({"listen": ["127.0.0.1"]}, {}, f"--listen: '127.0.0.1' {FORM}"),
        ({"listen": ["::1:53"]}, {}, f"--listen: '::1:53' {FORM}"),
        ({"listen": ["[127.0.0.1]:53"]}, {}, f"--listen: '[127.0.0.1]:53' {FORM}"),
        ({"admin": "127.0.0.1:70000"}, {}, "--admin: '127.0.0.1:70000': the port is not a number from 0 to 65535"),
        ({"admin": "127.0.0.1:x"}, {}, "--admin: '127.0.0.1:x': the port is not a number from 0 to 65535"),
        ({}, {"GSLB_LISTEN": ","}, "GSLB_LISTEN: at least one ADDRESS:PORT to listen on is needed"),
        (
            {"store": "http://127.0.0.1:8053"},
            {},
            "--store: the URL of a store is memory://, redis://…, rediss://… or redis+sentinel://…",
        ),
        ({"store": "memory://x"}, {}, "--store: nothing follows memory://"),
        ({"store": "redis://"}, {}, f"--store: {NO_HOST}"),
        (
            {},
            {"GSLB_STORE": "redis://:s@h/x"},
            "GSLB_STORE: what follows the host in the URL is not the number of a database",
        ),
        ({"debug_acl": ["192.0.2.1/24"]}, {}, "--debug-acl: 192.0.2.1/24 has host bits set"),
        (
            {},
            {"GSLB_WORKERS": "many"},
            "GSLB_WORKERS: input should be a valid integer, unable to parse string as an integer",
        ),
        ({}, {"GSLB_COOKIE_SECRETS": "abc"}, "GSLB_COOKIE_SECRETS: a cookie secret is 32 hexadecimal digits"),
        ({}, {"GSLB_LOG_LEVEL": "loud"}, "GSLB_LOG_LEVEL: input should be 'debug', 'info', 'warning' or 'error'"),
        (
            {"workers": 0},
            {"GSLB_ADMIN": "x"},
            f"GSLB_ADMIN: 'x' {FORM}\n--workers: input should be greater than or equal to 1",
        ),
    ],
)  # fmt: skip
def test_bad_flags_and_variables(flags: dict[str, object], environ: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(flags, environ, default=NOWHERE)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("workrs = 2\n", "FILE:1:1: unknown setting 'workrs'; did you mean 'workers'?"),
        ("workers = 2\n\n  qqqq = 1\n", "FILE:3:3: unknown setting 'qqqq'"),
        ("[server]\nworkers = 2\n", "FILE:1:2: unknown setting 'server'; did you mean 'server_id'?"),
        (
            "workers = 0\nadmin = 5\n",
            f"FILE:1:1: workers: input should be greater than or equal to 1\nFILE:2:1: admin: '5' {FORM}",
        ),
        ('"listen" = ["a"]\n', f"FILE:1:1: listen: 'a' {FORM}"),
        ("listen = []\n", "FILE:1:1: listen: at least one ADDRESS:PORT to listen on is needed"),
        ("workers =\n", "FILE:1:10: Invalid value"),
        ("workers = 1\nworkers = 2\n", "FILE:2:12: Cannot overwrite a value"),
        ("a = '", "FILE:1:6: Expected \"'\""),
    ],
)  # fmt: skip
def test_bad_files(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "gslb.toml"
    file.write_text(text)
    with pytest.raises(ConfigErrors) as caught:
        load({}, {}, file)
    assert str(caught.value).replace(str(file), "FILE") == message


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors, match="No such file or directory"):
        load({}, {}, NOWHERE)
    (tmp_path / "latin").write_bytes(b"server_id = '\xe9'\n")
    with pytest.raises(ConfigErrors, match=r"latin:0:0: is not UTF-8 text"):
        load({}, {}, tmp_path / "latin")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"{SECRET}\n", (bytes.fromhex(SECRET),)),
        (f"# current\n{SECRET}\n\n{'f' * 32}  # previous\n", (bytes.fromhex(SECRET), b"\xff" * 16)),
        ("", "FILE:0:0: holds no cookie secret"),
        (
            f"{SECRET}\nabc\n{'x' * 32}\n",
            "FILE:2:1: a cookie secret is 32 hexadecimal digits\nFILE:3:1: a cookie secret is 32 hexadecimal digits",
        ),
    ],
)  # fmt: skip
def test_secret_file(tmp_path: Path, text: str, found: object) -> None:
    file = tmp_path / "cookies"
    file.write_text(text)
    if isinstance(found, tuple):
        assert read_secrets(file) == found
        return
    with pytest.raises(ConfigErrors) as caught:
        read_secrets(file)
    assert str(caught.value).replace(str(file), "FILE") == found


def test_missing_secret_file() -> None:
    with pytest.raises(ConfigErrors, match="No such file or directory"):
        read_secrets(NOWHERE)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("memory://", "memory://"),
        ("redis://127.0.0.1:6379", "redis://127.0.0.1:6379"),
        ("rediss://server:secret@store.example/2?ssl_ca_certs=ca.crt", "rediss://store.example:6379/2"),
        ("redis+sentinel://:secret@a,b:1/gslb?sentinel_password=other", "redis+sentinel://a:26379,b:1/gslb"),
    ],
)
def test_a_store_is_shown_without_its_secrets(url: str, shown: str) -> None:
    settings, given = load({"store": url}, {}, default=NOWHERE)
    assert (settings.store, settings.shown_store, given) == (url, shown, {"store"})


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().workers = 3
