"""Services' own events: those that are stated and nobody hears, and those that are heard and nobody states."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase

from contracts.actions import DOMAINS, domain_actions
from contracts.definition import SagaDefinition
from contracts.subjects import Subjects, overlap
from contracts.triggers import EventTrigger, Trigger
from saga.check.findings import Finding, Placed


def stated_events() -> Mapping[str, frozenset[str]]:
    """The events that the actions of our domains state, by action."""
    return {
        action.name: frozenset(event.event_name for event in action.emits)
        for domain in DOMAINS
        for action in domain_actions(domain)
    }


def hears_any(filters: Iterable[str], events_root: str) -> Callable[[str], bool]:
    """Tells whether one of these filters of consumers lets an event through."""
    subjects = tuple(filters)
    return lambda event: any(overlap(subject, f"{events_root}.{event}.*") for subject in subjects)


def unheard(
    definitions: Iterable[Placed[SagaDefinition]],
    triggers: Iterable[Placed[Trigger]],
    stated: Mapping[str, frozenset[str]],
    hears: Callable[[str], bool],
) -> Iterator[Finding]:
    """The events that steps state and neither a trigger nor anybody else hears: each once, at the first such step."""
    listening = [
        one.content for one in triggers if isinstance(one.content, EventTrigger) and one.content.enabled
    ]
    judged: set[str] = set()
    for placed in definitions:
        for index, step in enumerate(placed.content.steps):
            for event in sorted(stated.get(step.action, frozenset()) - judged):
                judged.add(event)
                if not hears(event) and not any(_listens(trigger, event) for trigger in listening):
                    detail = f"{step.action} states {event}, and nobody hears it that is known here"
                    yield Finding("event.unheard", placed.place, f"/steps/{index}/action", detail)


def follows(trigger: EventTrigger, definition: SagaDefinition, stated: Mapping[str, frozenset[str]]) -> bool:
    """Whether a saga of this definition may fire the trigger: by an event that a step states, or by its own facts."""
    events = {event for step in definition.steps for event in stated.get(step.action, ())}
    facts = f"{Subjects().root}.*.{definition.name}.*.*.*"
    return any(_listens(trigger, event) for event in events) or _overlaps(trigger, facts)


def _listens(trigger: EventTrigger, event: str) -> bool:
    if trigger.event is not None:
        return fnmatchcase(event, trigger.event)
    return _overlaps(trigger, f"{Subjects().events_root}.{event}.*")


def _overlaps(trigger: EventTrigger, subject: str) -> bool:
    # With or without a namespace before it.
    return trigger.subject is not None and any(
        overlap(trigger.subject, one) for one in (subject, f"*.{subject}")
    )


def unstated(place: str, event: str, stated: Mapping[str, frozenset[str]]) -> Iterator[Finding]:
    """An event of one of our domains that a trigger hears and no action states."""
    domain = event.partition(".")[0]
    if domain in DOMAINS and not any(fnmatchcase(one, event) for events in stated.values() for one in events):
        named = sorted(one for events in stated.values() for one in events if one.startswith(f"{domain}."))
        detail = f"no action states {event}; those of {domain} state {', '.join(named) or 'none'}"
        yield Finding("event.unstated", place, "/event", detail)
