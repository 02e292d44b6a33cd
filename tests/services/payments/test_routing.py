"""The best way through the corridor graph."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.payments import Priority
from services.payments.market import Link, market
from services.payments.routing import best_route
from services.payments.rules import corridor_of

PLACES = ["AA", "p", "q", "r", "BB"]

links = st.lists(
    st.builds(
        Link,
        source=st.sampled_from(PLACES),
        target=st.sampled_from(PLACES),
        provider=st.sampled_from(["x", "y"]),
        cost_bps=st.integers(1, 50),
        time_s=st.integers(1, 50),
        reliability=st.sampled_from([0.9, 0.95, 0.99]),
    ),
    max_size=12,
)


def ways(graph: list[Link], place: str, seen: frozenset[str] = frozenset()) -> Iterator[list[Link]]:
    """Every way to BB without a circle, by trying."""
    if place == "BB":
        yield []
        return
    for link in graph:
        if link.source == place and link.target not in seen | {place}:
            for rest in ways(graph, link.target, seen | {place}):
                yield [link, *rest]


@given(links)
def test_no_way_is_better_than_the_chosen_one(graph: list[Link]) -> None:
    every = list(ways(graph, "AA"))
    cheapest, fastest = (best_route(graph, "AA-BB", wanted) for wanted in ("cost", "speed"))
    safest = best_route(graph, "AA-BB", "reliability")
    if not every:
        assert cheapest is fastest is safest is None
        return
    assert cheapest is not None
    assert fastest is not None
    assert safest is not None
    assert cheapest.cost_bps == min(sum(link.cost_bps for link in way) for way in every)
    assert fastest.time_s == min(sum(link.time_s for link in way) for way in every)
    best = 0.0
    for way in every:
        works = 1.0
        for link in way:
            works *= link.reliability
        best = max(best, works)
    assert safest.reliability == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize("optimize_for", ["cost", "speed", "reliability"])
def test_every_offered_corridor_has_a_way(optimize_for: Priority) -> None:
    for source in market().sources:
        for destination in market().destinations.keys() - {source}:
            route = best_route(market().links, corridor_of(source, destination), optimize_for)
            assert route is not None, f"{source}-{destination}"
            known = {(link.source, link.target) for link in market().links}
            assert set(pairwise(route.hops)) <= known
            assert len(route.providers) == len(route.hops) - 1


def test_what_is_optimized_for_makes_a_difference() -> None:
    cheap, fast = (best_route(market().links, "GB-KE", wanted) for wanted in ("cost", "speed"))
    assert cheap is not None
    assert fast is not None
    assert cheap.cost_bps < fast.cost_bps
    assert fast.time_s < cheap.time_s


def test_an_unknown_place_has_no_way() -> None:
    assert best_route(market().links, "GB-BR", "cost") is None
