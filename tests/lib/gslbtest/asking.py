"""Asking a DNS server: by dnspython for exact fields, by the real ``dig`` for what a person sees."""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from dataclasses import dataclass

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rdatatype

from gslbtest.process import SOON_S, program


def ask(
    port: int,
    name: str,
    rtype: str = "A",
    *,
    subnet: str | None = None,
    host: str = "127.0.0.1",
    source: str | None = None,
    tcp: bool = False,
    edns: bool = True,
    rd: bool = False,
    rdclass: str = "IN",
    timeout_s: float = SOON_S,
    again_s: float | None = None,
) -> dns.message.Message:
    """One question and its answer, which dnspython has read back and matched to the question.

    ``again_s`` asks again after so long, as resolvers do, until ``timeout_s``: for what a process that is killed may
    take with it.
    """
    options = []
    if subnet is not None:
        address, _, length = subnet.partition("/")
        options.append(dns.edns.ECSOption(address, int(length or (128 if ":" in address else 32))))
    query = dns.message.make_query(name, rtype, rdclass)
    if edns:
        query.use_edns(0, payload=1232, options=options)
    query.flags = dns.flags.Flag(dns.flags.RD if rd else 0)
    send = dns.query.tcp if tcp else dns.query.udp
    until = time.monotonic() + timeout_s
    while again_s is not None and time.monotonic() < until - again_s:
        with contextlib.suppress(dns.exception.Timeout, OSError, EOFError):
            return send(query, host, again_s, port, source=source)
    return send(query, host, timeout_s, port, source=source)


def addresses(message: dns.message.Message) -> list[str]:
    """The A and AAAA data of the answer section, in its order."""
    found = []
    for rrset in message.answer:
        if rrset.rdtype in (dns.rdatatype.A, dns.rdatatype.AAAA):
            found += [rdata.address for rdata in rrset]
    return found


def scope(message: dns.message.Message) -> int | None:
    """The scope prefix length of the answer's Client Subnet option, or None without one."""
    for option in message.options:
        if isinstance(option, dns.edns.ECSOption):
            return option.scopelen
    return None


@dataclass(frozen=True, slots=True)
class Dug:
    """What ``dig`` printed, in its parts. Records are dig's lines with single spaces."""

    status: str
    flags: str
    subnet: str  # address/source/scope, or ""
    ede: str
    answer: tuple[str, ...]
    authority: tuple[str, ...]
    additional: tuple[str, ...]
    text: str

    def lines(self) -> list[str]:
        """The parts as a transcript has them: one head line, then each section's records, sorted."""
        head = [self.status, f"flags {self.flags}"]
        head += [f"subnet {self.subnet}"] if self.subnet else []
        head += [f"EDE {self.ede}"] if self.ede else []
        found = ["; ".join(head)]
        for title, records in (("", self.answer), ("authority", self.authority), ("additional", self.additional)):
            found += [f"{title} {record}".strip() for record in sorted(records)]
        return found


def dig(port: int, *arguments: str, host: str = "127.0.0.1") -> Dug:
    """Run ``dig`` against the server with these arguments, without a random cookie, and read its output."""
    line = [program("dig"), f"@{host}", "-p", str(port), "+nocookie", f"+time={SOON_S:.0f}", "+tries=1", *arguments]
    done = subprocess.run(line, capture_output=True, text=True, timeout=SOON_S, check=False)
    assert done.returncode == 0, f"{' '.join(line)}\n{done.stdout}{done.stderr}"
    return read_dig(done.stdout)


def read_dig(text: str) -> Dug:
    """The parts of dig's ordinary output."""
    status = re.search(r"status: (\w+)", text)
    flags = re.search(r";; flags: ([a-z ]*);", text)
    subnet = re.search(r"CLIENT-SUBNET: (\S+)", text)
    ede = re.search(r"; EDE: (.+)", text)
    sections: dict[str, list[str]] = {"ANSWER": [], "AUTHORITY": [], "ADDITIONAL": []}
    current: list[str] | None = None
    for row in text.splitlines():
        if (title := re.match(r";; (\w+) SECTION:", row)) is not None:
            current = sections.get(title[1])
        elif not row:
            current = None
        elif current is not None and not row.startswith(";"):
            current.append(" ".join(row.split()))
    return Dug(
        status=status[1] if status else "",
        flags=flags[1] if flags else "",
        subnet=subnet[1] if subnet else "",
        ede=ede[1] if ede else "",
        answer=tuple(sections["ANSWER"]),
        authority=tuple(sections["AUTHORITY"]),
        additional=tuple(sections["ADDITIONAL"]),
        text=text,
    )
