"""What can only be seen of definitions and triggers together: events nobody states, sagas that start each other."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

from contracts.definition import SagaDefinition
from contracts.triggers import EventTrigger, Trigger
from saga.check.children import check_children
from saga.check.events import follows, unheard, unstated
from saga.check.findings import Finding, Placed


def check_together(
    definitions: Iterable[Placed[SagaDefinition]],
    triggers: Iterable[Placed[Trigger]],
    stated: Mapping[str, frozenset[str]],
    hears: Callable[[str], bool],
) -> Iterator[Finding]:
    """`stated` are the events that each action states, `hears` tells if anybody but these triggers hears one."""
    defined, heard = list(definitions), list(triggers)
    known = [placed.content for placed in defined]
    for placed in heard:
        trigger, workflow = placed.content, placed.content.workflow
        if not any(workflow in (one.name, one.ref) for one in known):
            detail = f"{trigger.name} starts {workflow}, which is not among what was checked"
            yield Finding("trigger.unknown_workflow", placed.place, "/workflow", detail)
        if isinstance(trigger, EventTrigger) and trigger.event is not None:
            yield from unstated(placed.place, trigger.event, stated)
    yield from check_children(defined)
    yield from unheard(defined, heard, stated, hears)
    yield from _cycles(known, heard, stated)


def _cycles(
    definitions: Iterable[SagaDefinition],
    triggers: Iterable[Placed[Trigger]],
    stated: Mapping[str, frozenset[str]],
) -> Iterator[Finding]:
    starts: dict[str, set[str]] = defaultdict(set)
    by_edge: dict[tuple[str, str], Placed[Trigger]] = {}
    for placed in triggers:
        trigger = placed.content
        if not (isinstance(trigger, EventTrigger) and trigger.enabled):
            continue
        started = trigger.workflow.partition("@")[0]
        for definition in definitions:
            if follows(trigger, definition, stated):
                starts[definition.name].add(started)
                by_edge[definition.name, started] = placed
    try:
        TopologicalSorter({source: sorted(targets) for source, targets in sorted(starts.items())}).prepare()
    except CycleError as error:
        # The sorter names each before the one that leads to it.
        circle = list(reversed(error.args[1]))
        edges = [by_edge[edge] for edge in pairwise(circle) if edge in by_edge]
        placed = min(edges, key=lambda one: one.place)
        way = " -> ".join(circle)
        detail = f"sagas start each other for ever: {way}; {placed.content.name} is one of the triggers"
        yield Finding("trigger.cycle", placed.place, "/event", detail)
