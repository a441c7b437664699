"""`_current.json`: what a measuring pipeline says of a folder of tables: which files count, and their buckets.

```json
{"format": 1, "table": "demand", "run": "2026-11-28T18:05:00Z-1", "bucket_s": 300,
 "from": "2026-11-21T18:00:00Z", "until": "2026-11-28T18:05:00Z",
 "buckets": ["2026-11-21T18:00:00Z", …], "files": ["demand-1.parquet"]}
```

It is written last, beside its name and then renamed; files that it names are never written again.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from gslb.errors import FaultyError
from gslb.geo import values
from gslb.model.jsontext import decoded, is_whole, quoted

CURRENT: Final = "_current.json"
FORMAT: Final = 1
_KEYS: Final = ("format", "table", "run", "bucket_s", "from", "until", "buckets", "files")
_FILE: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._=-]{0,199}\.(?:csv|parquet)")
_MOST_BUCKETS: Final = 1_000_000
_MOST_FILES: Final = 10_000


@dataclass(frozen=True, slots=True)
class Manifest:
    """What one run made. ``buckets_s`` are the starts of the buckets that are known, ascending; ``until_s`` is the end
    of what was looked at."""

    run: str
    from_s: int
    until_s: int
    buckets_s: tuple[int, ...]
    files: tuple[str, ...]


def read(content: bytes, table: str, bucket_s: int) -> Manifest:
    """The manifest of ``table``, whose buckets have ``bucket_s`` seconds. Raises `FaultyError` with all that is wrong;
    keys that are not known are passed over."""
    faults: list[tuple[str, str]] = []
    try:
        found = decoded(content, "the manifest")
        if not isinstance(found, dict):
            raise ValueError("not a mapping of keys to values")
    except ValueError as error:
        raise FaultyError("manifest", [("", str(error))]) from None
    faults += [(key, "is missing") for key in _KEYS if key not in found]
    for key, wanted in (("format", FORMAT), ("table", table), ("bucket_s", bucket_s)):
        if key in found and (found[key] != wanted or isinstance(found[key], bool)):
            faults.append((key, f"{quoted(found[key])} is not {quoted(wanted)}"))

    def taken(key: str, read: Callable[[Any], Any], otherwise: Any) -> Any:
        if key in found:
            try:
                return read(found[key])
            except ValueError as error:
                faults.append((key, str(error)))
        return otherwise

    run = taken("run", _text, "")
    from_s, until_s = taken("from", _time_s, None), taken("until", _time_s, None)
    buckets_s = taken("buckets", lambda value: _list(value, _time_s, _MOST_BUCKETS), ())
    files = taken("files", lambda value: _list(value, _file, _MOST_FILES), ())
    if from_s is not None and until_s is not None:
        if until_s < from_s:
            faults.append(("until", "lies before from"))
        elif any(not from_s <= each <= until_s - bucket_s for each in buckets_s):
            faults.append(("buckets", "one lies outside of from and until"))
    if any(each % bucket_s for each in buckets_s):
        faults.append(("buckets", f"one does not begin at a multiple of {bucket_s} s"))
    if faults:
        raise FaultyError("manifest", faults)
    return Manifest(run, from_s, until_s, tuple(sorted(buckets_s)), files)


def _list(value: object, read: Callable[[Any], Any], most: int) -> tuple[Any, ...]:
    if not isinstance(value, list) or not is_whole(len(value), most):
        raise ValueError(f"{quoted(value)} is not a list of at most {most}")
    found = tuple(read(each) for each in value)
    if len(set(found)) < len(found):
        raise ValueError("a value stands twice in the list")
    return found


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{quoted(value)} is not a text")
    return value


def _time_s(value: object) -> int:
    return values.time_s(_text(value))


def _file(value: object) -> str:
    if not _FILE.fullmatch(_text(value)):
        raise ValueError(f"{quoted(value)} is not the name of a CSV or Parquet file beside the manifest")
    return str(value)
