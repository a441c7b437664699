"""Where load and sessions are read: interface counters, a Prometheus endpoint, a command.

Each reading is a number, or None where a counter's rate is not known yet. What fails raises `SourceError`: nothing is
made up in place of a number that cannot be read.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import re
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import IO, Final, TypeAlias

from prometheus_client.parser import text_string_to_metric_families

from gslb.agent.config import Source
from gslb.agent.probes import ProbeError, told
from gslb.agent.probes.http import body_of, check_status, fetched
from gslb.agent.rate import Rate
from gslb.errors import GslbError
from gslb.health.report import MAX_BPS
from gslb.zone.nodes import Text, quote
from gslb.zone.scalars import rate as rate_text
from gslb.zone.scalars import whole

INTERFACES: Final = Path("/sys/class/net")
MAX_METRICS: Final = 16 << 20
MAX_OUTPUT: Final = 4096
MAX_SESSIONS: Final = 2**53

Reader: TypeAlias = Callable[[], Awaitable[int | None]]


class SourceError(GslbError):
    """A number that could not be read; the text says why."""


def load_reader(
    source: Source, monotonic_s: Callable[[], float] = time.monotonic, interfaces: Path = INTERFACES
) -> Reader:
    """What reads the load of an edge in bits a second."""
    rate = Rate(source.over_s)

    async def interface() -> int | None:
        total = sum(_octets(interfaces / name / f"statistics/{source.direction}_bytes") for name in source.interfaces)
        return _bounded(rate.note(total * 8, monotonic_s()), MAX_BPS)

    async def prometheus() -> int | None:
        value = await _metric(source)
        found = rate.note(value, monotonic_s()) if source.is_counter else value
        return _bounded(None if found is None else found * source.scale, MAX_BPS)

    async def command() -> int | None:
        return parse_rate(await _output(source.argv))

    return _limited({"interface": interface, "prometheus": prometheus, "command": command}[source.kind], source)


def sessions_reader(source: Source) -> Reader:
    """What reads the number of viewers."""

    async def prometheus() -> int | None:
        return _bounded(await _metric(source) * source.scale, MAX_SESSIONS)

    async def command() -> int | None:
        return parse_count(await _output(source.argv))

    return _limited({"prometheus": prometheus, "command": command}[source.kind], source)


def parse_rate(text: str) -> int:
    """``3.1Gbps``, or 0 with a unit or without → bits a second. Raises `SourceError`."""
    text = text.strip()
    if re.fullmatch(r"0+(?:\.0+)? ?(?:[kMGT]?bps)?", text):
        return 0
    try:
        return _bounded(rate_text(Text(text)), MAX_BPS) or 0
    except ValueError as error:
        raise SourceError(f"the command says {error}") from None


def parse_count(text: str) -> int:
    """A whole number. Raises `SourceError`."""
    try:
        return whole(0, MAX_SESSIONS)(Text(text.strip()))
    except ValueError as error:
        raise SourceError(f"the command says {error}") from None


def parse_metric(text: str, metric: str, labels: tuple[tuple[str, str], ...]) -> float:
    """The sum of the series of a metric that have all these labels. Raises `SourceError` where there is none, and
    where one is no number from 0 on."""
    # Only its own lines are parsed: an endpoint may have tens of thousands.
    lines = [
        line for line in text.splitlines() if line.startswith(metric) and line[len(metric) : len(metric) + 1] in "{ \t"
    ]
    values = []
    try:
        for family in text_string_to_metric_families("\n".join(lines) + "\n"):
            values += [
                sample.value
                for sample in family.samples
                if sample.name == metric and all(sample.labels.get(name) == value for name, value in labels)
            ]
    except ValueError as error:
        raise SourceError(f"not in the Prometheus text format: {error}") from None
    if not values:
        raise SourceError(f"no {_series(metric, labels)} among the metrics")
    total = sum(values)
    if not (math.isfinite(total) and min(values) >= 0):
        raise SourceError(f"{_series(metric, labels)} is {total:g}, not a number from 0 on")
    return float(total)


def _series(metric: str, labels: tuple[tuple[str, str], ...]) -> str:
    return metric + ("{" + ",".join(f'{name}="{value}"' for name, value in labels) + "}" if labels else "")


def _limited(reader: Reader, source: Source) -> Reader:
    async def read() -> int | None:
        try:
            async with asyncio.timeout(source.timeout_s) as limit:
                return await reader()
        except SourceError:
            raise
        except Exception as error:  # whatever it is, the load is not known, and the daemon goes on
            raise SourceError(f"no answer within {source.timeout_s:g} s" if limit.expired() else told(error)) from None

    return read


def _octets(path: Path) -> int:
    try:
        return int(path.read_text("ascii"))
    except OSError as error:
        raise SourceError(f"{path}: {told(error)}") from None


def _bounded(value: float | None, most: int) -> int | None:
    if value is not None and value > most:
        raise SourceError(f"{value:g} is more than can be: {most:g}")
    return None if value is None else round(value)


async def _metric(source: Source) -> float:
    async with fetched(source.url) as response:
        check_status(response)
        body = await body_of(response, MAX_METRICS + 1)
    if len(body) > MAX_METRICS:
        raise ProbeError(f"more than {MAX_METRICS} bytes of metrics")
    return parse_metric(body.decode("utf-8", "replace"), source.metric, source.labels)


async def _output(argv: tuple[str, ...]) -> str:
    """What a command prints; it and its children are killed where it fails or this is cancelled."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", 0) as out:
        try:
            # Not a pipe of asyncio's, which would wait for whoever else holds it open, and for nobody to read it.
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=writing,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise SourceError(f"{quote(argv[0])}: {told(error)}") from None
        finally:
            os.close(writing)
        try:
            text = await _read(out)
            code = await process.wait()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            raise
    if code:
        raise SourceError(f"the command ended with {code}" if code > 0 else f"the command was ended by signal {-code}")
    return text.decode("utf-8", "replace")


async def _read(out: IO[bytes]) -> bytes:
    """Everything until nobody writes any more. Raises `SourceError` where that is more than a number."""
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), out)
    try:
        text = b""
        while part := await reader.read(MAX_OUTPUT):
            text += part
            if len(text) > MAX_OUTPUT:
                raise SourceError(f"the command says more than {MAX_OUTPUT} bytes")
        return text
    finally:
        transport.close()
