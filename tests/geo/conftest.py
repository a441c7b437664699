"""What the tests of `geo` share: a writer of MaxMind DB files, and tables from text."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from mmdb_writer import Encoder

from gslb.errors import Findings
from gslb.geo.facts import Facts
from gslb.geo.isps import IspNames
from gslb.geo.tables import read_networks
from gslb.model.inventory import Isp

ISPS = (
    Isp("chinanet", asns=(4134, 4812), names=("China Telecom", "CHINANET")),
    Isp("unicom", asns=(4837,)),
    Isp("cernet", names=("China Education and Research Network",)),
)

Record = Mapping[str, Any]
Node = list[Any]  # left and right: a node, a data offset, or None


@pytest.fixture(scope="session")
def isps() -> IspNames:
    """Three carriers, as an isps.yaml would name them."""
    return IspNames(ISPS)


@pytest.fixture(scope="session")
def table(isps: IspNames) -> Callable[..., Facts]:
    """Facts from the rows of a table whose header is ``prefix,isp,asn,country,region,lat,lon``."""

    def make(path: str, *rows: str) -> Facts:
        findings = Findings()
        text = "\n".join(("prefix,isp,asn,country,region,lat,lon", *rows))
        facts = read_networks(path, text.encode(), isps, findings)
        findings.raise_if_any()
        return facts

    return make


class Writer:
    """A MaxMind DB of a few networks, made to order: any type, size of records and IP version, sound or broken."""

    def __init__(self, database_type: str = "GeoIP2-City", *, ip_version: int = 6, record_size: int = 28) -> None:
        self.metadata: dict[str, Any] = {
            "ip_version": ip_version,
            "database_type": database_type,
            "languages": ["en"],
            "binary_format_major_version": 2,
            "binary_format_minor_version": 0,
            "description": {"en": "test"},
            "build_epoch": 1767225600,
            "record_size": record_size,
        }
        self.root: Node = [None, None]
        self.encoder = Encoder()

    def add(self, prefix: str, record: Record | list[Any]) -> None:
        """A network; IPv4 ones go below ::/96 of an IPv6 tree."""
        self.link(prefix, self.encoder.encode(record, return_offset=True))

    def link(self, prefix: str, target: Node | int) -> None:
        """Let a prefix lead to a node or to a data offset."""
        *path, last = self._bits(prefix)
        node = self.root
        for bit in path:
            if node[bit] is None:
                node[bit] = [None, None]
            node = node[bit]
        node[last] = target

    def node(self, prefix: str) -> Node:
        """The node that a prefix leads to."""
        node = self.root
        for bit in self._bits(prefix):
            node = node[bit]
        return node

    def bytes(self) -> bytes:
        """The file."""
        numbers: dict[int, int] = {id(self.root): 0}
        nodes = [self.root]
        for node in nodes:
            for child in node:
                if isinstance(child, list) and id(child) not in numbers:
                    numbers[id(child)] = len(nodes)
                    nodes.append(child)

        def value(child: Node | int | None) -> int:
            if child is None:
                return len(nodes)
            return numbers[id(child)] if isinstance(child, list) else len(nodes) + 16 + child

        records = np.array([[value(child) for child in node] for node in nodes], dtype=np.uint32)
        return database(records, b"".join(self.encoder.data_list), self.metadata)

    def _bits(self, prefix: str) -> list[int]:
        network = ipaddress.ip_network(prefix)
        width, length = network.max_prefixlen, network.prefixlen
        bits = [int(network.network_address) >> (width - 1 - place) & 1 for place in range(length)]
        return [0] * 96 + bits if width == 32 and self.metadata["ip_version"] == 6 else bits


def database(records: np.ndarray, data: bytes, metadata: Record) -> bytes:
    """A MaxMind DB of a search tree, given as values of shape (nodes, 2), and a data section."""
    metadata = {"node_count": len(records), **metadata}
    left, right = records[:, 0], records[:, 1]
    if metadata["record_size"] == 32:
        tree = records.astype(">u4").tobytes()
    else:
        columns = [left >> 16, left >> 8, left, right >> 16, right >> 8, right]
        if metadata["record_size"] == 28:
            columns.insert(3, left >> 24 << 4 | right >> 24)
        tree = np.stack([column.astype(np.uint8) for column in columns], axis=1).tobytes()
    return tree + bytes(16) + data + b"\xab\xcd\xefMaxMind.com" + Encoder(cache=False).encode_meta(dict(metadata))


@pytest.fixture(scope="session")
def mmdb_writer() -> type[Writer]:
    """The writer of databases; a class, so that a test can make several."""
    return Writer


@pytest.fixture(scope="session")
def mmdb_database() -> Callable[[np.ndarray, bytes, Record], bytes]:
    """`database`, for trees that are made whole."""
    return database


@pytest.fixture(scope="session")
def pointer() -> Callable[[int], bytes]:
    """A pointer of four bytes into the data section (MaxMind DB format, data field pointer)."""
    return lambda offset: b"\x38" + struct.pack(">I", offset)
