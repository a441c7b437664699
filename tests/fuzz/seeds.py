"""The seed corpus: some fifty packets, made from the rows of the syntax tests and from questions to the tests' network.

    PYTHONPATH=tests/lib python tests/fuzz/seeds.py tests/fuzz/corpus

writes the files anew, named by what they hold; a test holds those in the tree against what this makes.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

from gslbtest import query_rows
from gslbtest.packets import COOKIE, NSID, asks, edns, option, packet, subnet

MOST = 50
PER_RULE = 2
_CLIENT = b"clientck"
_BERLIN4, _BERLIN6 = b"\xc6\x33\x64", b"\x20\x01\x0d\xb8\0\1"


def seeds() -> dict[str, bytes]:
    """File name → packet."""
    found = {hashlib.sha256(each).hexdigest()[:16]: each for each in (*_questions(), *_rows())}
    return dict(list(found.items())[:MOST])


def _rows() -> Iterator[bytes]:
    """The first rows of every syntax rule."""
    rules: dict[str, int] = {}
    for row in query_rows.ROWS:
        rules[row.rule] = rules.get(row.rule, 0) + 1
        if rules[row.rule] <= PER_RULE:
            yield row.packet


def _questions() -> Iterator[bytes]:
    """One question for each way to an answer in `gslbtest.network`."""
    every = option(NSID), option(COOKIE, _CLIENT + b"\1\0\0\0" + bytes(12))
    yield edns(subnet(1, 24, _BERLIN4), *every, question=asks(b"\4pull\4live\7example\0"))
    yield edns(subnet(2, 48, _BERLIN6), question=asks(b"\1x\4pull\4live\7example\0", 28))
    yield edns(subnet(2, 120, bytes(10) + b"\xff\xff" + _BERLIN4), question=asks(b"\4both\4live\7example\0"))
    for name in (b"\5twins", b"\6fenced", b"\2c0", b"\3www", b"\3big", b"\1x\4wild", b"\1x\3del", b"\4gone"):
        yield packet(asks(name + b"\4live\7example\0"))
    yield packet(asks(b"\5child\4live\7example\0", 43))
    yield packet(asks(b"\4live\7example\0", 255))


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for name, content in seeds().items():
        (folder / name).write_bytes(content)
