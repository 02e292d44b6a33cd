"""Under which fence a played fact is stored: that of whoever stated it first (`saga.turn`, `saga.interventions`).

So what services have aborted stays aborted, an abort comes once, and none comes after the pivot.
"""

from contracts.definition import SagaDefinition
from contracts.facts import ABORTED_KEY, STARTED_KEY, Fact, FactKind
from contracts.subjects import SAGA_STEP, Subjects
from events.publish import Fence
from saga.choreography import SPOKEN

_FORWARD = (FactKind.STARTED, FactKind.SUSPENDED, FactKind.HELD, *SPOKEN)


def fence_of(
    fact: Fact, definition: SagaDefinition, subjects: Subjects, *, last_abort: int, in_batch: bool
) -> Fence | None:
    """The fence of one fact; `last_abort` is the sequence of the abort that was played before, 0 if none was.

    An abort `in_batch` with the failure of its step rests on that one's fence.
    """
    aborted = subjects.fact(fact.saga, *ABORTED_KEY, fact.sagaid)
    if fact.key == STARTED_KEY:
        return Fence(subjects.fact(fact.saga, *STARTED_KEY, fact.sagaid))
    if fact.key == ABORTED_KEY:
        if pivot := definition.pivot:
            # That there is one abort then rests on its id.
            return Fence(subjects.fact(fact.saga, pivot.name, FactKind.COMPLETED, fact.sagaid))
        return None if in_batch else Fence(aborted, last_abort)
    return Fence(aborted) if _is_forward(fact) else None


def _is_forward(fact: Fact) -> bool:
    if fact.kind == FactKind.ATTEMPT_FAILED:
        return not fact.data.get("compensation")
    return fact.subject != SAGA_STEP and fact.kind in _FORWARD
