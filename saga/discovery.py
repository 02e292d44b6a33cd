"""What the bus itself tells of the system: which actions hear what, and whether anybody serves them."""

from collections.abc import Iterable
from dataclasses import dataclass

from contracts.definition import SagaDefinition
from events.bus import Bus
from events.listeners import listeners
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
        for subject in filter(None, listener.filters):
            parsed = bus.subjects.parse(subject)
            heard[Heard(action, parsed.saga, parsed.step, parsed.kind)] = None
    return Discovered(tuple(heard), present)
