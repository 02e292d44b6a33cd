"""The diagram of the whole system: which action states what, and which hears it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from contracts.definition import SagaDefinition
from contracts.facts import FactKind
from contracts.subjects import SAGA_STEP
from saga.diagrams.model import Arrow, Box, Diagram, Look
from saga.listening import Heard, Presence

_FORWARD = {FactKind.STARTED, FactKind.COMPLETED, FactKind.SKIPPED, FactKind.FAILED}
_BACK = {FactKind.COMPENSATED, FactKind.STOOD_DOWN, FactKind.COMPENSATION_SKIPPED}


def topology_diagram(
    heard: Iterable[Heard], definitions: Iterable[SagaDefinition], present: Mapping[str, Presence], title: str
) -> Diagram:
    """Arrows lead from who states a fact to who hears it and may act on it; `back` are those of undoing.

    Who states a fact is known by the definitions: a step's action. Aborts, and what people say, are stated by
    anybody and heard by all, and are left out.
    """
    stated_by = {(one.name, step.name): step.action for one in definitions for step in one.steps}
    arrows: dict[tuple[str, str, bool], set[str]] = defaultdict(set)
    for one in heard:
        if one.kind not in _FORWARD | _BACK:
            continue
        source = SAGA_STEP if one.step == SAGA_STEP else stated_by.get((one.saga, one.step))
        if source is not None and source != one.action:
            arrows[source, one.action, one.kind in _BACK].add(one.saga)
    actions = {action for source, target, _ in arrows for action in (source, target)} | present.keys()
    return Diagram(
        title=title,
        boxes=tuple(_boxes(sorted(actions - {SAGA_STEP}), present)),
        arrows=tuple(
            Arrow(source, target, ", ".join(sorted(sagas)), back)
            for (source, target, back), sagas in sorted(arrows.items())
        ),
    )


def _boxes(actions: Iterable[str], present: Mapping[str, Presence]) -> Iterator[Box]:
    yield Box(SAGA_STEP, ("whoever starts a saga",), Look.START)
    for action in actions:
        there = present.get(action, Presence())
        work = f"{there.pending} waiting, {there.in_flight} in flight"
        if there.alive:
            yield Box(action, (action, work), Look.DONE)
        else:
            yield Box(action, (action, f"nobody listens, {work}"), Look.FAILED)
