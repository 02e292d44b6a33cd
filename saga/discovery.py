"""What the bus itself tells of the system: which actions hear what, and whether anybody serves them."""

from collections.abc import Iterable
from dataclasses import dataclass

from contracts.definition import SagaDefinition
from contracts.failure import InvalidContract
from contracts.triggers import Trigger
from events.bus import Bus
from events.listeners import event_filters, listeners
from events.triggers import TriggerBucket
from saga.listening import Heard, Presence


@dataclass(frozen=True, slots=True)
class Discovered:
    """What the actions of the known definitions hear, and how present they are, over all partitions."""

    heard: tuple[Heard, ...]
    present: dict[str, Presence]


async def discover(bus: Bus, definitions: Iterable[SagaDefinition]) -> Discovered:
    """Raises NotFound if nothing was ever served on this bus, ReadFailed if it does not answer."""
    actions = {step.action for definition in definitions for step in definition.steps}
    # A consumer's name is its action's, but for the dots.
    named = {bus.names.consumer(action): action for action in actions}
    heard: dict[Heard, None] = {}
    present: dict[str, Presence] = {}
    for listener in await listeners(bus):
        action = named.get(listener.consumer, listener.consumer)
        there = Presence(listener.alive, listener.pending, listener.in_flight)
        present[action] = present.get(action, Presence()).with_more(there)
        for subject in listener.filters:
            heard[_heard(bus, action, subject)] = None
    return Discovered(tuple(heard), present)


def _heard(bus: Bus, action: str, subject: str) -> Heard:
    try:
        parsed = bus.subjects.parse(subject)
    except InvalidContract:
        # A consumer of somebody else's, which hears more than one kind of fact.
        return Heard(action, "*", "*", "*")
    return Heard(action, parsed.saga, parsed.step, parsed.kind)


@dataclass(frozen=True, slots=True)
class EventsHeard:
    """Who hears the services' own events: the triggers that are kept, and the filters of all consumers."""

    triggers: tuple[Trigger, ...] = ()
    filters: frozenset[str] = frozenset()


async def events_heard(bus: Bus) -> EventsHeard:
    """Raises ReadFailed if the bus does not answer."""
    triggers = [kept.record.trigger for kept in await TriggerBucket(bus).all() if not kept.record.deleted]
    return EventsHeard(tuple(triggers), frozenset(await event_filters(bus)))
