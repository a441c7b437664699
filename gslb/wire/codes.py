"""Numbers of the DNS that more than one module needs, by their IANA names."""

from __future__ import annotations

from typing import Final

# Response codes (RFC 6895 section 2.3); those above 15 need an OPT record.
NOERROR: Final = 0
FORMERR: Final = 1
SERVFAIL: Final = 2
NXDOMAIN: Final = 3
NOTIMP: Final = 4
REFUSED: Final = 5
NOTAUTH: Final = 9
BADVERS: Final = 16

# Bits of the header's second word (RFC 1035 section 4.1.1).
QR: Final = 0x8000
OPCODE: Final = 0x7800
AA: Final = 0x0400
TC: Final = 0x0200
RD: Final = 0x0100

A: Final = 1
NS: Final = 2
CNAME: Final = 5
SOA: Final = 6
HINFO: Final = 13
TXT: Final = 16
AAAA: Final = 28
OPT: Final = 41
DS: Final = 43
TSIG: Final = 250
IXFR: Final = 251
AXFR: Final = 252
ANY: Final = 255

CLASS_IN: Final = 1
CLASS_CH: Final = 3

# EDNS options.
OPTION_NSID: Final = 3  # RFC 5001
OPTION_ECS: Final = 8  # RFC 7871
OPTION_COOKIE: Final = 10  # RFC 7873
OPTION_KEEPALIVE: Final = 11  # RFC 7828
OPTION_EDE: Final = 15  # RFC 8914

# Families of an ECS option (IANA address family numbers); 0 is the older dig's "don't use me".
FAMILY_NONE: Final = 0
FAMILY_V4: Final = 1
FAMILY_V6: Final = 2

# Extended DNS errors (RFC 8914 section 5.2).
EDE_OTHER: Final = 0
EDE_NOT_AUTHORITATIVE: Final = 20
