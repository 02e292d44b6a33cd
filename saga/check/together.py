"""What can only be seen of definitions and triggers together: events nobody states, sagas that start each other."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

from contracts.actions import DOMAINS, domain_actions
from contracts.definition import SagaDefinition
from contracts.triggers import EventTrigger, Trigger
from saga.check.findings import Finding


@dataclass(frozen=True, slots=True)
class Placed[Content]:
    """A definition or trigger, and the place it was read from."""

    content: Content
    place: str


def stated_events() -> Mapping[str, frozenset[str]]:
    """The events that the actions of our domains state, by action."""
    return {
        action.name: frozenset(event.event_name for event in action.emits)
        for domain in DOMAINS
        for action in domain_actions(domain)
    }


def check_together(
    definitions: Iterable[Placed[SagaDefinition]],
    triggers: Iterable[Placed[Trigger]],
    stated: Mapping[str, frozenset[str]],
) -> Iterator[Finding]:
    """`stated` are the events that each action states."""
    known = [placed.content for placed in definitions]
    heard = list(triggers)
    for placed in heard:
        trigger, workflow = placed.content, placed.content.workflow
        if not any(workflow in (one.name, one.ref) for one in known):
            detail = f"{trigger.name} starts {workflow}, which is not among what was checked"
            yield Finding("trigger.unknown_workflow", placed.place, "/workflow", detail)
        if isinstance(trigger, EventTrigger) and trigger.event is not None:
            yield from _unstated(placed.place, trigger.event, stated)
    yield from _cycles(known, heard, stated)


def _unstated(place: str, event: str, stated: Mapping[str, frozenset[str]]) -> Iterator[Finding]:
    domain = event.partition(".")[0]
    if domain in DOMAINS and not any(fnmatchcase(one, event) for events in stated.values() for one in events):
        named = sorted(one for events in stated.values() for one in events if one.startswith(f"{domain}."))
        detail = f"no action states {event}; those of {domain} state {', '.join(named) or 'none'}"
        yield Finding("event.unstated", place, "/event", detail)


def _cycles(
    definitions: Iterable[SagaDefinition],
    triggers: Iterable[Placed[Trigger]],
    stated: Mapping[str, frozenset[str]],
) -> Iterator[Finding]:
    starts: dict[str, set[str]] = defaultdict(set)
    by_edge: dict[tuple[str, str], Placed[Trigger]] = {}
    for placed in triggers:
        trigger = placed.content
        if not (isinstance(trigger, EventTrigger) and trigger.enabled and trigger.event):
            continue
        started = trigger.workflow.partition("@")[0]
        for definition in definitions:
            events = {event for step in definition.steps for event in stated.get(step.action, ())}
            if any(fnmatchcase(event, trigger.event) for event in events):
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
