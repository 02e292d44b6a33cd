"""Which action listens to what: the consumers that a set of definitions needs, worked out from the core."""

from collections import defaultdict
from collections.abc import Iterable

from contracts.definition import SagaDefinition
from events.bus import Bus
from events.streams import ConsumerSpec
from saga.choreography import heard_by


def consumers_for(bus: Bus, definitions: Iterable[SagaDefinition]) -> list[ConsumerSpec]:
    """One consumer per action and partition, hearing all facts its steps in these definitions answer to."""
    heard: dict[tuple[str, int], set[str]] = defaultdict(set)
    for definition in definitions:
        for step in definition.steps:
            for said_by, kind in heard_by(definition, step.name):
                for partition in range(bus.settings.partitions):
                    subject = bus.subjects.heard(partition, definition.name, said_by, kind)
                    heard[step.action, partition].add(subject)
    return [
        ConsumerSpec(action=action, partition=partition, filters=frozenset(filters))
        for (action, partition), filters in heard.items()
    ]
