"""Rdata in presentation form → uncompressed wire bytes, by dnspython; RFC 3597 forms for types nobody knows."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype

from gslb.zone import names
from gslb.zone.nodes import quote
from gslb.zone.scalars import did_you_mean

A, NS, CNAME, SOA, PTR, MX, TXT, AAAA, SRV, DNAME, DS, SPF = 1, 2, 5, 6, 12, 15, 16, 28, 33, 39, 43, 99

_REFUSED = {
    10: "NULL cannot be written in a file (RFC 1035 section 3.3.10)",
    24: "signatures are not taken from files",
    39: "DNAME is not supported; write CNAMEs or a wildcard",
    41: "OPT belongs to messages, not to zones",
    46: "signatures are not taken from files",
    47: "NSEC is made when signing, not taken from files",
    50: "NSEC3 is made when signing, not taken from files",
    51: "NSEC3PARAM is made when signing, not taken from files",
}
_TARGET_AT = {NS: 0, CNAME: 0, MX: 2, SRV: 6}


def rtype(text: str) -> int:
    """The number of a type by its name in any case, or ``TYPE<n>``; ``ValueError`` for those that no zone may hold."""
    try:
        number = int(dns.rdatatype.from_text(text.upper() if text.isascii() else ""))
    except (dns.exception.DNSException, ValueError):
        known = (kind.name.replace("_", "-") for kind in dns.rdatatype.RdataType if kind < 128 or kind > 255)
        raise ValueError(f"{quote(text)} is not a record type{did_you_mean(text, known)}") from None
    if number in _REFUSED:
        raise ValueError(f"{quote(text)} cannot stand here: {_REFUSED[number]}")
    if number == 0 or 128 <= number <= 255 or number == 65535:
        raise ValueError(f"{quote(text)} cannot stand here: it is a type of queries, not of records")
    return number


def type_text(number: int) -> str:
    """The name of a type, ``TYPE<n>`` where it has none."""
    return str(dns.rdatatype.to_text(dns.rdatatype.RdataType.make(number)))


def wire(kind: int, text: str, origin: bytes) -> bytes:
    """The wire form of one record's rdata; names in it are relative to ``origin`` and keep their case.

    TXT and SPF: a text that begins with a double quote or with ``\\#`` is presentation form; any other is taken as it
    stands, in UTF-8, and cut into strings of 255 bytes. ``ValueError`` says what is wrong with ``text``.
    """
    generic = text.startswith("\\#")
    if kind in (TXT, SPF) and not generic and not text.startswith('"'):
        return _strings(text)
    text = text.strip()
    if "\n" in text or "\r" in text:
        raise ValueError(f"{quote(text)} goes over several lines")
    if not text.isascii():
        raise ValueError(f"{quote(text)} holds other letters than ASCII")
    if kind in (NS, CNAME, PTR) and not generic:
        return names.wire(text, origin)
    if kind in (A, AAAA) and not generic:
        return _address(kind, text)
    try:
        return _by_dnspython(kind, text, origin)
    except Exception as error:  # dnspython raises what its parts happen to: ValueError, struct.error, KeyError, …
        raise ValueError(f"{quote(text)} is not {_article(type_text(kind))} record{_why(error)}") from None


def target(kind: int, rdata: bytes) -> bytes | None:
    """The lower-case name that an NS, CNAME, MX or SRV points to; None for other types."""
    return rdata[_TARGET_AT[kind] :].lower() if kind in _TARGET_AT else None


def _by_dnspython(kind: int, text: str, origin: bytes) -> bytes:
    base, _ = dns.name.from_wire(origin, 0)
    record = dns.rdata.from_text(
        dns.rdataclass.IN, dns.rdatatype.RdataType.make(kind), text, origin=base, relativize=False
    )
    encoded = record.to_wire(origin=base) or b""
    if len(encoded) > 65535:
        raise ValueError(f"{len(encoded)} bytes of rdata, at most 65535")
    return encoded


def _address(kind: int, text: str) -> bytes:
    try:
        if kind == A:
            return IPv4Address(text).packed
        if "%" not in text:
            return IPv6Address(text).packed
    except ValueError:
        pass
    raise ValueError(f"{quote(text)} is not an IPv{4 if kind == A else 6} address")


def _strings(text: str) -> bytes:
    data = text.encode()
    pieces = [data[at : at + 255] for at in range(0, len(data), 255)] or [b""]
    encoded = b"".join(bytes((len(piece),)) + piece for piece in pieces)
    if len(encoded) > 65535:
        raise ValueError(f"{quote(text)} is too long: {len(encoded)} bytes of rdata, at most 65535")
    return encoded


def _article(name: str) -> str:
    return f"an {name}" if re.match("A|E|H[IT]|L|M|N|R|S[OPRS]|X", name) else f"a {name}"


def _why(error: Exception) -> str:
    said = str(error).strip().rstrip(".")
    if isinstance(error, dns.exception.UnexpectedEnd) or said == "expecting an identifier":
        said = "something is missing at the end"
    elif more := re.match(r"expected EOL or EOF, got \d+ (.*)", said):
        said = f"{more[1]} is more than it takes"
    elif said.startswith("generic rdata does not start"):
        said = "a type without a form of its own is written \\# LENGTH HEX (RFC 3597)"
    if not said or isinstance(error, KeyError | IndexError | AttributeError):
        return ""
    return f": {said[0].lower()}{said[1:]}"
