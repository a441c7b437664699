"""Outside data: PoPs, round trips and demand from files, every fault told at its place, and the worlds they make."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gslb.errors import ConfigError, ConfigErrors, Findings
from gslb.simulate import geography, importing
from gslb.simulate.outside import Site
from gslb.simulate.scenario import read_scenario
from gslb.simulate.world import World

FACTS = geography.shipped()
POPS = "code,city,country,country_code,latitude,longitude,pricing_region\n"
FILES = {
    "pops.csv": "latitude,longitude,code,country_code,capacity_bps\n48.9,2.4,CDG,FR,9000000000\n35.6,139.8,NRT,JP,\n",
    "rtt.csv": "country,region,isp,pop,rtt_ms\nFR,,,cdg,9\nJP,TYO,jp-home-1,nrt,7\n",
    "matrix.txt": "0\t0.1\t\n0.3\t0\n",
    "demand.csv": "time,service,country,region,isp,demand_bps\n2026-01-01T00:00:00Z,a.b,FR,,,75\n"
    "2026-01-01T00:05:00Z,a.b,JP,,,25\n",
    "bad.csv": "code,country_code,latitude,longitude\n?,FR,1,1\n",
    "empty.csv": "code,country_code,latitude,longitude\n",
    "zeros.txt": "0 0\n0 0\n",
    "elsewhere.csv": "time,service,country,region,isp,demand_bps\n2026-01-01T00:00:00Z,a.b,AQ,,,75\n",
}


def world_of(imports: str, world: str = "metros: 60") -> World:
    text = f"seed: 1\nworld: {{pops: 4, {world}}}\nimports: {{{imports}}}\n"
    return importing.world_of(read_scenario("s.yaml", text.encode()), "s.yaml", lambda name: FILES[name].encode())


def test_a_world_of_files() -> None:
    made = world_of("pops: pops.csv, rtt: rtt.csv, demand: demand.csv, rtt_matrix: matrix.txt, rtt_matrix_unit: s")
    assert made.pops == ("cdg", "nrt")
    country = np.array([view.country for view in made.views])
    assert made.demand_share[country == "FR"].sum() == pytest.approx(0.75)
    assert made.demand_share[country == "JP"].sum() == pytest.approx(0.25)
    assert (made.rtt_ms[np.ix_(country == "FR", made.pop_of_edge == 0)] == 9).all()
    (tokyo,) = [at for at, view in enumerate(made.views) if (view.region, view.isp) == ("TYO", "jp-home-1")]
    assert (made.rtt_ms[tokyo, made.pop_of_edge == 1] == 7).all()
    other = made.rtt_ms[country == "US"]
    assert ((other > 100) & (other < 300 + 35 + 60)).all()
    assert [edge.location.region for edge in made.edges] == ["PAR", "PAR", "TYO", "TYO"]
    assert sum(edge.capacity_bps for edge in made.edges if edge.pop == "cdg") == 9 * 10**9


def test_a_world_without_files() -> None:
    assert len(world_of("").pops) == 4


IMPOSSIBLE = [
    # imports, world, what is told
    ("pops: bad.csv", "metros: 60", "bad.csv:2:1: code: '?' is not a name of letters and digits"),
    ("pops: empty.csv", "metros: 60", "empty.csv:0:0: the table holds no PoP"),
    ("rtt_matrix: zeros.txt", "metros: 60", "zeros.txt:0:0: no round trip between two nodes is above 0"),
    ("demand: elsewhere.csv", "metros: 60", "s.yaml:0:0: world: none of the demand is in a country of this world"),
    ("", "countries: AQ", "s.yaml:0:0: world: no metro is left in the countries that are asked for"),
    ("", "countries: JP, edges_per_pop: 1, metros: 3", "s.yaml:0:0: world: 4 PoPs are asked for, and there are 3 "),
]


@pytest.mark.parametrize(("imports", "world", "told"), IMPOSSIBLE, ids=[row[2] for row in IMPOSSIBLE])
def test_worlds_that_cannot_be(imports: str, world: str, told: str) -> None:
    with pytest.raises((ConfigError, ConfigErrors)) as caught:
        world_of(imports, world)
    assert str(caught.value).startswith(told)


FAULTS = [
    # rows, what is told
    ("?,P,F,FR,1,1,x", "p:2:1: code: '?' is not a name of letters and digits"),
    ("CDG,P,F,FR,1,1,x\ncdg,P,F,FR,1,1,x", "p:3:1: code: 'cdg' stands twice"),
    ("CDG,P,F,fr,1,1,x", "p:2:9: country_code: 'fr' is not an ISO 3166-1 country"),
    ("CDG,P,F,FR,91,1,x", "p:2:12: latitude: '91' is not a number from -90 to 90"),
    ("CDG,P,F,FR,1,-181,x", "p:2:14: longitude: '-181' is not a number from -180 to 180"),
    ("CDG,P,F,FR,1", "p:2:1: 5 columns, the header names 7"),
]


@pytest.mark.parametrize(("rows", "told"), FAULTS, ids=[row[1] for row in FAULTS])
def test_faults_of_pops(rows: str, told: str) -> None:
    findings = Findings()
    importing.read_pops("p", f"{POPS}{rows}\n".encode(), FACTS.metros, findings)
    assert [str(error) for error in findings.errors] == [told]


def test_pops_and_their_regions() -> None:
    findings = Findings()
    rows = 'CDG,Paris,France,FR,49.0,2.5,"Europe, Israel"\nBES,Brest,France,FR,48.4,-4.5,Europe\nKEF,,,IS,64,-22,x\n'
    found = importing.read_pops("p", f"{POPS}{rows}".encode(), FACTS.metros, findings)
    assert found == (
        Site("cdg", "FR", "PAR", 49.0, 2.5),
        Site("bes", "FR", "", 48.4, -4.5),
        Site("kef", "IS", "", 64.0, -22.0),
    )
    assert not findings.errors


MATRICES = [
    # text, unit in ms, the matrix or what is told
    ("0 1\n2.5 0\n", 1.0, [[0, 1], [2.5, 0]]),
    ("0\t1\t\r\n\n2 0", 1000.0, [[0, 1000], [2000, 0]]),
    ("0 -1\nnan 0\n", 1.0, [[0, None], [None, 0]]),
    ("0 1\n2\n", 1.0, "m:2:1: 1 numbers in a matrix of 2 lines"),
    ("0 x\n1 0\n", 1.0, "m:1:3: 'x' is not a number"),
    ("\n", 1.0, "m:0:0: the file is empty"),
    ("1 2 3\n", 1.0, "m:1:1: 3 numbers in a matrix of 1 lines"),
]


@pytest.mark.parametrize(("text", "unit", "wanted"), MATRICES, ids=[repr(row[0]) for row in MATRICES])
def test_matrices(text: str, unit: float, wanted: list[list[float | None]] | str) -> None:
    findings = Findings()
    found = importing.read_matrix("m", text.encode(), findings, unit)
    if isinstance(wanted, str):
        assert [str(error) for error in findings.errors] == [wanted]
        assert found.size == 0
    else:
        assert not findings.errors
        assert [[None if np.isnan(value) else value for value in row] for row in found] == wanted


def test_what_is_no_path_between_nodes_is_left_out() -> None:
    matrix = np.array([[7.0, 3.0, np.nan], [2.0, 7.0, 0.0], [np.nan, 9.0, 7.0]])
    assert importing.paths_of(matrix).tolist() == [2, 3, 9]


SHARED = [
    # file, unit, nodes
    ("PlanetLabData_1.txt", 1.0, 490),
    ("SeattleData_1.txt", 1000.0, 99),
]


@pytest.mark.parametrize(("name", "unit", "nodes"), SHARED, ids=[row[0] for row in SHARED])
def test_matrices_of_others(name: str, unit: float, nodes: int, shared: Path) -> None:
    findings = Findings()
    matrix = importing.read_matrix(name, (shared / "data/rtt" / name).read_bytes(), findings, unit)
    assert not findings.errors
    assert matrix.shape == (nodes, nodes)
    assert 50 < np.median(importing.paths_of(matrix)) < 300


def test_pops_of_others(shared: Path) -> None:
    text = "seed: 1\nimports: {pops: pops/aws-edge-locations.csv, rtt_matrix: rtt/PlanetLabData_1.txt}\n"
    scenario = read_scenario("s.yaml", text.encode())
    made = importing.world_of(scenario, "s.yaml", lambda name: (shared / "data" / name).read_bytes())
    assert len(made.pops) == 107
    assert "atl" in made.pops
    least = made.rtt_ms.min(axis=1) @ made.demand_share
    assert 10 < least < np.median(made.rtt_ms)
