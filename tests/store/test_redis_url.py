"""URLs of Redis stores, taken apart or refused with the reason, which never shows a password."""

from __future__ import annotations

import pytest

from gslb.store.redis_url import Address, Tls, parse

READ = [
    ("redis://db.example", Address("redis://db.example:6379", (("db.example", 6379),))),
    ("redis://db.example:7000/3", Address("redis://db.example:7000/3", (("db.example", 7000),), db=3)),
    ("redis://[2001:db8::1]", Address("redis://[2001:db8::1]:6379", (("2001:db8::1", 6379),))),
    ("redis://[2001:db8::1]:7000/", Address("redis://[2001:db8::1]:7000", (("2001:db8::1", 7000),))),
    ("redis://:secret@h", Address("redis://h:6379", (("h", 6379),), password="secret")),
    ("redis://ana:p%40s%2Fs@h", Address("redis://h:6379", (("h", 6379),), user="ana", password="p@s/s")),
    ("redis://ana:p@ss@h", Address("redis://h:6379", (("h", 6379),), user="ana", password="p@ss")),
    ("rediss://h", Address("rediss://h:6379", (("h", 6379),), tls=Tls())),
    (
        "rediss://h?ssl_ca_certs=/a/ca.crt&ssl_certfile=c&ssl_keyfile=k&ssl_check_hostname=false",
        Address("rediss://h:6379", (("h", 6379),), tls=Tls("/a/ca.crt", "c", "k", check_hostname=False)),
    ),
    (
        "redis+sentinel://ana:secret@s1,s2:7000,[::1]:7001/main/2?sentinel_user=u&sentinel_password=p",
        Address(
            "redis+sentinel://s1:26379,s2:7000,[::1]:7001/main/2",
            (("s1", 26379), ("s2", 7000), ("::1", 7001)),
            service="main",
            db=2,
            user="ana",
            password="secret",
            sentinel_user="u",
            sentinel_password="p",
        ),
    ),
    (
        "redis+sentinel://s/main?tls=true&ssl_ca_certs=ca",
        Address("redis+sentinel://s:26379/main", (("s", 26379),), service="main", tls=Tls("ca")),
    ),
    ("redis+sentinel://s/main?tls=false", Address("redis+sentinel://s:26379/main", (("s", 26379),), service="main")),
]  # fmt: skip


@pytest.mark.parametrize(("url", "wanted"), READ, ids=[row[0] for row in READ])
def test_what_is_read(url: str, wanted: Address) -> None:
    assert parse(url) == wanted


HOST = "the URL names no host, or one that is not HOST, HOST:PORT or [IPv6]:PORT"
DATABASE = "what follows the host in the URL is not the number of a database"
BEGIN = "the URL of a Redis store begins with redis://, rediss:// or redis+sentinel://"
REFUSED = [
    ("", BEGIN),
    ("redis", BEGIN),
    ("redis:h", BEGIN),
    ("http://h", BEGIN),
    ("REDIS://h", BEGIN),
    ("redis://", HOST),
    ("redis://:secret@", HOST),
    ("redis://::1", HOST),
    ("redis://h:0", "the port of 'h' is not a number from 1 to 65535"),
    ("redis://h:65536", "the port of 'h' is not a number from 1 to 65535"),
    ("redis://h:six", "the port of 'h' is not a number from 1 to 65535"),
    ("redis://h:²", "the port of 'h' is not a number from 1 to 65535"),
    ("redis://[::1", "the redis:// URL cannot be taken apart"),
    ("redis://a,b", "2 hosts in the URL; at most 16 Sentinels, or one Redis"),
    ("redis+sentinel://" + ",".join(["s"] * 17) + "/m", "17 hosts in the URL; at most 16 Sentinels, or one Redis"),
    ("redis://h/x", DATABASE),
    ("redis://h/-1", DATABASE),
    ("redis://h/1/2", DATABASE),
    ("redis://h/99999999", DATABASE),
    ("redis+sentinel://s", "a redis+sentinel:// URL names the service after its hosts: …/SERVICE"),
    ("redis+sentinel://s/", "a redis+sentinel:// URL names the service after its hosts: …/SERVICE"),
    ("redis+sentinel://s/a%20b", "a redis+sentinel:// URL names the service after its hosts: …/SERVICE"),
    ("redis+sentinel://s/m/x", DATABASE),
    ("redis://u:se#cret@h", "a # in the URL's password is written as %23"),
    ("redis://h?timeout=5", "'timeout' is not known in a redis:// URL; such a URL has none; TLS is rediss://"),
    (
        "rediss://h?ssl=1",
        "'ssl' is not known in a rediss:// URL; the keys are ssl_ca_certs, ssl_certfile, ssl_keyfile,"
        " ssl_check_hostname",
    ),
    ("rediss://h?ssl_ca_certs=a&ssl_ca_certs=b", "'ssl_ca_certs' stands twice in the URL"),
    ("rediss://h?ssl_keyfile=a", "ssl_keyfile needs ssl_certfile"),
    ("rediss://h?ssl_check_hostname=no", "ssl_check_hostname is true or false"),
    ("redis+sentinel://s/m?ssl_ca_certs=a", "ssl_… needs TLS: add tls=true"),
    ("redis+sentinel://s/m?tls=1", "tls is true or false"),
]


@pytest.mark.parametrize(("url", "reason"), REFUSED, ids=[row[0] or "nothing" for row in REFUSED])
def test_what_is_refused(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=r"^.+$") as raised:
        parse(url)
    assert str(raised.value) == reason


def test_a_password_is_never_shown() -> None:
    address = parse("redis+sentinel://ana:hunter2@s/main?sentinel_password=swordfish")
    assert "hunter2" not in repr(address) + address.shown
    assert "swordfish" not in repr(address) + address.shown
