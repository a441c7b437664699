"""Real ISP prefix lists as tables of data/isp/."""

from __future__ import annotations

import ipaddress
import random
import re
from pathlib import Path

import pytest
import radix

from gslb.errors import Findings
from gslb.geo.isps import IspNames
from gslb.geo.layers import Layers
from gslb.geo.tables import read_networks
from gslb.geo.view import Geography, locate, merge
from gslb.model.inventory import Isp

NAMES = ("cernet", "chinanet", "cmcc", "cstnet", "drpeng", "unicom")

Lists = dict[str, list[str]]


@pytest.fixture(scope="module")
def lists(shared: Path) -> Lists:
    folder = shared / "data" / "isp-lists"
    return {
        name: [line for part in (name, f"{name}6") for line in (folder / f"{part}.txt").read_text().split()]
        for name in NAMES
    }


@pytest.fixture(scope="module")
def layers(lists: Lists) -> Layers:
    findings = Findings()
    isps = IspNames([Isp(name) for name in NAMES])
    tables = []
    for name, prefixes in lists.items():
        text = "prefix,isp\n" + "".join(f"{prefix},{name}\n" for prefix in prefixes)
        tables.append(read_networks(f"data/isp/{name}.csv", text.encode(), isps, findings))
    findings.raise_if_any()
    return Layers(isp_tables=tables)


def isp_at(geography: Geography, address: ipaddress.IPv4Address | ipaddress.IPv6Address, length: int) -> str:
    bits = 32 if address.version == 4 else 64
    start = int(address) >> (0 if bits == 32 else 64)
    row = geography.family(bits).view_of(start >> (bits - length) << (bits - length), length)
    return geography.views.view(row).isp


@pytest.mark.no_cover
def test_every_prefix_belongs_to_its_isp(lists: Lists, layers: Layers) -> None:
    findings = Findings()
    geography = merge(layers, findings)
    tree = radix.Radix()
    claimed = 0
    for name in NAMES:  # the first by name wins a tie
        for prefix in lists[name]:
            tree.add(prefix).data.setdefault("isp", name)
            claimed += 1
    assert claimed > 10_000
    counted = [re.match(r"(\d+) more", warning.reason) for warning in findings.warnings]
    assert sum(int(match[1]) if match else 1 for match in counted) == claimed - len(tree.nodes()) > 500
    rng = random.Random(3)
    probes = [ipaddress.ip_network(prefix) for name in NAMES for prefix in lists[name]]
    for network in probes:
        for address in (network[0], network[-1]):
            length = 32 if network.version == 4 else 64
            node = tree.search_best(str(ipaddress.ip_network((address, length), strict=False)))
            assert isp_at(geography, address, length) == node.data["isp"]
    for _ in range(5000):
        address = ipaddress.IPv4Address(rng.getrandbits(32))
        length = rng.randint(8, 32)
        network = ipaddress.ip_network((int(address) >> (32 - length) << (32 - length), length))
        node = tree.search_best(str(network))
        assert isp_at(geography, address, length) == (node.data["isp"] if node else "")


def test_locate_names_the_file_and_the_line(lists: Lists, layers: Layers) -> None:
    prefix = lists["chinanet"][100]
    found = locate(layers, ipaddress.ip_network(prefix).network_address.packed, 32)
    assert found.view.isp == "chinanet"
    assert [(word.path, word.line) for word in found.words] == [("data/isp/chinanet.csv", 102)]
