"""Which ISP a number or a text means, by `zones/isps.yaml`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from gslb.model.inventory import Isp

MAX_ASN = 0xFFFFFFFF

_AS_NAME = re.compile(r"AS([1-9][0-9]{0,9})")


class IspNames:
    """The names of ISPs, and what else means them: AS numbers and the texts of databases, in any letter case."""

    __slots__ = ("_by_asn", "_by_text", "_names")

    def __init__(self, isps: Iterable[Isp]) -> None:
        self._names: set[str] | None = set()
        self._by_asn: dict[int, str] = {}
        self._by_text: dict[str, str] = {}
        for isp in isps:
            self._names.add(isp.name)
            for asn in isp.asns:
                self._by_asn.setdefault(asn, isp.name)
            for text in isp.names:
                self._by_text.setdefault(text.casefold(), isp.name)

    @classmethod
    def unknown(cls) -> IspNames:
        """For when `isps.yaml` could not be read: every name is accepted, so that its faults are told once."""
        made = cls(())
        made._names = None
        return made

    def of_asn(self, asn: int) -> str:
        """The ISP of an AS number: the one that claims it, else ``AS<n>``; empty for 0."""
        return self._by_asn.get(asn) or (f"AS{asn}" if asn else "")

    def of_text(self, text: str) -> str:
        """The ISP that a database's text means, or empty."""
        return self._by_text.get(text.casefold(), "")

    def read(self, text: str) -> tuple[str, int]:
        """The ISP and, where the text is ``AS<n>``, the AS number of a table's ``isp`` column.

        Raises ValueError, saying what is wrong, for a text that is neither a known name nor ``AS<n>``.
        """
        asn = as_number(text)
        if asn:
            return self.of_asn(asn), asn
        if self._names is None or text in self._names:
            return text, 0
        close = difflib.get_close_matches(text, sorted(self._names), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"{text!r} is neither in isps.yaml nor AS<number>{hint}")


def as_number(text: str) -> int:
    """The number of ``AS<n>``, 0 for any other text."""
    match = _AS_NAME.fullmatch(text)
    asn = int(match[1]) if match else 0
    return asn if asn <= MAX_ASN else 0
