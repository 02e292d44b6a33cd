"""A saga played again: its facts folded one by one, with what every participant made of each of them.

Pure, and the same however often it is done. A participant is shown all facts up to the one it hears; in the
real run it may have read some milliseconds later, and then `decide` answers the same or waits for the fact
that came in between.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from contracts.definition import SagaDefinition
from contracts.facts import FactKey, Recorded
from contracts.failure import InvalidContract
from contracts.subjects import SAGA_STEP
from saga.choreography import heard_by
from saga.decisions import Trigger
from saga.explain import Explanation, explain
from saga.state import SagaState, advance, initial

type Until = int | datetime | None
"""A sequence, an instant, or no end: facts up to and including it."""


@dataclass(frozen=True, slots=True)
class Changed:
    """A status that a fact has changed, of a step or of `_saga`."""

    of: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One fact: the state after it, what it changed, and what those who hear it decide.

    `cause` is the sequence of the fact that it names as its cause; None if it names none that is here.
    """

    recorded: Recorded
    state: SagaState
    changes: tuple[Changed, ...]
    heard: tuple[Explanation, ...]
    cause: int | None


def replay(definition: SagaDefinition, facts: Sequence[Recorded]) -> Iterator[Frame]:
    """A frame for every fact, given in stream order."""
    listeners = {step.name: heard_by(definition, step.name) for step in definition.steps}
    state = initial(definition)
    known: dict[FactKey, Recorded] = {}
    sequences: dict[str, int] = {}
    for recorded in facts:
        fact = recorded.fact
        before, state = state, advance(definition, state, recorded)
        known[fact.key] = recorded
        trigger = Trigger(sequence=recorded.sequence, key=fact.key)
        yield Frame(
            recorded=recorded,
            state=state,
            changes=tuple(_changes(before, state)),
            heard=tuple(
                explain(definition, step, known, trigger)
                for step, heard in listeners.items()
                if fact.key in heard
            ),
            cause=sequences.get(fact.causationid),
        )
        sequences[fact.id] = recorded.sequence


def _changes(before: SagaState, after: SagaState) -> Iterator[Changed]:
    if before.status != after.status:
        yield Changed(SAGA_STEP, before.status, after.status)
    for name, step in after.steps.items():
        if before.steps[name].status != step.status:
            yield Changed(name, before.steps[name].status, step.status)


def read_until(text: str) -> Until:
    """A sequence or an instant with its zone, as people write it. Raises InvalidContract."""
    if text.isdigit():
        return int(text)
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise InvalidContract(
            f"{text!r} is neither a sequence nor an instant with its zone, as in 2026-01-31T12:00:00Z"
        )
    return instant


def up_to(facts: Sequence[Recorded], until: Until) -> list[Recorded]:
    """The facts up to and including a sequence, or up to an instant by the time each fact gives."""
    match until:
        case None:
            return list(facts)
        case int():
            return [recorded for recorded in facts if recorded.sequence <= until]
        case _:
            # Clocks of machines differ, and the stream's order rules: the first later fact ends it.
            later = next((at for at, one in enumerate(facts) if one.fact.time > until), len(facts))
            return list(facts[:later])
