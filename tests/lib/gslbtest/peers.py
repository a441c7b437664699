"""Other people's servers, run for a test: NSD, unbound, PowerDNS Recursor, Redis. Each on free loopback ports."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from gslbtest.process import free_port, program, running, wait_for_tcp
from gslbtest.stores import RedisServer


@contextlib.contextmanager
def nsd(folder: Path, zones: dict[str, str]) -> Iterator[int]:
    """NSD serving these zones (name → master file text); gives its port."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    blocks = []
    for number, (name, text) in enumerate(zones.items()):
        (folder / f"{number}.zone").write_text(text, encoding="utf-8")
        blocks.append(f"zone:\n  name: {name}\n  zonefile: {number}.zone\n")
    config = folder / "nsd.conf"
    config.write_text(
        f"""server:
  ip-address: 127.0.0.1@{port}
  server-count: 1
  username: ""
  chroot: ""
  pidfile: {folder}/nsd.pid
  zonesdir: {folder}
  database: ""
  xfrdfile: {folder}/xfrd.state
  zonelistfile: {folder}/zone.list
  cookie-secret-file: {folder}/cookies
  answer-cookie: no
  minimal-responses: yes
  refuse-any: no
  rrl-ratelimit: 0
remote-control:
  control-enable: no
{"".join(blocks)}""",
        encoding="utf-8",
    )
    log = folder / "nsd.log"
    with running([program("nsd"), "-d", "-c", str(config)], log) as process:
        wait_for_tcp(process, log, port)
        yield port


@contextlib.contextmanager
def unbound(folder: Path, zones: list[str], upstream: int, *, extra: str = "") -> Iterator[int]:
    """Unbound with its subnet cache, sending Client Subnet for these zones to ``upstream`` on 127.0.0.1.

    It takes the Client Subnet of its own clients' queries; prefixes are passed on uncut. Gives its port.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    stubs = "".join(f"stub-zone:\n  name: {name}\n  stub-addr: 127.0.0.1@{upstream}\n" for name in zones)
    config = folder / "unbound.conf"
    config.write_text(
        f"""server:
  interface: 127.0.0.1
  port: {port}
  username: ""
  chroot: ""
  directory: {folder}
  pidfile: {folder}/unbound.pid
  use-syslog: no
  verbosity: 1
  do-daemonize: no
  num-threads: 1
  do-ip6: no
  do-not-query-localhost: no
  access-control: 127.0.0.0/8 allow
  module-config: "subnetcache iterator"
  send-client-subnet: 127.0.0.1
  client-subnet-always-forward: yes
  max-client-subnet-ipv4: 32
  max-client-subnet-ipv6: 64
  min-client-subnet-ipv4: 0
  min-client-subnet-ipv6: 0
  minimal-responses: no
  qname-minimisation: no
{extra}remote-control:
  control-enable: no
{stubs}""",
        encoding="utf-8",
    )
    log = folder / "unbound.log"
    with running([program("unbound"), "-d", "-c", str(config)], log) as process:
        wait_for_tcp(process, log, port)
        yield port


@contextlib.contextmanager
def recursor(folder: Path, zones: list[str], upstream: int) -> Iterator[int]:
    """PowerDNS Recursor, forwarding these zones to ``upstream`` with the Client Subnet of its clients; its port."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    config = folder / "recursor.conf"
    config.write_text(
        f"""local-address=127.0.0.1
local-port={port}
socket-dir={folder}
config-dir={folder}
daemon=no
disable-syslog=yes
threads=1
setuid=
setgid=
security-poll-suffix=
dnssec=off
dont-query=
query-local-address=127.0.0.1
forward-zones={",".join(f"{name}=127.0.0.1:{upstream}" for name in zones)}
edns-subnet-allow-list=127.0.0.1
use-incoming-edns-subnet=yes
ecs-ipv4-bits=32
ecs-ipv6-bits=64
ecs-ipv4-cache-bits=32
ecs-ipv6-cache-bits=64
ecs-add-for=0.0.0.0/0,::/0
qname-minimization=no
webserver=no
""",
        encoding="utf-8",
    )
    log = folder / "recursor.log"
    with running([program("pdns_recursor"), f"--config-dir={folder}"], log) as process:
        wait_for_tcp(process, log, port)
        yield port


@contextlib.contextmanager
def redis(folder: Path, *arguments: str) -> Iterator[int]:
    """redis-server without persistence; gives its port."""
    with RedisServer(folder, *arguments) as server:
        yield server.port
