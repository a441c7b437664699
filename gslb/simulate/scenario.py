"""A scenario: a frozen description of a world and of what happens in it, read from YAML with every fault told.

The same file makes the same run: all that is drawn comes of its ``seed``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Final

from gslb.errors import Findings
from gslb.model.dispatch import DispatchRules
from gslb.simulate.policies import KINDS
from gslb.simulate.resolvers import ResolverRules
from gslb.simulate.rtt import RttRules
from gslb.simulate.scenario_models import MAPPING_POPS, FailureModel, ScenarioModel, WorldModel
from gslb.simulate.world import WorldRules
from gslb.zone import dispatching
from gslb.zone.dispatch_models import DispatchModel
from gslb.zone.nodes import Document, Keys
from gslb.zone.parse import parse
from gslb.zone.reading import Reading, read

POP, LINK, GREY, STALE = "pop", "link", "grey", "stale"
LARGEST: Final = "largest"


@dataclass(frozen=True, slots=True)
class Demand:
    """How people watch: ``sessions`` at once in the mean of a day, of log-normal length (mean ``mean_s``, log-sd
    ``sigma``), at ``rates_bps`` (equally likely), of ``streams`` whose popularity follows Zipf's law with exponent
    ``zipf``; the part ``regional`` of sessions goes by an order of streams of their country, and rates of streams
    and of networks differ by log-sds, ``uneven`` and ``uneven_networks``. ``peak_to_trough`` is of the local day;
    the run begins at ``start_h`` hours UTC."""

    sessions: int = 20_000
    mean_s: int = 600
    sigma: float = 1.0
    rates_bps: tuple[int, ...] = (1_000_000, 2_000_000, 3_000_000, 5_000_000)
    streams: int = 20
    zipf: float = 1.0
    peak_to_trough: float = 3.5
    start_h: float = 12.0
    regional: float = 0.0
    uneven: float = 0.0
    uneven_networks: float = 0.0

    @property
    def mean_bps(self) -> float:
        """All that is asked for in the mean of a day."""
        return self.sessions * sum(self.rates_bps) / len(self.rates_bps)


@dataclass(frozen=True, slots=True)
class FlashCrowd:
    """Arrivals of viewers in ``countries`` (empty: all) that rise to ``factor`` times the usual within ``rise_s`` from
    ``at_s`` on, stay for ``hold_s`` and fall in ``fall_s``; they watch ``stream``. One that is ``announced`` stands in
    the dispatcher's events as a scheduled stream for each country, with what it is going to ask for."""

    at_s: int
    factor: float = 10.0
    rise_s: int = 300
    hold_s: int = 600
    fall_s: int = 600
    countries: tuple[str, ...] = ()
    stream: int = 0
    announced: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """From ``at_s`` to ``until_s`` the edges of ``pop`` (`LARGEST`: of the one with most capacity) or the one ``edge``:

    - `POP`: are down, and say so;
    - `LINK`: have lost ``loss`` of their capacity, and say so;
    - `GREY`: have lost it and say nothing;
    - `STALE`: are not heard of.
    """

    kind: str
    at_s: int
    until_s: int
    pop: str = LARGEST
    edge: str = ""
    loss: float = 0.5


@dataclass(frozen=True, slots=True)
class Imports:
    """Names of files beside the scenario, empty where there is none."""

    pops: str = ""
    rtt: str = ""
    rtt_matrix: str = ""
    rtt_matrix_unit: str = "ms"
    demand: str = ""


@dataclass(frozen=True, slots=True)
class MappingRules:
    """How ways of mapping are compared: with each of ``pops``, in ``worlds`` worlds, by round trips measured with a
    log-normal error. Its default is that of the median of 100 measurements with log-sd 0.39: 1.2533 · 0.39 / √100."""

    pops: tuple[int, ...] = MAPPING_POPS
    worlds: int = 4
    estimate_log_sd: float = 0.05


@dataclass(frozen=True, slots=True)
class Scenario:
    """All of a scenario. Times count from where measuring begins; ``warmup_s`` are simulated before."""

    name: str
    seed: int
    duration_s: int = 3600
    warmup_s: int = 600
    world: WorldRules = field(default_factory=WorldRules)
    imports: Imports = field(default_factory=Imports)
    demand: Demand = field(default_factory=Demand)
    flashes: tuple[FlashCrowd, ...] = ()
    failures: tuple[Failure, ...] = ()
    mapping: MappingRules | None = None
    policies: tuple[str, ...] = tuple(KINDS)
    ttl_s: int = 20
    changing_ttl_s: int = 5
    violators: float = 0.07
    violators_keep_s: int = 3600
    violators_ecs: bool = True
    caches: int = 8
    prefixes: int = 8
    report_delay_s: int = 2
    dispatch: DispatchRules = field(default_factory=DispatchRules)
    limited: bool = True


def read_scenario(path: str, content: bytes) -> Scenario:
    """The scenario of a file. Raises `ConfigErrors` with every fault of it."""
    findings = Findings()
    document = parse(path, content, findings)
    reading = read(ScenarioModel, document, findings)
    _check(reading, findings)
    rules = dispatching.rules(_dispatch(reading), dispatching.Inventory(None, None), findings)
    findings.raise_if_any()
    return _made(reading.model, path, rules)


def _check(reading: Reading[ScenarioModel], findings: Findings) -> None:
    """What several keys show only together."""
    model, document = reading.model, reading.document

    def fault(*location: str | int, reason: str) -> None:
        if not reading.faulty(*location):
            findings.error(document.path, *document.place(*location), f"{location[-1]}: {reason}")

    parts = model.world.resolvers
    if parts.public + parts.local + parts.far > 1:
        told = f"public, local and far are together {parts.public + parts.local + parts.far:g} of all demand"
        fault("world", "resolvers", reason=told)
    for at, flash in enumerate(model.flashes):
        if flash.at >= model.duration:
            fault("flashes", at, "at", reason=f"{flash.at} s is not before the end, {model.duration} s")
        if flash.stream >= model.demand.streams:
            told = f"{flash.stream} is no stream; there are {model.demand.streams}, from 0"
            fault("flashes", at, "stream", reason=told)
    for at, failure in enumerate(model.failures):
        if failure.at >= model.duration:
            fault("failures", at, "at", reason=f"{failure.at} s is not before the end, {model.duration} s")
        if failure.pop and failure.edge:
            fault("failures", at, "edge", reason="a failure is of a PoP or of an edge, not of both")
    if model.mapping is not None and list(model.mapping.pops) != sorted(model.mapping.pops):
        fault("mapping", "pops", reason="the numbers do not rise")
    if not model.demand.rates:
        fault("demand", "rates", reason="an empty list holds no rate; leave the key out")


def _dispatch(reading: Reading[ScenarioModel]) -> Reading[DispatchModel]:
    """The section `dispatch:` as a file of its own."""
    document = reading.document
    root = document.root.get("dispatch")
    inner = Document(document.path, root if isinstance(root, Keys) else Keys(), document.broken)
    faults = frozenset(fault[1:] for fault in reading.faults if fault[:1] == ("dispatch",))
    return Reading(inner, reading.model.dispatch, faults)


def _made(model: ScenarioModel, path: str, rules: DispatchRules) -> Scenario:
    demand = model.demand
    return Scenario(
        name=str(model.name or PurePosixPath(path).stem),
        seed=model.seed,
        duration_s=model.duration,
        warmup_s=model.warmup,
        world=_world(model.world),
        imports=Imports(**{name: str(value or "") for name, value in model.imports.model_dump().items()}),
        demand=Demand(
            sessions=demand.sessions,
            mean_s=demand.mean,
            sigma=demand.sigma,
            rates_bps=demand.rates,
            streams=demand.streams,
            zipf=demand.zipf,
            peak_to_trough=demand.peak_to_trough,
            start_h=demand.start_hour,
            regional=demand.regional,
            uneven=demand.uneven,
            uneven_networks=demand.uneven_networks,
        ),
        flashes=tuple(
            FlashCrowd(
                each.at, each.factor, each.rise, each.hold, each.fall, each.countries, each.stream, each.announced
            )
            for each in model.flashes
        ),
        failures=tuple(_failure(each, model.duration) for each in model.failures),
        mapping=None if model.mapping is None else MappingRules(**model.mapping.model_dump()),
        policies=model.policies,
        ttl_s=model.ttl,
        changing_ttl_s=model.changing_ttl,
        violators=model.violators,
        violators_keep_s=model.violators_keep,
        violators_ecs=model.violators_ecs,
        caches=model.caches,
        prefixes=model.prefixes,
        report_delay_s=model.report_delay,
        dispatch=rules,
        limited=model.limits == "on",
    )


def _world(model: WorldModel) -> WorldRules:
    made: dict[str, Any] = {name: getattr(model, name) for name in WorldModel.model_fields}
    made["rtt"] = RttRules(**model.rtt.model_dump())
    made["resolvers"] = ResolverRules(**model.resolvers.model_dump())
    return WorldRules(**made)


def _failure(model: FailureModel, duration_s: int) -> Failure:
    until_s = duration_s if model.lasts is None else min(duration_s, model.at + model.lasts)
    pop = "" if model.edge else str(model.pop or LARGEST)
    return Failure(model.kind, model.at, until_s, pop, str(model.edge or ""), model.loss)
