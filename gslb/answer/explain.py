"""Why a client gets the answer it gets: the engine's own steps, told. One text for dig and the command line."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

import msgspec

from gslb.answer import service as steered
from gslb.answer.candidates import Candidate, Concerned, candidates_of, concerned_by
from gslb.answer.lookup import CUT, HIT, MAX_LINKS, OUTSIDE, WILDCARD, alias_of, find_name
from gslb.answer.planned import Cap, PlanRowTold, caps_of, plan_of, refused_of, row_of, told_of
from gslb.model.names import to_text
from gslb.model.view import View
from gslb.snapshot import layout
from gslb.snapshot.catalog import Catalog
from gslb.snapshot.rows import ServiceRow
from gslb.snapshot.steering import Steering
from gslb.wire import codes
from gslb.wire.query import Ecs


class FamilyAnswer(msgspec.Struct, frozen=True):
    """What one family is answered: the edges, best first, or none; ``edges`` of a random draw are one example less."""

    qtype: str
    edges: list[str]
    ttl_s: int
    fail_open: bool
    otherwise: str


class Explanation(msgspec.Struct, frozen=True):
    """All that decided an answer. `lines` is the same for people."""

    name: str
    kind: str
    client: str
    generation: str
    state_ms: int
    aliases: list[str] = []
    service: str = ""
    pool: str = ""
    affinity: str = ""
    view: str = ""
    place: str = ""
    cls: int = 0
    scope: int = 0
    drawn_by: str = ""
    answers: list[FamilyAnswer] = []
    overrides: list[Concerned] = []
    candidates: list[Candidate] = []
    plan: str = "none"
    plan_row: PlanRowTold | None = None
    plan_refused: str = ""
    caps: list[Cap] = []

    def lines(self) -> Iterator[str]:
        """One fact a line, the decision first."""
        yield f"name {self.name} is {''.join(f'an alias of {name}, which is ' for name in self.aliases)}{self.kind}"
        if self.service:
            yield f"service {self.service}, pool {self.pool}, affinity {self.affinity}"
        yield f"client {self.client}"
        if self.service:
            yield f"view {self.view}{self.place}"
            yield f"class {self.cls}, scope /{self.scope}, drawn by {self.drawn_by}, plan {self.plan}"
            for answer in self.answers:
                given = ", ".join(answer.edges) or answer.otherwise
                yield f"{answer.qtype} {given}, TTL {answer.ttl_s}{', failing open' if answer.fail_open else ''}"
            if self.plan_row is not None:
                yield self.plan_row.line()
            if self.plan_refused:
                yield f"plan {self.plan_refused}"
            yield from (each.line() for each in self.caps)
            yield from (each.line() for each in self.overrides)
            yield from (each.line() for each in self.candidates)
        yield f"catalog {self.generation}, state of {self.state_ms} ms"


def explain(catalog: Catalog, steering: Steering, name: bytes, ecs: Ecs | None, source: bytes) -> Explanation:
    """Explain the answer to a lower-case wire name for a client subnet, or for the packed address of a resolver."""
    asked = name
    aliases: list[str] = []
    found, row = find_name(catalog, name, codes.A)
    while found in (HIT, WILDCARD) and len(aliases) < MAX_LINKS and (target := alias_of(catalog, row)) is not None:
        aliases.append(to_text(target))
        name = target.lower()
        found, row = find_name(catalog, name, codes.A)
    told = Explanation(
        name=to_text(asked),
        aliases=aliases,
        kind=_kind(catalog, found, row),
        client=_client_text(ecs, source),
        generation=catalog.generation.hex()[:16],
        state_ms=steering.state_ms,
    )
    if found not in (HIT, WILDCARD) or catalog.names[row].service == layout.NONE32:
        return told
    number = catalog.names[row].service
    service = catalog.services[number]
    policy = catalog.policies[service.policy]
    client = steered.locate(catalog, service, name, ecs, source, 0)
    view = catalog.view(catalog.view_of(*client.prefix))
    concerned = concerned_by(catalog, steering, number, client.cls)
    planned = told_of(catalog, steering, number, client.cls)
    return msgspec.structs.replace(
        told,
        service=to_text(catalog.name_text(service.name)),
        pool=catalog.strings[policy.pool],
        affinity=catalog.strings[policy.affinity],
        view=view.key,
        place=_place_text(view),
        cls=client.cls,
        scope=client.scope,
        drawn_by=_drawn_by(service, client),
        answers=[_family(catalog, steering, number, name, client, is_v6) for is_v6 in (False, True)],
        overrides=concerned,
        candidates=candidates_of(catalog, steering, number, name, client.cls, view, concerned, planned),
        plan=plan_of(catalog, steering, number, client.cls, planned),
        plan_row=row_of(catalog, planned),
        plan_refused=refused_of(catalog, steering, number),
        caps=caps_of(catalog, steering, planned),
    )


def _kind(catalog: Catalog, found: int, row: int) -> str:
    if found == OUTSIDE:
        return "in no zone here"
    zone = to_text(catalog.name_text(catalog.zones[catalog.names[row].zone].apex))
    own = to_text(catalog.name_text(row))
    if found == CUT:
        return f"delegated at {own} from zone {zone}"
    if found not in (HIT, WILDCARD):
        return f"absent from zone {zone}"
    what = "steered" if catalog.names[row].service != layout.NONE32 else "static: every client gets the same"
    return f"{what}, in zone {zone}" + (f", by {own}" if found == WILDCARD else "")


def _client_text(ecs: Ecs | None, source: bytes) -> str:
    resolver = f"resolver {ipaddress.ip_address(source)}"
    if ecs is None:
        return f"by {resolver}, no client subnet"
    if not ecs.source:
        return f"by {resolver}, client subnet withheld"
    return f"{ipaddress.ip_address(ecs.address)}/{ecs.source}, asked by {resolver}"


def _place_text(view: View) -> str:
    """What a view holds besides its key."""
    parts = [f" AS{view.asn}"] if view.asn else []
    parts += [f" {view.continent}"] if view.continent else []
    if view.lat is not None and view.lon is not None:
        parts.append(f" at {view.lat:.2f},{view.lon:.2f}")
    return "".join(parts)


def _drawn_by(service: ServiceRow, client: steered.Located) -> str:
    if not client.public:
        return "chance, query by query"
    family = client.prefix[0]
    return f"name and client /{service.hash_len4 if family == 4 else service.hash_len6}"


def _family(
    catalog: Catalog, steering: Steering, number: int, name: bytes, client: steered.Located, is_v6: bool
) -> FamilyAnswer:
    service = catalog.services[number]
    choice = steered.choose(catalog, steering, number, name, client.cls, client.seed, is_v6)
    fallback = service.fallback6_count if is_v6 else service.fallback4_count
    edges = [catalog.edge_ids[row] for row in choice.edges]
    return FamilyAnswer(
        qtype="AAAA" if is_v6 else "A",
        edges=edges if client.public or len(edges) < 2 else edges[: service.answers],
        ttl_s=choice.ttl_s,
        fail_open=choice.fail_open,
        otherwise="fallback" if fallback else "NODATA",
    )
