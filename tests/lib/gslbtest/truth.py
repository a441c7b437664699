"""What a simulated network leaves behind: logs and reports, as a real one would, and beside them the truth.

`Scribe` looks on at a run and keeps what servers answered, what edges served and what they reported. `leave` writes of
it what is logged; `truth` is what viewers really asked for, which no log says.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from gslb.model import records
from gslb.simulate.caches import NO_PREFIX, Units
from gslb.simulate.importing import world_of
from gslb.simulate.running import run
from gslb.simulate.scenario import Scenario, read_scenario
from gslb.simulate.sessions import Asking
from gslb.simulate.steered import Answers
from gslb.simulate.telemetry import Condition
from gslb.simulate.world import World

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]

SERVICES = ("live.example.", "sport.example.", "news.example.", "play.example.")
"""The services of a network; streams belong to them in turn, so that each has popular ones."""
_VIEW = ("country", "region", "isp")
SERVERS = ("ns1", "ns2", "ns3")
START_S = 1_767_225_600  # 2026-01-01
PARTS = 16
"""Into how many /20 edges tell viewers of a view apart."""
_FIRST = 16 << 24  # where the networks of `gslb.simulate.steered` begin
_TYPES = {records.TIME: pa.timestamp("us", tz="UTC"), records.TEXT: pa.string(), records.WHOLE: pa.int64()}


@dataclass
class Scribe:
    """A `gslb.simulate.running.Witness` that writes everything down."""

    units: Units | None = None
    questions: list[tuple[int, I64, Answers]] = field(default_factory=list)
    sessions: list[tuple[int, Asking, I64]] = field(default_factory=list)
    cuts: list[tuple[int, I64]] = field(default_factory=list)
    reports: list[tuple[int, I64, Condition]] = field(default_factory=list)

    def enter(self, units: Units) -> None:
        self.units = units

    def asked(self, now_s: int, cell: I64, answers: Answers) -> None:
        self.questions.append((now_s, cell, answers))

    def began(self, now_s: int, asking: Asking, edge: I64) -> None:
        self.sessions.append((now_s, asking, edge))

    def cut(self, now_s: int, edges: npt.NDArray[np.bool_]) -> None:
        self.cuts.append((now_s, np.flatnonzero(edges)))

    def reported(self, now_s: int, load_bps: F64, condition: Condition) -> None:
        self.reports.append((now_s, np.rint(load_bps).astype(np.int64), condition))


@dataclass
class Network:
    """A run that is over, and all that happened in it. Times are seconds since 1970."""

    scenario: Scenario
    world: World
    scribe: Scribe

    @cached_property
    def begin_s(self) -> int:
        """When measuring begins: a whole hour."""
        return START_S

    @cached_property
    def until_s(self) -> int:
        return START_S + self.scenario.duration_s

    @cached_property
    def edges(self) -> list[str]:
        return [edge.id for edge in self.world.edges]

    @cached_property
    def database(self) -> duckdb.DuckDBPyConnection:
        """Tables ``minutes`` (minute_s, edge, service, view, part, bytes, started): what was served by edge, service,
        view and part of it, a /20; and ``views``."""
        found = duckdb.connect(config={"threads": 2, "memory_limit": "4GB"})
        views = [(at, view.country, view.region, view.isp) for at, view in enumerate(self.world.views)]
        columns = dict(zip(("view", "country", "region", "isp"), map(list, zip(*views, strict=True)), strict=True))
        for name, table in (("minutes", pa.table(self._minutes())), ("views", pa.table(columns))):
            found.register("given", table)
            found.execute(f"create table {name} as from given")
            found.unregister("given")
        return found

    def _minutes(self) -> dict[str, npt.NDArray[np.int64]]:
        scribe, units, streams = self.scribe, self.scribe.units, self.scenario.demand.streams
        assert units is not None
        begin = np.concatenate([np.full(len(edge), now_s) for now_s, _, edge in scribe.sessions])
        asking = [each for _, each, _ in scribe.sessions]
        cell, view, end, rate = (np.concatenate(column) for column in zip(*asking, strict=True))
        edge = np.concatenate([edge for _, _, edge in scribe.sessions])
        for at_s, edges in scribe.cuts:
            end[np.isin(edge, edges) & (begin < at_s) & (end > at_s)] = at_s
        unit, stream = np.divmod(cell, streams)
        # Where no Client Subnet tells viewers apart they have prefixes of their own, few of which are large.
        drawn = np.random.default_rng(self.scenario.seed).random(len(unit))
        local = 8 + np.minimum((8 * drawn * drawn).astype(np.int64), 7)
        part = np.where(units.prefix[unit] == NO_PREFIX, local, units.prefix[unit] >> 4)
        # Bytes of a minute are a sum of rates over its seconds. A beginning adds what is left of its minute, and a
        # whole one from the next minute on; an end takes the same away.
        key = ((edge * len(SERVICES) + stream % len(SERVICES)) * len(self.world.views) + view) * PARTS + part
        keys, at = np.unique(key, return_inverse=True)
        minutes = self.scenario.duration_s // 60
        served, started = np.zeros(len(keys) * minutes), np.zeros(len(keys) * minutes)
        step = np.zeros(len(keys) * (minutes + 1))
        for when, sign in ((begin, 1.0), (end, -1.0)):
            moment = np.maximum(when - self.scenario.warmup_s, 0)
            kept = moment < self.scenario.duration_s
            minute, rest = moment[kept] // 60, 60 - moment[kept] % 60
            bytes_s = sign * rate[kept] / 8
            served += np.bincount(at[kept] * minutes + minute, weights=bytes_s * rest, minlength=len(served))
            step += np.bincount(at[kept] * (minutes + 1) + minute + 1, weights=bytes_s * 60, minlength=len(step))
        inside = (begin >= self.scenario.warmup_s) & (begin < self.scenario.warmup_s + self.scenario.duration_s)
        minute = (begin[inside] - self.scenario.warmup_s) // 60
        started += np.bincount(at[inside] * minutes + minute, minlength=len(started))
        served += np.cumsum(step.reshape(len(keys), minutes + 1), axis=1)[:, :-1].reshape(-1)
        some = np.flatnonzero(served >= 0.5)
        of, minute = np.divmod(some, minutes)
        rest, part = np.divmod(keys[of], PARTS)
        rest, view = np.divmod(rest, len(self.world.views))
        edge, service = np.divmod(rest, len(SERVICES))
        return {
            "minute_s": minute * 60 + self.begin_s,
            "edge": edge,
            "service": service,
            "view": view,
            "part": part,
            "bytes": np.rint(served[some]).astype(np.int64),
            "started": started[some].astype(np.int64),
        }

    def truth(self, bucket_s: int) -> pa.Table:
        """What was asked for: ``bucket_s, service, country, region, isp, demand_bps``, and of which ``edge``."""
        return self.database.sql(f"""
            select minute_s // {bucket_s} * {bucket_s} as bucket_s, {_named("service", SERVICES)} as service,
                   {_named("edge", self.edges)} as edge, country, region, isp,
                   sum(bytes) * 8.0 / {bucket_s} as demand_bps
            from minutes join views using (view) group by all order by all
        """).to_arrow_table()

    def queries(self) -> pa.Table:
        """The query log of all servers: columns `records.QUERIES`. Each resolver keeps to one server."""
        scribe, units, streams = self.scribe, self.scribe.units, self.scenario.demand.streams
        assert units is not None
        shift = self.begin_s - self.scenario.warmup_s
        now = np.concatenate([np.full(len(cell), now_s + shift) for now_s, cell, _ in scribe.questions])
        cell = np.concatenate([cell for _, cell, _ in scribe.questions])
        edge = np.concatenate([answers.edge for _, _, answers in scribe.questions])
        ttl_s = np.concatenate([answers.ttl_s for _, _, answers in scribe.questions])
        rng = np.random.default_rng((self.scenario.seed, 1))
        kept = (now >= self.begin_s) & (now < self.until_s)
        now, cell, edge, ttl_s = now[kept], cell[kept], edge[kept], ttl_s[kept]
        micros = now * 1_000_000 + rng.integers(0, 1_000_000, len(now))
        order = np.argsort(micros, kind="stable")
        micros, cell, edge, ttl_s = micros[order], cell[order], edge[order], ttl_s[order]
        unit, stream = np.divmod(cell, streams)
        server = units.resolver[unit] % len(SERVERS)
        seq = np.zeros(len(unit), dtype=np.int64)
        for number in range(len(SERVERS)):
            mine = server == number
            seq[mine] = np.arange(1, int(mine.sum()) + 1)
        ecs = units.prefix[unit] != NO_PREFIX
        client = _FIRST + (units.view[unit] << 16) + (np.maximum(units.prefix[unit], 0) << 8)
        names = [f"s{number}.{SERVICES[number % len(SERVICES)]}" for number in range(streams)]
        crc = np.array([zlib.crc32(name.encode()) for name in names], dtype=np.int64)
        views = [f"{view.country}|{view.region}|{view.isp}" for view in self.world.views]
        count = len(unit)
        columns = {
            "time": pa.array(micros, pa.timestamp("us", tz="UTC")),
            "server": _texts(SERVERS, server),
            "boot_id": _texts([f"{number:016x}" for number in range(1, len(SERVERS) + 1)], server),
            "seq": seq,
            "service": _texts(SERVICES, stream % len(SERVICES)),
            "qname_crc": crc[stream],
            "view": _texts(views, units.view[unit]),
            "client_family": np.where(ecs, 4, 0),
            "client_net": np.where(ecs, client, 0),
            "client_len": np.where(ecs, 24, 0),
            "resolver_family": np.full(count, 4),
            "resolver_net": self._resolver_nets[units.resolver[unit]],
            "resolver_len": np.full(count, 24),
            "qtype": np.ones(count, dtype=np.int64),
            "rcode": np.zeros(count, dtype=np.int64),
            "level": np.where(edge >= 0, 0, -1),
            "scope": np.where(ecs, 24, 0),
            "edge": _texts([*self.edges, ""], edge),
            "ttl_s": ttl_s,
            "plan": _texts([""], np.zeros(count, dtype=np.int64)),
            "weight": np.ones(count, dtype=np.int64),
        }
        return _table(columns, records.QUERIES)

    @cached_property
    def _resolver_nets(self) -> I64:
        """Where resolvers stand: in the network of their view, above its clients."""
        seen: dict[int, int] = {}
        found = []
        for view in self.world.resolver_view.tolist():
            seen[view] = seen.get(view, 0) + 1
            found.append(_FIRST + (view << 16) + ((255 - seen[view]) << 8))
        return np.array(found, dtype=np.int64)

    def counters(self, queries: pa.Table) -> pa.Table:
        """Columns `records.COUNTERS`: a row of each server and minute of a query log."""
        found = duckdb.connect()
        found.register("queries", queries)
        rows = found.sql("""
            select to_timestamp((epoch_us(time) // 60000000 + 1) * 60) as time, server, boot_id, max(seq) as last_seq
            from queries group by all order by all
        """).to_arrow_table()
        last = rows["last_seq"]
        return _table(
            {
                "time": rows["time"].cast(pa.timestamp("us", tz="UTC")),
                "server": rows["server"],
                "boot_id": rows["boot_id"],
                "queries": last,
                "logged": last,
                "lost": pa.array([0] * len(rows), pa.int64()),
                "last_seq": last,
            },
            records.COUNTERS,
        )

    def reports(self) -> pa.Table:
        """Columns `records.REPORTS`: what edges pushed each second."""
        shift = self.begin_s - self.scenario.warmup_s
        rows = []
        for now_s, load_bps, condition in self.scribe.reports:
            at_s = now_s + shift
            if self.begin_s <= at_s < self.until_s:
                heard = np.flatnonzero(~condition.silent)
                rows.append(
                    (
                        np.full(len(heard), at_s),
                        heard,
                        load_bps[heard],
                        condition.dead[heard],
                        np.rint(condition.says_bps[heard]).astype(np.int64),
                    )
                )
        at, edge, load, dead, capacity = (np.concatenate(column) for column in zip(*rows, strict=True))
        health = _texts(["up", "down"], dead.astype(np.int64))
        count = len(at)
        return _table(
            {
                "time": pa.array(at * 1_000_000 + 500_000, pa.timestamp("us", tz="UTC")),
                "stream_ms": at * 1000 + 500,
                "stream_seq": edge,
                "edge": _texts(self.edges, edge),
                "epoch": np.ones(count, dtype=np.int64),
                "seq": at - self.begin_s + 1,
                "health4": health,
                "health6": health,
                "load_bps": load,
                "capacity_bps": capacity,
                "headroom_milli": np.full(count, 1000),
                "sessions": np.full(count, 0),
            },
            records.REPORTS,
        )

    def delivery(self, edges: Sequence[str], minute_s: int | None = None) -> pa.Table:
        """Columns `records.DELIVERY` of some edges."""
        chosen = ", ".join(str(self.edges.index(edge)) for edge in edges) or "-1"
        only = "" if minute_s is None else f"and minute_s = {minute_s}"
        rows = self.database.sql(f"""
            select to_timestamp(minute_s) as minute, {_named("edge", self.edges)} as edge,
                   {_named("service", SERVICES)} as service,
                   format('{{}}.{{}}.{{}}.0/20', ({_FIRST >> 16} + view) >> 8, ({_FIRST >> 16} + view) & 255, part * 16)
                       as client_prefix,
                   bytes, started as sessions_started
            from minutes where edge in ({chosen}) {only} order by all
        """).to_arrow_table()
        return _table({name: rows[name] for name in records.DELIVERY}, records.DELIVERY)

    def leave(self, log: Path) -> None:
        """Land the query log, the counters and the reports in ``log``."""
        queries = self.queries()
        found = duckdb.connect(config={"threads": 2})
        found.register("queries", queries)
        for at, server in enumerate(SERVERS, 1):
            rows = found.sql(f"select * from queries where server = '{server}' order by seq").to_arrow_table()
            _landed(rows, log / "queries", f"{server}-{at:016x}-1")
        _landed(self.counters(queries), log / "counters", f"{SERVERS[0]}-{1:016x}-1")
        reports = self.reports()
        first, last = (reports["stream_ms"][at].as_py() for at in (0, -1))
        _landed(reports, log / "reports", f"{first}-0_{last}-{len(self.edges)}")

    def deliver(self, log: Path, edges: Sequence[str], name: str) -> None:
        """Land the delivery logs of some edges."""
        _landed(self.delivery(edges), log / "delivery", name)

    def configure(self, zones: Path, data: Path) -> None:
        """What operators of this network would have written: services, edges, and where the prefixes are."""
        zones.mkdir(parents=True, exist_ok=True)
        data.mkdir(parents=True, exist_ok=True)
        (zones / "networks.csv").write_text(self.networks())
        edges = []
        for at, edge in enumerate(self.world.edges):
            spot = edge.location
            place = f"{{country: {spot.country}, region: {spot.region}, lat: {spot.lat}, lon: {spot.lon}}}"
            address = f"{{v4: [203.0.{113 + at // 250}.{at % 250 + 1}]}}"
            edges.append(
                f"  {edge.id}: {{pop: {edge.pop}, addresses: {address}, location: {place}, isps: any,"
                f" capacity: {edge.capacity_bps}bps}}"
            )
        (zones / "edges.yaml").write_text("edges:\n" + "\n".join(edges) + "\n")
        isps = sorted({view.isp for view in self.world.views})
        listed = "\n".join(f"  {isp}: {{asns: [{64512 + at}]}}" for at, isp in enumerate(isps))
        (zones / "isps.yaml").write_text(f"isps:\n{listed}\n")
        pool = ", ".join(f"{edge.id}: 1" for edge in self.world.edges)
        services = "\n".join(
            f"  {name.split('.')[0]}: {{pool: all, ttl: {self.scenario.ttl_s}, dispatch: true,"
            f" affinity: [country, continent, any]}}"
            for name in SERVICES
        )
        (zones / "example.yaml").write_text(
            "zone: example.\nsoa: {mname: ns1, rname: hostmaster}\nrecords:\n"
            '  "@": {NS: [ns1]}\n  ns1: {A: 192.0.2.53}\n'
            f"services:\n{services}\npools:\n  all: {{{pool}}}\n"
        )

    def networks(self) -> str:
        """``networks.csv``: where the prefixes are."""
        lines = ["prefix,isp,country,region,lat,lon"]
        for at, view in enumerate(self.world.views):
            place = f"{view.country},{view.region},{self.world.lat[at]:.4f},{self.world.lon[at]:.4f}"
            net = _FIRST + (at << 16)
            lines.append(f"{net >> 24}.{net >> 16 & 255}.0.0/16,{view.isp},{place}")
        return "\n".join(lines) + "\n"

    def halves(self, seed: int) -> list[str]:
        """A random half of the edges: those that send delivery logs."""
        order = np.random.default_rng((self.scenario.seed, 2, seed)).permutation(len(self.edges))
        return sorted(self.edges[at] for at in order[: len(order) // 2].tolist())


def simulated(path: Path, **changed: object) -> Network:
    """The network of a scenario's file, of which a few things are changed, after its run with plans."""
    return made(dataclasses.replace(read_scenario(path.name, path.read_bytes()), **changed))


def made(scenario: Scenario) -> Network:
    """The network of a scenario after its run with plans."""
    world = world_of(scenario, scenario.name, _nothing)
    scribe = Scribe()
    run(scenario, world, "ours", witness=scribe)
    return Network(scenario, world, scribe)


def groups(network: Network, bucket_s: int, from_s: int) -> list[tuple[Any, ...]]:
    """The truth: rows of bucket, service, country, region, ISP and demand, in bits per second."""
    rows = network.truth(bucket_s)
    assert rows.num_rows
    return duckdb.sql(
        "select bucket_s, service, country, region, isp, sum(demand_bps) from rows"
        f" where bucket_s >= {from_s} group by all"
    ).fetchall()


def cleaned(network: Network, edges: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """What the pipeline makes of the logs before it infers: rows of `ASKED`, of `DELIVERED` by these edges, and of
    `LOAD`."""
    queries, reports, minutes = network.queries(), network.reports(), network.database
    assert queries.num_rows
    assert reports.num_rows
    view = ", ".join(f"split_part(\"view\", '|', {at}) as {name}" for at, name in enumerate(_VIEW, 1))
    listed = ", ".join(str(network.edges.index(edge)) for edge in edges)
    return {
        "asked": duckdb.sql(f"""
            select epoch_us(time) // 60000000 * 60 as minute_s, service, edge, {view},
                   cast(client_family > 0 as bigint) as ecs, count(*) as questions, count(*) as rows,
                   cast(count(*) as double) as arrivals
            from queries where edge <> '' group by all
        """)
        .to_arrow_table()
        .to_pylist(),
        "delivered": minutes.sql(f"""
            select minute_s, {_named("edge", network.edges)} as edge, {_named("service", SERVICES)} as service, country,
                   region, isp, cast(sum(bytes) as bigint) as bytes, cast(sum(started) as bigint) as sessions_started,
                   count(*) as clients
            from minutes join views using (view) where edge in ({listed}) group by all
        """)
        .to_arrow_table()
        .to_pylist(),
        "load": duckdb.sql("""
            select epoch_us(time) // 60000000 * 60 as minute_s, edge, avg(load_bps) as load_bps,
                   max(load_bps) as peak_bps, min(capacity_bps) as capacity_bps, max(sessions) as sessions,
                   count(*) filter (health4 = 'down') as down, count(*) as reports
            from reports group by all
        """)
        .to_arrow_table()
        .to_pylist(),
    }


def _nothing(name: str) -> bytes:
    raise FileNotFoundError(name)


def _landed(table: pa.Table, folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / f".{name}.tmp", compression="zstd", compression_level=1)
    (folder / f".{name}.tmp").rename(folder / f"{name}.parquet")


def _named(column: str, names: Sequence[str]) -> str:
    listed = ", ".join(f"'{name}'" for name in names)
    return f"([{listed}])[{column} + 1]"


def _texts(names: Sequence[str], at: I64) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(np.asarray(at, dtype=np.int32) % len(names)), pa.array(list(names)))


def _table(columns: dict[str, object], wanted: records.Columns) -> pa.Table:
    made = []
    for name, kind in wanted.items():
        column = columns[name]
        kept = isinstance(column, (pa.DictionaryArray, pa.ChunkedArray))
        made.append(column if kept else pa.array(column, _TYPES[kind]))
    return pa.table(dict(zip(wanted, made, strict=True)))
