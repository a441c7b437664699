"""The agent's file, checked: what the agent probes, reads and pushes, every fault of the file told at its place."""

from __future__ import annotations

import dataclasses
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from gslb.agent.fields import Place
from gslb.agent.models import AgentModel, ProbeModel, SourceModel
from gslb.errors import ConfigError, ConfigErrors, Findings, UsageError
from gslb.store.opening import check_url
from gslb.zone.nodes import Document, Keys, Text, quote
from gslb.zone.parse import parse
from gslb.zone.reading import Reading, read
from gslb.zone.scalars import identifier

DEFAULT_FILE = Path("/etc/gslb/agent.yaml")
SERVERS_WAIT_S: Final = 2.0
"""A longer interval than this outlasts the servers' default ``stale_s``, and needs ``valid_for``."""

PROBES: Final = ("http", "flv", "hls", "rtmp", "tcp")
SOURCES: Final = ("interface", "prometheus", "command")
_OF_PROBES: Final = {
    "status": ("http",),
    "body": ("http",),
    "max_age": ("hls",),
    "host": ("http", "flv", "hls"),
    "verify": ("http", "flv", "hls"),
}
_OF_SOURCES: Final = {
    "direction": ("interface",),
    "metric": ("prometheus",),
    "labels": ("prometheus",),
    "scale": ("prometheus",),
    "kind": ("prometheus",),
    "over": ("interface", "prometheus"),
}


class Target(NamedTuple):
    """One way of a probe: by which addresses it connects (AF_UNSPEC: by the one that is written), and whose health its
    outcome decides."""

    family: int
    four: bool
    six: bool


@dataclass(frozen=True, slots=True)
class Probe:
    """What is probed and how. ``targets`` has one element, or one a family where a name is probed by both; ``said``
    where the file says whose health it decides."""

    kind: str
    place: Place
    targets: tuple[Target, ...]
    said: bool = False
    interval_s: float = 1.0
    timeout_s: float = 2.0
    rise: int = 2
    fall: int = 3
    status: tuple[int, ...] = ()
    body: str = ""
    max_age_s: float = 15.0
    host: str = ""
    verify: bool = True

    def __str__(self) -> str:
        return f"{self.kind} {self.place.text}"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a number is read. ``kind`` is one of `SOURCES`; what belongs to others is empty."""

    kind: str
    interfaces: tuple[str, ...] = ()
    direction: str = "tx"
    url: str = ""
    metric: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    is_counter: bool = False
    scale: float = 1.0
    argv: tuple[str, ...] = ()
    interval_s: float = 1.0
    timeout_s: float = 2.0
    over_s: float = 3.0


@dataclass(frozen=True, slots=True)
class Config:
    """All that an agent is told. A ``capacity_bps`` of 0 is an unknown one; ``valid_ms`` 0: as long as servers do by
    themselves. ``token`` is for an admin port."""

    edge: str
    store: str
    token: str | None = None
    interval_s: float = 1.0
    timeout_s: float = 2.0
    valid_ms: int = 0
    down_at_end: bool = False
    capacity_bps: int = 0
    load: Source | None = None
    sessions: Source | None = None
    probes: tuple[Probe, ...] = ()

    @property
    def probed(self) -> tuple[bool, bool]:
        """Whether probes decide the health of IPv4, and of IPv6."""
        targets = [target for probe in self.probes for target in probe.targets]
        return any(target.four for target in targets), any(target.six for target in targets)


def load(path: Path | None, edge: str | None, store: str | None, environ: Mapping[str, str]) -> Config:
    """Read a file (None: there is none); ``edge`` and ``store``, of flags, win over what it says.

    The token of an admin port stands in the file's ``token_file``, else in GSLB_REPORT_TOKEN. Raises `ConfigErrors`, or
    `UsageError` where flags or variables are at fault, which tells the file's faults as well.
    """
    findings = Findings()
    document = Document("", Keys())
    if path is not None:
        try:
            document = parse(str(path), path.read_bytes(), findings)
        except OSError as error:
            raise ConfigErrors([ConfigError(str(path), 0, 0, error.strerror or str(error))]) from None
    checking = _Checking(read(AgentModel, document, findings), findings)
    config = checking.config(edge, store, environ)
    if checking.usage:
        raise UsageError("\n".join([*checking.usage, *map(str, findings.errors)]))
    findings.raise_if_any()
    return config


class _Checking:
    """What only several keys show, of one file."""

    def __init__(self, reading: Reading[AgentModel], findings: Findings) -> None:
        self.usage: list[str] = []
        self._reading = reading
        self._document = reading.document
        self._findings = findings

    def config(self, edge: str | None, store: str | None, environ: Mapping[str, str]) -> Config:
        model = self._reading.model
        if edge is not None:
            self._check_flag("--edge", lambda: identifier(Text(edge)))
        self._check_missing("edge", edge or model.edge)
        self._check_missing("store", store or model.store)
        url = str(store or model.store or "")
        token = self._token(model, environ) if url.startswith(("http:", "https:")) else None
        if store is not None:
            self._check_flag("--store", lambda: _check_store(store, token))
        elif model.store is not None:
            try:
                _check_store(url, token)
            except ValueError as error:
                self._error_of_value(("store",), str(error))
        valid_s = model.valid_for or 0.0
        if (model.interval > SERVERS_WAIT_S or valid_s) and valid_s < 2 * model.interval:
            at: tuple[str, ...] = ("valid_for",) if valid_s else ("interval",)
            reason = "is less than two intervals" if valid_s else "needs valid_for, of two intervals at least"
            self._error_of_value(at, f"{quote(self._document.walk(at)[-1][1])} {reason}")
        return Config(
            edge=str(edge or model.edge or ""),
            store=str(url),
            token=token,
            interval_s=model.interval,
            timeout_s=model.timeout,
            valid_ms=round(valid_s * 1000),
            down_at_end=model.last_word == "down",
            capacity_bps=model.capacity or 0,
            load=self._source("load", model.load),
            sessions=self._source("sessions", model.sessions),
            probes=self._shared(model),
        )

    def _check_flag(self, flag: str, check: Callable[[], object]) -> None:
        try:
            check()
        except ValueError as error:
            self.usage.append(f"{flag}: {error}")

    def _check_missing(self, key: str, value: str | None) -> None:
        if value or self._reading.faulty(key):
            return
        if self._document.path:
            self._error((), f'key "{key}" is missing, and there is no --{key}')
        else:
            self.usage.append(f"--{key} is missing, and there is no file that says it")

    def _token(self, model: AgentModel, environ: Mapping[str, str]) -> str | None:
        """The token; None where nothing names one, empty where a fault was told of it."""
        at: tuple[str, ...] = ()
        token = environ.get("GSLB_REPORT_TOKEN", "").strip()
        if model.token_file is not None:
            at = ("token_file",)
            try:
                token = Path(model.token_file).read_text("ascii").strip()
            except OSError as error:
                self._error_of_value(at, f"{model.token_file} cannot be read: {error.strerror}")
                return ""
            except UnicodeDecodeError:
                token = "\0"
        if not token and not at:
            return None
        if re.fullmatch("[!-~]+", token):
            return token
        if at:
            self._error_of_value(at, f"{model.token_file} holds no token")
        else:
            self.usage.append("GSLB_REPORT_TOKEN holds no token")
        return ""

    def _probes(self, model: AgentModel) -> Iterator[Probe]:
        node = self._document.root.get("probes", ())
        # What is no mapping was left out of the model, not of the document.
        places = (index for index in range(len(node)) if not self._reading.lost("probes", index))
        for index, each in zip(places, model.probes, strict=False):
            probe = self._probe(index, each)
            if probe is not None:
                yield probe

    def _shared(self, model: AgentModel) -> tuple[Probe, ...]:
        """The probes; where those of one family are all there are, they speak for the other as well, unless they say
        by ``family`` for whom they do."""
        found = tuple(self._probes(model))
        targets = [target for probe in found for target in probe.targets]
        four, six = any(target.four for target in targets), any(target.six for target in targets)
        if four == six:
            return found
        return tuple(
            probe
            if probe.said or not probe.targets  # a name without family, of which was told
            else dataclasses.replace(probe, targets=(probe.targets[0]._replace(four=True, six=True),))
            for probe in found
        )

    def _probe(self, index: int, model: ProbeModel) -> Probe | None:
        kind = self._kind(("probes", index), PROBES, _OF_PROBES, "a probe")
        place: Place | None = getattr(model, kind) if kind else None
        if place is None:
            return None
        own, said = place.family, model.family
        if not own and said is None and not self._reading.faulty("probes", index, "family"):
            reason = f"{quote(place.host)} is a name; say whose addresses are meant by family: 4, 6 or both"
            self._error_of_value(("probes", index, kind), reason)
        four, six = (said or str(own)) in ("4", "both"), (said or str(own)) in ("6", "both")
        ways = [Target(socket.AF_UNSPEC, four, six)]
        if not own:
            ways = [Target(socket.AF_INET, True, False)] * four + [Target(socket.AF_INET6, False, True)] * six
        return Probe(
            kind=kind,
            place=place,
            targets=tuple(ways),
            said=said is not None,
            interval_s=model.interval,
            timeout_s=model.timeout,
            rise=model.rise,
            fall=model.fall,
            status=model.status,
            body=str(model.body or ""),
            max_age_s=model.max_age,
            host=str(model.host or ""),
            verify=model.verify,
        )

    def _source(self, key: str, model: Any) -> Source | None:
        if model is None:
            return None
        assert isinstance(model, SourceModel)
        kinds = SOURCES if key == "load" else SOURCES[1:]
        kind = self._kind((key,), kinds, _OF_SOURCES, f'"{key}"')
        if not kind:
            return None
        if kind == "prometheus" and model.metric is None and not self._reading.faulty(key, "metric"):
            self._error((key, "prometheus"), 'prometheus: key "metric" is missing beside it')
        metric = str(model.metric or "")
        default_kind = "counter" if metric.endswith("_total") and key == "load" else "gauge"
        return Source(
            kind=kind,
            interfaces=tuple(map(str, getattr(model, "interface", ()))),
            direction=getattr(model, "direction", "tx"),
            url=model.prometheus.url if model.prometheus else "",
            metric=metric,
            labels=tuple((str(name), str(value)) for name, value in model.labels.items()),
            is_counter=(getattr(model, "kind", None) or default_kind) == "counter",
            scale=model.scale,
            argv=tuple(map(str, model.command)),
            interval_s=model.interval,
            timeout_s=model.timeout,
            over_s=getattr(model, "over", 3.0),
        )

    def _kind(
        self, at: tuple[str | int, ...], kinds: tuple[str, ...], owners: Mapping[str, tuple[str, ...]], what: str
    ) -> str:
        """The one of ``kinds`` that is written at a place; empty where there is none. Keys of others are told."""
        written = self._reading.written(*at)
        found = [key for key in written if key in kinds]
        if not found:
            if not self._document.broken and not self._reading.lost(*at):
                self._error(at, f"{what} names one of {', '.join(kinds)}")
            return ""
        for key in found[1:]:
            self._error((*at, key), f"{key}: {what} is of one kind; it is {found[0]} already")
        for key in written:
            if found[0] not in owners.get(key, found):
                self._error((*at, key), f"{key}: belongs to {', '.join(owners[key])}, not to {found[0]}")
        return found[0]

    def _error(self, at: tuple[str | int, ...], reason: str) -> None:
        """A fault of a key; of the file as a whole where ``at`` is empty."""
        self._findings.error(self._document.path, *self._document.key_place(*at), reason)

    def _error_of_value(self, at: tuple[str | int, ...], reason: str) -> None:
        self._findings.error(self._document.path, *self._document.place(*at), f"{at[-1]}: {reason}")


def _check_store(url: str, token: str | None) -> None:
    """Raises `ValueError` with the reason. An empty ``token`` is a faulty one, of which was told."""
    if url.startswith("memory:"):
        raise ValueError("the embedded store is inside of a server; name the server's admin port: http://ADDR:PORT")
    if not url.startswith(("http:", "https:")):
        check_url(url)
        return
    if not re.fullmatch(r"http://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}/?", url):
        raise ValueError(f"{quote(url)} is not http://ADDR:PORT")
    if token is None:
        raise ValueError("an admin port wants a token: name token_file, or set GSLB_REPORT_TOKEN")
