"""Opening sockets: both families and protocols, shared by workers of one server and by nobody else."""

from __future__ import annotations

import socket

import pytest

from gslb.errors import GslbError
from gslb.server import listen
from gslb.server.endpoint import Endpoint

V4, V6 = Endpoint("127.0.0.1", 0), Endpoint("::1", 0)


def test_every_worker_has_its_own() -> None:
    opened = listen.open_all([V4, V6], 3, 1 << 20)
    try:
        assert len(opened.by_worker) == 3
        assert len(opened.sockets()) == 12
        assert opened.transports == (("UDP", "TCP"), ("UDP", "TCP"))
        assert [endpoint.host for endpoint in opened.endpoints] == ["127.0.0.1", "::1"]
        for sockets in opened.by_worker:
            kinds = [(sock.family, sock.type, sock.getsockname()[1]) for sock in sockets]
            port4, port6 = (endpoint.port for endpoint in opened.endpoints)
            assert kinds == [
                (socket.AF_INET, socket.SOCK_DGRAM, port4),
                (socket.AF_INET, socket.SOCK_STREAM, port4),
                (socket.AF_INET6, socket.SOCK_DGRAM, port6),
                (socket.AF_INET6, socket.SOCK_STREAM, port6),
            ]
            assert [sock.getblocking() for sock in sockets] == [True, False] * 2  # threads wait for UDP
            assert not any(sock.get_inheritable() for sock in sockets)
            assert sockets[0].getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= 1 << 20
            assert sockets[2].getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
    finally:
        opened.close()


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
@pytest.mark.parametrize("reuse", [False, True], ids=["alone", "reuseport"])
def test_an_address_in_use_is_refused(kind: socket.SocketKind, reuse: bool) -> None:
    with socket.socket(socket.AF_INET, kind) as other:
        if reuse:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            other.listen()
        port = other.getsockname()[1]
        name = "UDP" if kind == socket.SOCK_DGRAM else "TCP"
        with pytest.raises(GslbError) as caught:
            listen.open_all([V4, Endpoint("127.0.0.1", port)], 2, 1 << 16)
        assert str(caught.value) == f"cannot listen on 127.0.0.1:{port} ({name}): Address already in use"


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ("127.0.0.1:5353", "127.0.0.1:5353", "--listen 127.0.0.1:5353 is given twice"),
        ("127.0.0.1:5353", "0.0.0.0:5353", "--listen 0.0.0.0:5353 overlaps with --listen 127.0.0.1:5353"),
        ("[::]:5353", "[::1]:5353", "--listen [::1]:5353 overlaps with --listen [::]:5353"),
        ("127.0.0.1:0", "127.0.0.1:0", None),
        ("[::]:0", "0.0.0.0:0", None),
    ],
)
def test_our_own_addresses_that_overlap(first: str, second: str, message: str | None) -> None:
    endpoints = [Endpoint.parse(first), Endpoint.parse(second)]
    if message is None:
        listen.open_all(endpoints, 1, 1 << 16).close()
        return
    with pytest.raises(GslbError) as caught:
        listen.open_all(endpoints, 1, 1 << 16)
    assert str(caught.value) == message


def test_an_address_that_is_not_ours_is_refused() -> None:
    with pytest.raises(GslbError, match=r"cannot listen on 192\.0\.2\.1:53 \(UDP\): Cannot assign requested address"):
        listen.open_all([Endpoint("192.0.2.1", 53)], 1, 1 << 16)


def test_a_fault_of_one_worker_closes_the_sockets_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[socket.socket] = []
    original = listen._bind

    def bind(endpoint: Endpoint, kind: socket.SocketKind, *, shared: bool) -> socket.socket:
        if len(made) == 3:
            raise GslbError("no more")
        sock = original(endpoint, kind, shared=shared)
        if shared:
            made.append(sock)
        return sock

    monkeypatch.setattr(listen, "_bind", bind)
    with pytest.raises(GslbError, match="no more"):
        listen.open_all([V4], 2, 1 << 16)
    assert [sock.fileno() for sock in made] == [-1, -1, -1]


def test_handed_over_sockets_are_read_by_all() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.create_server(("127.0.0.1", 0)) as tcp:
        udp.bind(("127.0.0.1", 0))
        opened = listen.adopt([udp, tcp], 2, 1 << 20)
        assert opened.by_worker == ((udp, tcp), (udp, tcp))
        assert {endpoint.port for endpoint in opened.endpoints} == {udp.getsockname()[1], tcp.getsockname()[1]}
        assert sorted(opened.transports) == [("TCP",), ("UDP",)]
        assert (udp.getblocking(), tcp.getblocking()) == (True, False)


@pytest.mark.parametrize(("host", "told"), [("127.0.0.1", False), ("0.0.0.0", True), ("::1", False), ("::", True)])
def test_where_packets_came_to_is_asked_where_it_is_not_known(host: str, told: bool) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    option = {socket.AF_INET: (socket.IPPROTO_IP, 8), socket.AF_INET6: (socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO)}
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        listen.prepare(sock, 1 << 20)
        assert bool(sock.getsockopt(*option[family])) is told


def test_admin_socket() -> None:
    with listen.listen_admin(V4) as sock:
        taken = Endpoint("127.0.0.1", sock.getsockname()[1])
        with pytest.raises(GslbError, match=r"cannot listen on 127\.0\.0\.1:\d+ \(TCP\): Address already in use"):
            listen.listen_admin(taken)


def test_drops_are_the_kernels() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out,
    ):
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.bind(("127.0.0.1", 0))
        assert listen.drops(sock) == 0
        for _ in range(100):
            out.sendto(b"x" * 500, sock.getsockname())
        held = 0
        while True:
            try:
                sock.recv(600)
            except BlockingIOError:
                break
            held += 1
        assert listen.drops(sock) == 100 - held > 0
    assert listen.drops(sock) == 0  # closed: nothing to say


@pytest.mark.parametrize(
    ("host", "packed"),
    [
        ("192.0.2.1", "c0000201"),
        ("2001:db8::1", "20010db8000000000000000000000001"),
        ("fe80::1%eth0", "fe800000000000000000000000000001"),
        ("::ffff:192.0.2.1", "c0000201"),
        ("::192.0.2.1", "000000000000000000000000c0000201"),
    ],
)
def test_peers(host: str, packed: str) -> None:
    assert listen.packed(host).hex() == packed
