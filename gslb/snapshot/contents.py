"""What a catalog says, by name instead of by row: for comparing two of them, whose rows mean different things."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import pairwise
from typing import Any, NamedTuple

import numpy.typing as npt

from gslb.model.names import to_text
from gslb.snapshot import layout
from gslb.snapshot.rows import GlueRow, NameRow, RRsetRow, ServiceRow

Arrays = Mapping[str, npt.NDArray[Any]]

_RECORD4, _RECORD6, _HEAD = 16, 28, 12  # bytes of stored A and AAAA records, and before their rdata


class RecordSet(NamedTuple):
    """The ``size`` records of an owner and type, as stored; ``glue`` are those below a delegation that go with it."""

    size: int
    records: bytes
    glue: bytes


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """What is said of a service; ``keys`` as texts, by the names that operators write, always in one order."""

    policy: int
    max_change: float
    hash_len4: int
    spread: int
    keys: dict[str, str]


class Contents:
    """A catalog's sections, read by name."""

    def __init__(self, arrays: Arrays) -> None:
        self.arrays = arrays
        at = arrays["string_at"].tolist()
        raw = arrays["string"].tobytes()
        self.texts = [raw[begin:end].decode() for begin, end in pairwise(at)]
        self.edge_ids = [self.texts[row] for row in arrays["edge"]["id"].tolist()]
        self._blob = arrays["blob"].tobytes()
        self._name_bytes = arrays["name_bytes"].tobytes()

    def records(self) -> dict[tuple[bytes, int, bool], RecordSet]:
        """Every record set by owner, type, and whether it stands at a cut: an apex of ours below a zone of ours has NS
        records on either side."""
        names = [NameRow._make(row) for row in self.arrays["name"].tolist()]
        rrsets = [RRsetRow._make(row) for row in self.arrays["rrset"].tolist()]
        glue = [GlueRow._make(row) for row in self.arrays["glue"].tolist()]
        found = {}
        for name in names:
            owner = self._name_bytes[name.text : name.text + name.length]
            for rrset in rrsets[name.rrset : name.rrset + name.rrset_count]:
                below = glue[rrset.glue : rrset.glue + rrset.glue_count]
                found[owner, rrset.rtype, bool(name.flags & layout.NAME_CUT)] = RecordSet(
                    rrset.records,
                    self._blob[rrset.blob : rrset.blob + rrset.length],
                    b"".join(
                        self._name_bytes[each.name : each.name + each.name_length]
                        + self._blob[each.blob : each.blob + each.length]
                        for each in below
                    ),
                )
        return found

    def edges(self) -> dict[str, bytes]:
        """The addresses of every edge, as stored."""
        return {
            edge: self._addresses(row["rr4"], row["rr4_count"], _RECORD4)
            + b"|"
            + self._addresses(row["rr6"], row["rr6_count"], _RECORD6)
            for edge, row in zip(self.edge_ids, self.arrays["edge"], strict=True)
        }

    def services(self) -> dict[str, ServiceFacts]:
        """Every service by its name, as people write it."""
        names = [NameRow._make(row) for row in self.arrays["name"].tolist()]
        pools = [self._pool(row) for row in self.arrays["policy"]]
        found = {}
        for row in map(ServiceRow._make, self.arrays["service"].tolist()):
            name = names[row.name]
            owner = self._name_bytes[name.text : name.text + name.length]
            found[to_text(owner)] = ServiceFacts(
                policy=row.policy,
                max_change=round(row.max_change, 6),
                hash_len4=row.hash_len4,
                spread=row.spread,
                keys=pools[row.policy]
                | {
                    "ttl": str(row.ttl_s),
                    "changing_ttl": str(row.changing_ttl_s),
                    "answers": str(row.answers),
                    "spread": str(row.spread),
                    "max_records": str(row.max_records),
                    "hash_len": f"/{row.hash_len4}, /{row.hash_len6}",
                    "fallback": ", ".join(
                        [
                            *self._texts(row.fallback4, row.fallback4_count, _RECORD4),
                            *self._texts(row.fallback6, row.fallback6_count, _RECORD6),
                        ]
                    ),
                    "dispatch": "true" if row.flags & layout.SERVICE_DISPATCH else "false",
                    "max_change": f"{row.max_change:.3g}",
                },
            )
        return found

    def _pool(self, policy: Any) -> dict[str, str]:
        """The keys that follow from a policy."""
        members = slice(policy["edge"], policy["edge"] + policy["edge_count"])
        weights = zip(
            self.arrays["policy_edge"][members].tolist(), self.arrays["policy_weight"][members].tolist(), strict=True
        )
        return {
            "pool": self.texts[policy["pool"]],
            "weights": ", ".join(f"{self.edge_ids[edge]}: {weight}" for edge, weight in weights),
            "affinity": self.texts[policy["affinity"]],
            "panic": f"{policy['panic_milli'] / 1000:g}",
            "on_all_down": "closed" if policy["flags"] & layout.SERVICE_CLOSED else "open",
        }

    def _addresses(self, at: int, count: int, size: int) -> bytes:
        return self._blob[at : at + count * size]

    def _texts(self, at: int, count: int, size: int) -> list[str]:
        records = self._addresses(at, count, size)
        return [str(ip_address(records[first + _HEAD : first + size])) for first in range(0, len(records), size)]
