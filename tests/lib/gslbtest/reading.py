"""A reply in lines of text, as dnspython reads it: short enough to stand in a table."""

from __future__ import annotations

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdatatype

_SECTIONS = (("an", "answer"), ("ns", "authority"), ("ar", "additional"))


def read(reply: bytes) -> list[str]:
    """``RCODE flags``, the question, records as ``an|ns|ar owner ttl TYPE data``, then EDNS options, one a line.

    Raises what dnspython raises for a message that is not well-formed to the last byte.
    """
    message = dns.message.from_wire(reply, ignore_trailing=False, one_rr_per_rrset=False)
    flags = dns.flags.to_text(message.flags).lower()
    opcode = "" if message.opcode() == dns.opcode.QUERY else f" {dns.opcode.to_text(message.opcode())}"
    lines = [f"{dns.rcode.to_text(message.rcode())} {flags}{opcode}"]
    lines += [f"? {each.name} {dns.rdatatype.to_text(each.rdtype)}" for each in message.question]
    for short, section in _SECTIONS:
        for rrset in getattr(message, section):
            kind = dns.rdatatype.to_text(rrset.rdtype)
            lines += [f"{short} {rrset.name} {rrset.ttl} {kind} {rdata.to_text()}" for rdata in rrset]
    if message.edns >= 0:
        do = " do" if message.ednsflags & dns.flags.DO else ""
        lines.append(f"opt {message.edns} {message.payload}{do}")
        lines += [_option(option) for option in message.options]
    return lines


def _option(option: dns.edns.Option) -> str:
    if isinstance(option, dns.edns.ECSOption):
        return f"ecs {option.address}/{option.srclen}/{option.scopelen}"
    if isinstance(option, dns.edns.EDEOption):
        return f"ede {int(option.code)} {option.text or ''}".rstrip()
    if isinstance(option, dns.edns.CookieOption):
        return f"cookie {option.client.hex()} {option.server.hex()}"
    if isinstance(option, dns.edns.NSIDOption):
        return f"nsid {option.nsid.decode()}"
    return f"option {int(option.otype)} {option.to_wire().hex()}"
