"""Make the shipped sample: the databases and tables in data/, the same bytes on every run.

    python data/make_sample.py [DIR]        # DIR defaults to the folder of this file

Everything stands on documentation prefixes (RFC 5737, RFC 3849) and, outside China, documentation AS numbers
(RFC 5398): the network, its viewers and their numbers are invented. Needs mmdb_writer and netaddr (the `dev` extra).
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from mmdb_writer import MMDBWriter
from netaddr import IPNetwork, IPSet

from gslb.model.geography import CONTINENT_OF

BUILD_EPOCH = 1767225600  # 2026-01-01 00:00 UTC, so that two runs give the same bytes


class Viewers(NamedTuple):
    """One network of viewers: its prefixes, its place, and who carries it."""

    v4: str  # "" where they have IPv6 only
    v6: str
    country: str
    region: str
    city: str
    lat: float
    lon: float
    asn: int  # 0 where no database knows the network
    isp: str  # as an ISP database spells it
    peak_gbps: int


VIEWERS = (
    Viewers("198.51.100.0/28", "2001:db8:c001::/48", "CN", "SH", "Shanghai", 31.2, 121.5, 4812, "China Telecom", 30),
    Viewers("198.51.100.16/28", "2001:db8:c002::/48", "CN", "SH", "Shanghai", 31.2, 121.5, 4837, "China Unicom", 18),
    # The database has the carrier of this one wrong; data/isp/cmcc.csv puts it right.
    Viewers("198.51.100.32/28", "2001:db8:c003::/48", "CN", "SH", "Shanghai", 31.2, 121.5, 4837, "China Unicom", 14),
    Viewers("198.51.100.48/28", "2001:db8:c004::/48", "CN", "BJ", "Beijing", 39.9, 116.4, 4134, "China Telecom", 12),
    Viewers("198.51.100.64/28", "2001:db8:c005::/48", "CN", "BJ", "Beijing", 39.9, 116.4, 4808, "China Unicom", 22),
    Viewers("198.51.100.80/28", "2001:db8:c006::/48", "CN", "GD", "Guangzhou", 23.1, 113.3, 4134, "China Telecom", 26),
    Viewers("198.51.100.96/28", "2001:db8:c007::/48", "CN", "GD", "Guangzhou", 23.1, 113.3, 9808, "China Mobile", 20),
    Viewers("198.51.100.112/28", "2001:db8:c008::/48", "CN", "SC", "Chengdu", 30.7, 104.1, 4134, "China Telecom", 9),
    Viewers("198.51.100.128/28", "2001:db8:c009::/48", "DE", "BE", "Berlin", 52.5, 13.4, 64496, "Spree Kabel", 8),
    # Schleswig-Holstein: region SH, as Shanghai's.
    Viewers("198.51.100.144/28", "2001:db8:c00a::/48", "DE", "SH", "Kiel", 54.3, 10.1, 64497, "Kieler Netz", 2),
    Viewers("198.51.100.160/28", "2001:db8:c00b::/48", "GB", "ENG", "London", 51.5, -0.1, 64498, "Thames Net", 9),
    Viewers("198.51.100.176/28", "2001:db8:c00c::/48", "FR", "IDF", "Paris", 48.9, 2.4, 64499, "Seine Telecom", 7),
    Viewers("198.51.100.192/28", "2001:db8:c00d::/48", "US", "VA", "Ashburn", 39.0, -77.5, 64500, "Potomac Fiber", 11),
    Viewers("198.51.100.208/28", "2001:db8:c00e::/48", "US", "CA", "Los Angeles", 34.1, -118.2, 64501, "Redwood", 12),
    Viewers("198.51.100.224/28", "2001:db8:c00f::/48", "BR", "SP", "São Paulo", -23.5, -46.6, 64502, "Tietê", 10),
    Viewers("198.51.100.240/28", "2001:db8:c010::/48", "AU", "NSW", "Sydney", -33.9, 151.2, 64503, "Harbour Net", 4),
    Viewers("192.0.2.128/28", "2001:db8:c011::/48", "JP", "13", "Tokyo", 35.7, 139.7, 64504, "Sumida", 10),
    Viewers("192.0.2.144/28", "2001:db8:c012::/48", "SG", "", "Singapore", 1.35, 103.8, 64505, "Straits", 5),
    Viewers("192.0.2.160/28", "2001:db8:c013::/48", "IN", "MH", "Mumbai", 19.1, 72.9, 64506, "Konkan", 9),
    Viewers("192.0.2.176/28", "2001:db8:c014::/48", "NO", "03", "Oslo", 59.9, 10.8, 64507, "Fjordnett", 2),
    Viewers("192.0.2.192/28", "2001:db8:c015::/48", "ZA", "GP", "Johannesburg", -26.2, 28.0, 64508, "Highveld", 3),
    # A mobile network that gives its viewers IPv6 alone.
    Viewers("", "2001:db8:c016::/48", "US", "TX", "Dallas", 32.8, -96.8, 64509, "Lone Star Mobile", 8),
)  # fmt: skip

CARRIERS = {
    "chinanet": ("198.51.100.0/28", "198.51.100.48/28", "198.51.100.80/28", "198.51.100.112/28"),
    "unicom": ("198.51.100.16/28", "198.51.100.64/28"),
    "cmcc": ("198.51.100.32/28", "198.51.100.96/28"),
}

RESOLVERS = (
    # A carrier's resolver in Shanghai, one in Berlin, one over IPv6, and two that can be tried from this machine:
    # dig -b 127.0.0.2 @127.0.0.1 … asks as a resolver of Shanghai's Unicom, -b 127.0.0.3 as one of Berlin's.
    ("192.0.2.64/32", "198.51.100.0/28", "0.7"),
    ("192.0.2.64/32", "198.51.100.112/28", "0.3"),
    ("192.0.2.65/32", "198.51.100.128/28", "1"),
    ("2001:db8:5353::/48", "2001:db8:c011::/48", "1"),
    ("127.0.0.2/32", "198.51.100.16/28", "0.9"),
    ("127.0.0.2/32", "198.51.100.64/28", "0.1"),
    ("127.0.0.3/32", "198.51.100.128/28", "1"),
)

RTT_MS = (
    # South Africa's cables run north: London is nearer in time than São Paulo, which is nearer on the globe.
    ("ZA", "", "", {"lhr": 158, "fra": 164, "iad": 225, "gru": 338, "sin": 290}),
    ("IN", "MH", "AS64506", {"sin": 58, "fra": 118, "lhr": 122, "nrt": 126}),
    ("US", "TX", "", {"lax": 32, "iad": 34, "gru": 140}),
    ("DE", "", "", {"fra": 9, "lhr": 17, "iad": 92}),
    ("CN", "SC", "chinanet", {"can": 31, "sha": 36, "pek": 39, "sin": 90}),
)

# Demand: hour of day (UTC) and tenths of the peak; services and tenths of a network's peak.
HOURS = ((0, 4), (6, 3), (12, 10), (18, 7))
SERVICES = (("pull.live.example.", 8), ("near.live.example.", 2), ("planned.live.example.", 4))


class _DatedWriter(MMDBWriter):
    """A writer whose build date is `BUILD_EPOCH` and not the clock's."""

    def _build_meta(self) -> dict[str, object]:
        return {**super()._build_meta(), "build_epoch": BUILD_EPOCH}


def main(directory: Path) -> None:
    """Write all files of the sample below ``directory``."""
    (directory / "geo").mkdir(parents=True, exist_ok=True)
    (directory / "isp").mkdir(exist_ok=True)
    _database(directory / "geo" / "sample-city.mmdb", "GeoIP2-City", _place)
    _database(directory / "geo" / "sample-isp.mmdb", "GeoIP2-ISP", _network)
    by_prefix = {viewers.v4: viewers for viewers in VIEWERS}
    for carrier, prefixes in CARRIERS.items():
        rows = [(prefix, carrier) for v4 in prefixes for prefix in (v4, by_prefix[v4].v6)]
        _table(directory / "isp" / f"{carrier}.csv", ("prefix", "isp"), rows)
    _table(directory / "resolvers.csv", ("resolver_prefix", "client_prefix", "share"), RESOLVERS)
    _table(
        directory / "rtt.csv",
        ("country", "region", "isp", "pop", "rtt_ms"),
        [(country, region, isp, pop, ms) for country, region, isp, row in RTT_MS for pop, ms in row.items()],
    )
    _table(
        directory / "demand.csv",
        ("time", "service", "country", "region", "isp", "demand_bps"),
        [
            (f"2026-01-01T{hour:02d}:00:00Z", service, viewers.country, viewers.region, _carrier(viewers), bps)
            for hour, tenths in HOURS
            for service, share in SERVICES
            for viewers in VIEWERS
            for bps in (viewers.peak_gbps * 10**7 * tenths * share,)
        ],
    )


def _database(path: Path, kind: str, record: Callable[[Viewers], dict[str, object]]) -> None:
    writer = _DatedWriter(
        6, kind, languages=["en"], description="gslb sample on documentation prefixes", ipv4_compatible=True
    )
    for viewers in VIEWERS:
        prefixes = [IPNetwork(prefix) for prefix in (viewers.v4, viewers.v6) if prefix]
        writer.insert_network(IPSet(prefixes), record(viewers))
    writer.to_db_file(str(path))


def _place(viewers: Viewers) -> dict[str, object]:
    record: dict[str, object] = {
        "continent": {"code": CONTINENT_OF[viewers.country]},
        "country": {"iso_code": viewers.country},
        "city": {"names": {"en": viewers.city}},
        "location": {"latitude": viewers.lat, "longitude": viewers.lon},
    }
    if viewers.region:
        record["subdivisions"] = [{"iso_code": viewers.region}]
    return record


def _network(viewers: Viewers) -> dict[str, object]:
    return {
        "autonomous_system_number": viewers.asn,
        "autonomous_system_organization": viewers.isp,
        "isp": viewers.isp,
        "organization": viewers.isp,
    }


def _carrier(viewers: Viewers) -> str:
    """The carrier under the name that a view has."""
    for carrier, prefixes in CARRIERS.items():
        if viewers.v4 in prefixes:
            return carrier
    return f"AS{viewers.asn}"


def _table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
