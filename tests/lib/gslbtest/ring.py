"""A network whose demand splits: viewers in places on a ring, an edge in each, every second with more than it holds.

Place ``k`` has an edge ``e<k>`` at a PoP ``p<k>`` and viewers of region ``R<k>`` on a quarter of an /8. The viewers of
an even place ask for more than its edge carries below its knee, those of an odd one for less: an optimal plan sends the
rest of each even place to the next edge.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from gslbtest.process import SOON_S

PLACES: Final = 44
SERVICE: Final = "pull.live.example."
FIRST_OCTETS: Final = tuple(range(51, 51 + PLACES // 4))
MANY_BPS, FEW_BPS, CAPACITY_BPS = 11_000_000_000, 4_000_000_000, 10_000_000_000
HASH_LEN: Final = 24
AT_ONCE: Final = 64
"""Questions that are under way at once: their answers fit into a receive buffer."""
FENCED: Final = "zfr"


def zones() -> dict[str, str]:
    """The files of `zones/`. One edge more, in France, is for viewers of that country alone, and there are none."""
    places = range(PLACES)
    edges = "".join(
        f"  {edge(at)}:\n    pop: {pop(at)}\n    addresses: {{v4: [203.0.113.{at + 1}]}}\n"
        f"    location: {{country: US, region: {region(at)}, lat: {20 + at % 2}, lon: {-170 + 8 * at}}}\n"
        f"    capacity: 10Gbps\n"
        for at in places
    )
    edges += (
        f"  {FENCED}:\n    pop: par\n    addresses: {{v4: [203.0.113.{PLACES + 1}]}}\n"
        "    location: {country: FR, lat: 48.9, lon: 2.3}\n    capacity: 10Gbps\n    fence: [FR]\n"
    )
    networks = "".join(f"{network(at)},US,{region(at)},isp\n" for at in places)
    return {
        "edges.yaml": "edges:\n" + edges,
        "isps.yaml": "isps: {isp: {asns: [64500]}}\n",
        "networks.csv": "prefix,country,region,isp\n" + networks,
        "live.example.yaml": (
            "zone: live.example.\nsoa: {mname: ns1, rname: hostmaster}\n"
            'records:\n  "@": {NS: [ns1]}\n  ns1: {A: 192.0.2.53}\n'
            "services:\n  pull: {pool: all, ttl: 20, dispatch: true, affinity: [nearest], "
            f"hash_len: {{v4: {HASH_LEN}, v6: 40}}}}\n"
            f"pools:\n  all: {{{', '.join(f'{edge(at)}: 100' for at in places)}, {FENCED}: 100}}\n"
        ),
    }


def rtt() -> str:
    """`data/rtt.csv`: a viewer's own place is near, the next one a little farther, then it becomes far."""
    rows = [
        f"US,{region(at)},isp,{pop((at + step) % PLACES)},{10 + 15 * step}\n"
        for at in range(PLACES)
        for step in range(8)
    ]
    return "country,region,isp,pop,rtt_ms\n" + "".join(rows)


def demand(times: Sequence[str], factor: float = 1.0) -> str:
    """`data/demand.csv` with the same demand in every bucket."""
    rows = [
        f"{time},{SERVICE},US,{region(at)},isp,{round(factor * (FEW_BPS if at % 2 else MANY_BPS))}\n"
        for time in times
        for at in range(PLACES)
    ]
    return "time,service,country,region,isp,demand_bps\n" + "".join(rows)


def edge(at: int) -> str:
    """The id of a place's edge."""
    return f"e{at:02}"


def pop(at: int) -> str:
    """The PoP of a place."""
    return f"p{at:02}"


def region(at: int) -> str:
    """The region of a place."""
    return f"R{at:02}"


def network(at: int) -> str:
    """The prefix of a place's viewers."""
    return f"{FIRST_OCTETS[at // 4]}.{64 * (at % 4)}.0.0/10"


def subnets(at: int, count: int) -> Iterator[bytes]:
    """The first ``count`` distinct /24s of a place, 3 bytes each."""
    first = FIRST_OCTETS[at // 4] << 16 | 64 * (at % 4) << 8
    return islice((number.to_bytes(3) for number in range(first, first + (1 << 14))), count)


def drawn(port: int, at: int, count: int) -> list[str]:
    """Which edge each of ``count`` distinct /24s of a place's viewers gets, asked over UDP, `AT_ONCE` at a time."""
    found = [""] * count
    header = b"\0\0\0\1\0\0\0\0\0\1"
    name = b"\4pull\4live\7example\0\0\1\0\1"
    client_subnet = b"\0\0\x29\x04\xd0\0\0\0\0\0\x0b\0\x08\0\x07\0\1\x18\0"
    first_address = 12 + len(name) + 12  # of the answer's one record: pointer, type, class, TTL, length
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
        ours.settimeout(SOON_S)
        ours.connect(("127.0.0.1", port))
        asked = enumerate(subnets(at, count))
        while some := list(islice(asked, AT_ONCE)):
            for number, subnet in some:
                ours.send(number.to_bytes(2) + header + name + client_subnet + subnet)
            for _ in some:
                answer = ours.recv(1500)
                assert answer[6:8] == b"\0\1", answer.hex()
                found[int.from_bytes(answer[:2])] = edge(answer[first_address + 3] - 1)
    assert "" not in found
    return found
