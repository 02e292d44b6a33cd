"""Sagas out of the stream as lines of a recording, and recorded sagas into the stream of another environment.

An import states the facts as they were, in their order, and goes on where it was stopped. Facts that name others
by their sequence (`woken`, `attempt_failed`, outcomes) name them by their new one.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from contracts.definition import SagaDefinition
from contracts.facts import STARTED_KEY, Fact, FactKind, Recorded, data_model
from contracts.failure import Conflict, InvalidContract, NotFound
from contracts.subjects import SAGA_STEP
from events.bus import Bus
from events.clock import Clock, utc_now
from events.definitions import Definitions
from events.publish import Fence
from events.read import StreamMessage, read_story
from saga.audit import everything
from saga.discovery import discover
from saga.hooks.redaction import Redactor
from saga.recording import Recording, definition_line, header_line, message_line, require_pinned

_NAMES_A_SEQUENCE: dict[str, str] = {FactKind.WOKEN: "rest", FactKind.ATTEMPT_FAILED: "on"}
_OUTCOMES: dict[str, str] = dict.fromkeys(
    (FactKind.COMPLETED, FactKind.COMPENSATED, FactKind.FAILED), "sequence"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Which sagas: these, or all of a definition (name or name@version) that began within a time."""

    saga_ids: tuple[str, ...] = ()
    definition: str | None = None
    since: datetime | None = None
    before: datetime | None = None

    def starts(self, fact: Fact) -> bool:
        """Whether this fact starts a saga that is meant."""
        return (
            fact.key == STARTED_KEY
            and self.definition in (None, fact.saga, fact.definition)
            and (self.since is None or fact.time >= self.since)
            and (self.before is None or fact.time < self.before)
        )


async def export(
    bus: Bus, definitions: Definitions, chosen: Chosen, redact: Redactor | None, clock: Clock = utc_now
) -> AsyncGenerator[str]:
    """The lines of a recording: header, each definition before its first fact, facts in stream order.

    Raises NotFound if a saga that is named is not in the stream.
    """
    yield header_line(clock(), redact)
    told: set[str] = set()
    async for partition, message, fact in _facts(bus, chosen):
        if fact.definition not in told:
            told.add(fact.definition)
            if (known := await definitions.fetch(fact.definition)) is not None:
                yield definition_line(known)
        yield message_line(partition, message, fact, redact)


async def _facts(bus: Bus, chosen: Chosen) -> AsyncIterator[tuple[int, StreamMessage, Fact]]:
    for saga_id in chosen.saga_ids:
        story = await read_story(bus, saga_id)
        if not story:
            raise NotFound(f"no saga {saga_id} in the stream")
        partition = bus.subjects.parse(story[0].subject).partition
        for message in story:
            if (fact := fact_in(message)) is not None:
                yield partition, message, fact
    if chosen.saga_ids:
        return
    meant: set[str] = set()
    async for partition, message in everything(bus):
        fact = fact_in(message)
        if fact is not None and (fact.sagaid in meant or chosen.starts(fact)):
            meant.add(fact.sagaid)
            yield partition, message, fact


async def stories(
    bus: Bus, chosen: Chosen, concerns: Callable[[str], Awaitable[bool]] | None = None
) -> AsyncGenerator[tuple[str, list[Recorded]]]:
    """The facts of each saga that is meant, in stream order; one saga at a time is held, and the ids of all.

    Of sagas that are not named only those whose definition (name@version) `concerns` the caller, if it says so.
    Raises NotFound as `export` does.
    """
    saga_ids = chosen.saga_ids or [saga_id async for saga_id in _starting(bus, chosen, concerns)]
    for saga_id in saga_ids:
        facts = [(one.sequence, fact_in(one)) for one in await read_story(bus, saga_id)]
        if not facts and chosen.saga_ids:
            raise NotFound(f"no saga {saga_id} in the stream")
        # Retention may have taken it since its start was read.
        if known := [Recorded(sequence, fact) for sequence, fact in facts if fact is not None]:
            yield saga_id, known


async def _starting(
    bus: Bus, chosen: Chosen, concerns: Callable[[str], Awaitable[bool]] | None
) -> AsyncIterator[str]:
    judged: dict[str, bool] = {}
    async for _, message in everything(bus):
        fact = fact_in(message)
        if fact is None or not chosen.starts(fact):
            continue
        if fact.definition not in judged:
            judged[fact.definition] = concerns is None or await concerns(fact.definition)
        if judged[fact.definition]:
            yield fact.sagaid


def fact_in(message: StreamMessage) -> Fact | None:
    """What a message says; None if it is no fact."""
    try:
        return Fact.decode(message.payload)
    except InvalidContract:
        return None


@dataclass(slots=True)
class Imported:
    """What an import did: sagas that are new, facts that were stated, sagas that were there whole already."""

    sagas: int = 0
    facts: int = 0
    there_already: int = 0


async def import_recording(
    bus: Bus, definitions: Definitions, recording: Recording, *, live: bool = False
) -> Imported:
    """State what is recorded. Nothing is stated unless everything is valid.

    Raises InvalidContract (a fact that breaks its contract, a definition that is missing or another one), Conflict
    (a saga of that id is there with another story; somebody serves its actions, and it is not meant to be `live`).
    """
    for saga_id, facts in recording.sagas.items():
        await require_valid(definitions, recording, saga_id, facts)
    if not live:
        await _require_nobody(bus, recording.definitions.values())
    for definition in recording.definitions.values():
        # Without consumers: who does not serve these actions here will never hear of what is imported.
        await definitions.publish(definition, lambda bus, wanted: [])
    done = Imported()
    for saga_id, facts in recording.sagas.items():
        stated = await _import_saga(bus, saga_id, facts)
        done.facts += stated
        done.sagas += bool(stated)
        done.there_already += not stated
    return done


async def require_valid(
    definitions: Definitions, recording: Recording, saga_id: str, facts: list[Recorded]
) -> SagaDefinition:
    """The definition of a saga whose facts can be stated.

    Raises InvalidContract if it is missing or another one, or a fact breaks its contract.
    """
    ref = facts[0].fact.definition
    definition = recording.definitions.get(ref) or await definitions.fetch(ref)
    if definition is None:
        raise InvalidContract(
            f"saga {saga_id}: the recording does not bring {ref}, and nobody has published it"
        )
    require_pinned(definition, facts)
    for recorded in facts:
        try:
            data_model(*recorded.fact.key).model_validate(recorded.fact.data)
        except ValueError as error:
            raise InvalidContract(
                f"saga {saga_id}, sequence {recorded.sequence}, {recorded.fact.type}: {error}"
            ) from error
    return definition


async def _require_nobody(bus: Bus, definitions: Collection[SagaDefinition]) -> None:
    present = (await discover(bus, definitions)).present
    actions = {step.action for definition in definitions for step in definition.steps}
    if alive := sorted(action for action in actions if action in present and present[action].alive):
        raise Conflict(
            f"somebody serves {', '.join(alive)} here, and would go on with sagas that have not ended: import into a "
            "namespace of its own (SAGA_BUS_NAMESPACE), or say that this is meant (--live)"
        )


async def _import_saga(bus: Bus, saga_id: str, facts: list[Recorded]) -> int:
    """State what is not there yet; how many facts that were."""
    found = [(message.sequence, fact_in(message)) for message in await read_story(bus, saga_id)]
    there = {fact.id: sequence for sequence, fact in found if fact is not None}
    if strange := there.keys() - {recorded.fact.id for recorded in facts}:
        raise Conflict(
            f"saga {saga_id} is there, and says what is not recorded: {', '.join(sorted(strange)[:3])}"
        )
    sequences: dict[int, int] = {}
    stated = 0
    for recorded in facts:
        fact = recorded.fact
        if fact.id not in there:
            subject = bus.subjects.checked_fact(fact.saga, *fact.key, fact.sagaid)
            fence = Fence(subject) if fact.key == STARTED_KEY else None
            stored = await bus.publisher.state(subject, renumbered(fact, sequences), fence)
            there[fact.id] = stored.sequence
            stated += 1
        sequences[recorded.sequence] = there[fact.id]
    return stated


def renumbered(fact: Fact, sequences: Mapping[int, int]) -> Fact:
    """The fact with the sequence it names, if it names one, by its new one."""
    step, kind = fact.key
    names = _OUTCOMES if step == SAGA_STEP else _NAMES_A_SEQUENCE
    name = names.get(kind)
    if name is None or fact.data.get(name) not in sequences:
        return fact
    return fact.model_copy(update={"data": {**fact.data, name: sequences[fact.data[name]]}})
