"""Affinity: the level of each edge for each kind of client, as a table and against a plain reading of the rules."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gslb.model.geography import CONTINENT_OF
from gslb.model.intent import AFFINITY_LEVELS
from gslb.model.inventory import Edge, Location
from gslb.model.rtt import RttTable
from gslb.model.view import View, ViewTable
from gslb.policy.affinity import NEVER, classes, levels

ALL = AFFINITY_LEVELS
SHORT = ("isp+region", "country", "any")


def edge(name: str, country: str, region: str = "", isps: str = "", fence: str = "") -> Edge:
    """An edge; ``isps`` and ``fence`` are words."""
    place = Location(country, region, 0.0, 0.0, CONTINENT_OF.get(country, ""))
    return Edge(name, name, (b"\xcb\0\x71\x01",), (), place, tuple(isps.split()), fence=tuple(fence.split()))


def view(text: str) -> View:
    """``country|region|isp``; the continent follows."""
    country, region, isp = text.split("|")
    return View(country, region, isp, 0, CONTINENT_OF.get(country, ""))


CHINA = [
    edge("sha-ct", "CN", "SH", "chinanet"),
    edge("sha-cu", "CN", "SH", "unicom"),
    edge("pek-ct", "CN", "BJ", "chinanet"),
    edge("pek-ix", "CN", "BJ", "any"),
    edge("fra-1", "DE", "HE", "any"),
    edge("sin-1", "SG"),
]

ROWS: list[tuple[str, list[Edge], tuple[str, ...], str, list[int | None]]] = [
    # why, edges, affinity, view, level of each edge (None: never)
    ("its own carrier in its region", CHINA, ALL, "CN|SH|chinanet", [0, 3, 1, 4, 6, 5]),
    ("any where no named edge is", CHINA, ALL, "CN|BJ|cernet", [4, 4, 3, 0, 2, 5]),
    ("and not where one is", CHINA, ALL, "CN|BJ|chinanet", [1, 4, 0, 3, 6, 5]),
    ("a carrier with an edge elsewhere", CHINA, ALL, "CN|BJ|unicom", [4, 1, 3, 0, 6, 5]),
    ("a carrier nobody names, in no edge's country", CHINA, ALL, "FR|IDF|AS3215", [6, 6, 6, 2, 2, 6]),
    ("carrier unknown", CHINA, ALL, "CN|SH|", [3, 3, 4, 4, 6, 5]),
    ("region unknown", CHINA, ALL, "CN||chinanet", [1, 4, 1, 4, 6, 5]),
    ("country unknown", CHINA, ALL, "||chinanet", [2, 6, 2, 6, 6, 6]),
    ("nothing known", CHINA, ALL, "||", [6, 6, 6, 6, 6, 6]),
    ("no level matches", CHINA, ("country",), "FR||", [None] * 6),
    ("SH is not only Shanghai", [edge("kiel", "DE", "SH"), *CHINA[:1]], ("region", "any"), "CN|SH|x", [1, 0]),
    ("a region without its country is nothing", [edge("kiel", "DE", "SH")], ("region", "any"), "|SH|x", [1]),
    ("an edge without isps matches no carrier", [edge("a", "CN", "SH")], ALL, "CN|SH|chinanet", [3]),
    ("an edge without a region matches none", [edge("a", "SG")], ("region", "country"), "SG||x", [1]),
    (
        "the edge that takes any is no one's by name",
        [edge("a", "CN", "SH", "any"), edge("b", "CN", "SH", "chinanet", fence="DE")],
        ("isp+region", "any"),
        "CN|SH|chinanet",
        [0, None],
    ),
    (
        "several carriers in one edge",
        [edge("a", "CN", "SH", "unicom chinanet"), edge("b", "CN", "SH", "any")],
        ("isp", "any"),
        "CN|SH|chinanet",
        [0, 1],
    ),
    (
        "both a name and any",
        [edge("a", "CN", "SH", "unicom any"), edge("b", "CN", "SH", "chinanet")],
        ("isp", "any"),
        "CN|SH|cmcc",
        [0, 1],
    ),
    ("inside the fence", [edge("a", "CN", fence="CN HK")], ("any",), "HK||", [0]),
    ("outside the fence", [edge("a", "CN", fence="CN HK")], ("any",), "TW||", [None]),
    ("a fence and an unknown country", [edge("a", "CN", fence="CN HK")], ("any",), "||chinanet", [None]),
    ("the first match wins", CHINA[:1], ("any", "isp+region"), "CN|SH|chinanet", [0]),
]


@pytest.mark.parametrize(("why", "edges", "affinity", "of", "wanted"), ROWS, ids=[row[0] for row in ROWS])
def test_levels(why: str, edges: list[Edge], affinity: tuple[str, ...], of: str, wanted: list[int | None]) -> None:
    table = ViewTable.of([view("US||AS7018"), view(of)])
    found = levels(table, edges, [1] * len(edges), affinity, RttTable())
    assert found.shape == (3, len(edges))
    assert found[2].tolist() == [NEVER if level is None else level for level in wanted]


def test_weight_0_has_no_level_and_keeps_nobody_out() -> None:
    edges = [edge("a", "CN", "SH", "chinanet"), edge("b", "CN", "SH", "any")]
    table = ViewTable.of([view("CN|SH|chinanet")])
    assert levels(table, edges, [0, 5], ("isp+region", "any"), RttTable())[1].tolist() == [NEVER, 0]


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'planet' is not an affinity level"):
        levels(ViewTable.of([]), CHINA, [1] * 6, ("planet",), RttTable())


def test_no_edges() -> None:
    table = ViewTable.of([view("CN||"), view("DE||")])
    found = levels(table, [], [], ALL, RttTable())
    assert found.shape == (3, 0)
    of_view, of_class = classes(found, None)
    assert of_view.tolist() == [0, 0, 0]
    assert of_class.shape == (1, 0)


COUNTRIES = ("", "CN", "DE", "FR", "US")
REGIONS = ("", "SH", "BJ", "HE")
ISPS = ("", "chinanet", "unicom", "AS3320", "AS9")

views_drawn = st.lists(
    st.builds(
        lambda country, region, isp: view(f"{country}|{region}|{isp}"),
        st.sampled_from(COUNTRIES), st.sampled_from(REGIONS), st.sampled_from(ISPS),
    ),
    max_size=12,
)  # fmt: skip
edges_drawn = st.lists(
    st.builds(
        lambda country, region, isps, fence: edge("e", country, region, " ".join(isps), " ".join(fence)),
        st.sampled_from(COUNTRIES[1:]),
        st.sampled_from(REGIONS),
        st.lists(st.sampled_from(["any", *ISPS[1:]]), unique=True, max_size=2),
        st.lists(st.sampled_from(COUNTRIES[1:]), unique=True, max_size=2),
    ),
    max_size=6,
)


@settings(derandomize=True, deadline=None)
@given(views_drawn, edges_drawn, st.lists(st.sampled_from(ALL), unique=True, min_size=1), st.data())
def test_levels_by_the_letter(views: list[View], edges: list[Edge], affinity: list[str], data: st.DataObject) -> None:
    weights = [data.draw(st.integers(0, 2)) for _ in edges]
    found = levels(ViewTable.of(views), edges, weights, affinity, RttTable())
    for row, client in enumerate([View(), *views]):
        assert found[row].tolist() == _by_the_letter(client, edges, weights, affinity)


def _by_the_letter(client: View, edges: list[Edge], weights: list[int], affinity: list[str]) -> list[int]:
    """The rules one client and one edge at a time."""
    may = [
        bool(weight) and (not e.fence or client.country in e.fence) for e, weight in zip(edges, weights, strict=True)
    ]
    found = [NEVER] * len(edges)
    for number, level in enumerate(affinity):
        named = [ok and _matches(level, client, e, by_any=False) for ok, e in zip(may, edges, strict=True)]
        for at, e in enumerate(edges):
            hit = named[at] or (not any(named) and level.startswith("isp") and _matches(level, client, e, by_any=True))
            if may[at] and hit and found[at] == NEVER:
                found[at] = number
    return found


def _matches(level: str, client: View, e: Edge, *, by_any: bool) -> bool:
    of_isp, _, where = level.partition("+") if level.startswith("isp") else ("", "", level)
    if of_isp and not (client.isp and ("any" if by_any else client.isp) in e.isps):
        return False
    same_country = bool(client.country) and client.country == e.location.country
    return {
        "": True,
        "any": True,
        "region": same_country and bool(client.region) and client.region == e.location.region,
        "country": same_country,
        "continent": bool(client.continent) and client.continent == e.location.continent,
    }[where]


def test_classes_are_numbered_by_their_first_view() -> None:
    of_views = np.array([[6, 6], [0, 1], [6, 6], [1, 0], [0, 1]], dtype=np.uint8)
    of_view, of_class = classes(of_views, None)
    assert of_view.tolist() == [0, 1, 0, 2, 1]
    assert of_class.tolist() == [[6, 6], [0, 1], [1, 0]]
    assert of_view.dtype == np.uint32


def test_classes_may_be_told_apart_by_more() -> None:
    of_views = np.array([[6], [0], [6], [0]], dtype=np.uint8)
    of_view, of_class = classes(of_views, np.array([70000, 1, 2, 1], dtype=np.uint32))
    assert of_view.tolist() == [0, 1, 2, 1]
    assert of_class.tolist() == [[6], [0], [6]]


def test_many_views() -> None:
    chance = np.random.default_rng(1)
    distinct = [view(f"{c}|{r}|{i}") for c in COUNTRIES for r in REGIONS for i in ISPS]
    few = ViewTable.of(distinct)
    picked = chance.integers(0, len(few), 100_000)
    picked[0] = 0
    many = ViewTable(
        few.strings, few.country[picked], few.region[picked], few.isp[picked], few.continent[picked],
        few.asn[picked], few.lat[picked], few.lon[picked],
    )  # fmt: skip
    weights = [1] * len(CHINA)
    assert np.array_equal(
        levels(many, CHINA, weights, SHORT, RttTable()), levels(few, CHINA, weights, SHORT, RttTable())[picked]
    )
