"""Which way the money takes: the best path over the corridor graph, by Dijkstra's algorithm."""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from math import log, prod

from contracts.payments import Priority, RouteOptimized
from services.payments.market import Link


def best_route(links: Iterable[Link], corridor: str, optimize_for: Priority) -> RouteOptimized | None:
    """The best way of a corridor such as `GB-KE` by cost, speed or reliability; None if there is none.

    Of two ways that are equally good, the one with fewer hops.
    """
    source, destination = corridor.split("-")
    outgoing: dict[str, list[Link]] = defaultdict(list)
    for link in links:
        outgoing[link.source].append(link)
    way = _shortest(outgoing, source, destination, optimize_for)
    return _route(way) if way else None


def _shortest(
    outgoing: Mapping[str, Sequence[Link]], source: str, destination: str, optimize_for: Priority
) -> list[Link]:
    came_by: dict[str, Link] = {}
    reached: dict[str, tuple[float, int]] = {source: (0.0, 0)}
    queue = [(0.0, 0, source)]
    while queue:
        weight, hops, place = heapq.heappop(queue)
        if place == destination:
            return _trace(came_by, source, destination)
        if (weight, hops) > reached[place]:
            continue
        for link in outgoing.get(place, ()):
            found = (weight + _weight(link, optimize_for), hops + 1)
            if link.target not in reached or found < reached[link.target]:
                reached[link.target] = found
                came_by[link.target] = link
                heapq.heappush(queue, (*found, link.target))
    return []


def _weight(link: Link, optimize_for: Priority) -> float:
    if optimize_for == "cost":
        return link.cost_bps
    # Probabilities multiply, so their logarithms add up.
    return link.time_s if optimize_for == "speed" else -log(link.reliability)


def _trace(came_by: Mapping[str, Link], source: str, destination: str) -> list[Link]:
    way: list[Link] = []
    place = destination
    while place != source:
        way.append(came_by[place])
        place = came_by[place].source
    return way[::-1]


def _route(way: Sequence[Link]) -> RouteOptimized:
    return RouteOptimized(
        hops=(way[0].source, *(link.target for link in way)),
        providers=tuple(link.provider for link in way),
        cost_bps=sum(link.cost_bps for link in way),
        time_s=sum(link.time_s for link in way),
        reliability=round(prod(link.reliability for link in way), 6),
    )
