"""Where the boxes of a diagram go: in layers from top to bottom, each arrow by way of the layers it passes.

The known way in four steps: circles are opened, every box comes below all that lead to it, within a layer the
neighbours of a box pull it to their middle, and a long arrow keeps a narrow place in every layer it crosses.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from saga.diagrams.model import Arrow, Box, Diagram

CHARACTER = 7.25
LINE = 16.0
_PADDING = 12.0
_GAP_X = 28.0
_GAP_Y = 52.0
_MARGIN = 20.0
_LANE = 16.0
_SWEEPS = 6

type _Node = str | tuple[int, int]
"""A box by its id, or the place that an arrow, by its number, keeps in a layer"""


@dataclass(frozen=True, slots=True)
class Placed:
    """A box with its upper left corner and its size, in pixels."""

    box: Box
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Route:
    """An arrow with the points it passes, from its source to its target."""

    arrow: Arrow
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """Boxes that do not overlap, and the ways of the arrows, within a width and a height."""

    width: float
    height: float
    boxes: tuple[Placed, ...]
    routes: tuple[Route, ...]


def lay_out(diagram: Diagram) -> Layout:
    """The same diagram always gets the same layout."""
    level = _levels(diagram)
    ways = [_way(number, arrow, level) for number, arrow in enumerate(diagram.arrows)]
    layers = _ordered(diagram, level, ways)
    sizes = {box.id: _size(box) for box in diagram.boxes}
    widths = [sum(_width(node, sizes) for node in layer) + _GAP_X * (len(layer) - 1) for layer in layers]
    height_of = [
        max((sizes[node][1] for node in layer if isinstance(node, str)), default=0) for layer in layers
    ]
    width = max(widths, default=0)
    middle: dict[_Node, tuple[float, float]] = {}
    spans: dict[_Node, tuple[float, float]] = {}
    y = _MARGIN
    for layer, taken, height in zip(layers, widths, height_of, strict=True):
        x = _MARGIN + (width - taken) / 2
        for node in layer:
            middle[node] = (x + _width(node, sizes) / 2, y + height / 2)
            spans[node] = (y, y + height)
            x += _width(node, sizes) + _GAP_X
        y += height + _GAP_Y
    placed = tuple(
        Placed(box, middle[box.id][0] - w / 2, middle[box.id][1] - h / 2, w, h)
        for box in diagram.boxes
        for w, h in (sizes[box.id],)
    )
    routes = tuple(
        Route(arrow, tuple(dict.fromkeys(_points(way, middle, spans, sizes))))
        for arrow, way in zip(diagram.arrows, ways, strict=True)
    )
    return Layout(width + 2 * _MARGIN, max(y - _GAP_Y, 0) + _MARGIN, placed, routes)


def _levels(diagram: Diagram) -> dict[str, int]:
    """The layer of each box: below everything that leads to it, but for what closes a circle."""
    after: dict[str, list[str]] = defaultdict(list)
    for arrow in diagram.arrows:
        if not arrow.back and arrow.source != arrow.target:
            after[arrow.source].append(arrow.target)
    level: dict[str, int] = {}
    for box in reversed(_depth_first([box.id for box in diagram.boxes], after)):
        level.setdefault(box, 0)
        for target in after[box]:
            level[target] = max(level.get(target, 0), level[box] + 1)
    return level


def _depth_first(boxes: Sequence[str], after: dict[str, list[str]]) -> list[str]:
    """Each box after everything it leads to; arrows that close a circle are taken out of `after`."""
    done: dict[str, None] = {}
    for first in boxes:
        path: list[tuple[str, int]] = [(first, 0)] if first not in done else []
        open_: set[str] = {first}
        while path:
            box, at = path.pop()
            if at == len(after[box]):
                done[box] = None
                open_.discard(box)
                continue
            target = after[box][at]
            if target in open_:
                del after[box][at]
                path.append((box, at))
                continue
            path.append((box, at + 1))
            if target not in done:
                open_.add(target)
                path.append((target, 0))
    return list(done)


def _way(number: int, arrow: Arrow, level: dict[str, int]) -> list[_Node]:
    """What an arrow passes, from its source to its target."""
    begin, end = level[arrow.source], level[arrow.target]
    step = 1 if end >= begin else -1
    return [arrow.source, *((number, layer) for layer in range(begin + step, end, step)), arrow.target]


def _ordered(diagram: Diagram, level: dict[str, int], ways: Iterable[list[_Node]]) -> list[list[_Node]]:
    """The layers; within each, every node near the middle of what it is joined to."""
    layers: list[list[_Node]] = [[] for _ in range(max(level.values(), default=-1) + 1)]
    for box in diagram.boxes:
        layers[level[box.id]].append(box.id)
    joined: dict[_Node, set[_Node]] = defaultdict(set)
    for way in ways:
        for node in way[1:-1]:
            assert isinstance(node, tuple), "between its ends an arrow passes no box"
            layers[node[1]].append(node)
        for one, other in pairwise(way):
            joined[one].add(other)
            joined[other].add(one)
    for sweep in range(_SWEEPS):
        place = {node: at / max(len(layer) - 1, 1) for layer in layers for at, node in enumerate(layer)}
        beside = range(1, len(layers)) if sweep % 2 == 0 else range(len(layers) - 2, -1, -1)
        for number in beside:
            near = layers[number - 1] if sweep % 2 == 0 else layers[number + 1]
            known = {node: at / max(len(near) - 1, 1) for at, node in enumerate(near)}
            layers[number].sort(key=lambda node, known=known: _pull(joined[node], known, place[node]))  # type: ignore[misc]
    return layers


def _pull(neighbours: set[_Node], known: dict[_Node, float], default: float) -> float:
    found = [known[node] for node in neighbours if node in known]
    return sum(found) / len(found) if found else default


def _size(box: Box) -> tuple[float, float]:
    return (
        max(len(line) for line in box.lines) * CHARACTER + 2 * _PADDING,
        len(box.lines) * LINE + 2 * _PADDING,
    )


def _width(node: _Node, sizes: dict[str, tuple[float, float]]) -> float:
    return sizes[node][0] if isinstance(node, str) else _LANE


def _points(
    way: list[_Node],
    middle: dict[_Node, tuple[float, float]],
    spans: dict[_Node, tuple[float, float]],
    sizes: dict[str, tuple[float, float]],
) -> Iterator[tuple[float, float]]:
    """Upright through every layer, so that an arrow bends only between layers, where there is no box."""
    source, target = way[0], way[-1]
    assert isinstance(source, str), "an arrow begins at a box"
    assert isinstance(target, str), "an arrow ends at a box"
    (x, y), (to_x, to_y) = middle[source], middle[target]
    half, to_half = sizes[source][1] / 2, sizes[target][1] / 2
    if spans[source] == spans[target]:
        # In one layer: out below, and in from below.
        yield x + _LANE, y + half
        yield x + _LANE, spans[source][1]
        yield to_x - _LANE, spans[target][1]
        yield to_x - _LANE, to_y + to_half
        return
    down = to_y > y
    # What leads up keeps to the right of what leads down.
    aside = 0.0 if down else _LANE
    near, far = (0, 1) if down else (1, 0)
    yield x + aside, y + (half if down else -half)
    for node in way:
        x = middle[node][0] + aside
        if node != source:
            yield x, spans[node][near]
        if node != target:
            yield x, spans[node][far]
    yield to_x + aside, to_y - (to_half if down else -to_half)
