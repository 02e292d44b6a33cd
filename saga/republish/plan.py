"""What of a recorded saga is played, and what is left to the services that are there. Pure.

Left is what a served step has stated: it will be stated anew, or something else. What the saga log has stated is never
played. All else is: the start, what people did, and every fact of the other steps. A fact of a step waits for what its
participant had heard when it was stated (`heard_by`), a fact of the saga as a whole, and what people did, for all that
had been said.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from contracts.definition import SagaDefinition
from contracts.facts import ABORTED_KEY, STARTED_KEY, Fact, FactKey, FactKind, Recorded
from contracts.subjects import SAGA_STEP
from saga.choreography import CLOSED, SPOKEN, heard_by, taken_over

_BY_THE_LOG = (FactKind.COMPLETED, FactKind.COMPENSATED, FactKind.FAILED)
_FROM_OUTSIDE = (FactKind.SIGNALLED, FactKind.SKIP_REQUESTED, FactKind.RETRY_REQUESTED)
_WAITED_FOR = frozenset(
    {FactKind.STARTED, FactKind.SUSPENDED, *SPOKEN, *CLOSED, FactKind.COMPENSATION_FAILED, FactKind.ABORTED}
)


@dataclass(frozen=True, slots=True)
class Move:
    """Facts that are stored together, and what must have been said before. One that is left has a single fact."""

    facts: tuple[Recorded, ...]
    needs: frozenset[FactKey]

    @property
    def keys(self) -> frozenset[FactKey]:
        return frozenset(recorded.fact.key for recorded in self.facts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One saga. `left` are the facts that services state; those in `awaited` are waited for and compared, the others
    (failed attempts, ends of rests) depend on the day."""

    definition: SagaDefinition
    served: frozenset[str]
    moves: tuple[Move, ...]
    left: tuple[Move, ...]

    @property
    def saga_id(self) -> str:
        return self.start.sagaid

    @property
    def start(self) -> Fact:
        return self.moves[0].facts[0].fact

    @property
    def attended(self) -> bool:
        """Whether a service takes part in the saga."""
        return any(step.action in self.served for step in self.definition.steps)

    def action_of(self, fact: Fact) -> str:
        """Whose a fact is that is left: the action of its step, or of the step that has turned the saga round."""
        if fact.kind == FactKind.SIGNALLED:
            return str(fact.data["by"])
        return self.definition.step(fact.data["step"] if fact.key == ABORTED_KEY else fact.subject).action

    @property
    def awaited(self) -> tuple[Move, ...]:
        return tuple(move for move in self.left if move.facts[0].fact.kind in _WAITED_FOR)


def plan(definition: SagaDefinition, facts: Sequence[Recorded], served: Collection[str]) -> Plan:
    """What is played of a saga that is recorded from its start, where somebody serves these actions."""
    planning = _Planning(definition, frozenset(served))
    for recorded in facts:
        planning.hear(recorded)
    return Plan(
        definition=definition,
        served=frozenset(served),
        moves=tuple(planning.moves),
        left=tuple(planning.left),
    )


@dataclass(slots=True)
class _Planning:
    definition: SagaDefinition
    served: frozenset[str]
    moves: list[Move] = field(default_factory=list)
    left: list[Move] = field(default_factory=list)
    said: dict[FactKey, None] = field(default_factory=dict)
    keys: dict[str, FactKey] = field(default_factory=dict)

    def hear(self, recorded: Recorded) -> None:
        fact = recorded.fact
        step, kind = fact.key
        if step == SAGA_STEP and kind in _BY_THE_LOG:
            return
        left, needs = self._is_left(fact), frozenset(self._needs(fact))
        if left:
            self.left.append(Move((recorded,), needs))
        else:
            self._play(recorded, needs)
        if not left or kind in _WAITED_FOR:
            self.said[fact.key] = None
            self.keys[fact.id] = fact.key

    def _is_left(self, fact: Fact) -> bool:
        step, kind = fact.key
        if fact.key == ABORTED_KEY:
            return fact.data.get("cause") == "step" and self._is_served(fact.data.get("step", ""))
        if kind == FactKind.SIGNALLED:
            # An action may signal, too, as the end of a child does.
            return fact.data.get("by") in self.served
        if kind in _FROM_OUTSIDE or not self._is_served(step):
            return False
        # In a redrive no service states what was taken over with its start.
        return not taken_over(self.definition, step, fact)

    def _is_served(self, step: str) -> bool:
        known = self.definition.by_name.get(step)
        return known is not None and known.action in self.served

    def _needs(self, fact: Fact) -> Iterator[FactKey]:
        step, kind = fact.key
        if fact.key == STARTED_KEY:
            return
        if step not in self.definition.by_name or kind in _FROM_OUTSIDE:
            yield from self.said
            return
        heard = heard_by(self.definition, step)
        yield from (key for key in self.said if key in heard or key[0] == step)
        if fact.causationid in self.keys:
            yield self.keys[fact.causationid]

    def _play(self, recorded: Recorded, needs: frozenset[FactKey]) -> None:
        fact, before = recorded.fact, self.moves[-1] if self.moves else None
        failed = (fact.data.get("step"), FactKind.FAILED) if fact.key == ABORTED_KEY else None
        if before is not None and before.keys == {failed}:
            # Stated in one batch: a step that has failed for good must not be seen without its abort.
            self.moves[-1] = Move((*before.facts, recorded), (before.needs | needs) - before.keys)
        else:
            self.moves.append(Move((recorded,), needs))
