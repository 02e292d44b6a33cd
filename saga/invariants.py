"""What must hold of every saga, written once: the model check, the fault runs and the audit all ask here.

All checks are over a definition, the facts of one saga in stream order, and (where somebody kept count)
the effects in the outside world. They are pure, trust nothing that a fact claims, and answer with the
breaches they found, so a clean saga gives an empty list.

    check_facts     what the stream alone can tell: outcomes, fence, order forward and back, final status
    check_effects   whether the facts tell the truth, and whether what is live may be live
    check_journal   the same order, from a journal of effects and undos
    check_end       after everything has come to rest: the saga has ended, or waits for a person
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from contracts.definition import SagaDefinition
from contracts.facts import ABORTED_KEY, STARTED_KEY, Fact, FactKey, FactKind, Recorded
from contracts.subjects import SAGA_STEP
from saga.choreography import CLOSED, SPOKEN, all_passed, by_parent, needs, open_steps, taken_over
from saga.state import SagaState, SagaStatus, advance, fold, initial


class Invariant(StrEnum):
    """The names under which breaches are reported; they are stable."""

    ONE_OUTCOME = "one_outcome"
    ONE_ABORT = "one_abort"
    ONE_CLOSING = "one_closing"
    ONE_RUN = "one_delivery_runs"
    FENCE = "fence"
    PIVOT = "pivot"
    NEEDS = "needs"
    CLOSING = "closing"
    REVERSE_ORDER = "reverse_order"
    FINAL = "final_status"
    EFFECT_ONCE = "effect_once"
    UNDO_ONCE = "undo_once"
    TRUTH = "facts_tell_the_truth"
    ALL_OR_NOTHING = "all_or_nothing"
    WAITING = "waits_for_a_reason"
    STABLE = "waiting_is_final"
    HELD_BACK = "held_while_paused"
    ONE_WAKE = "one_wake"
    ANSWERED = "wishes_are_answered"
    NOT_STUCK = "not_stuck"
    NONE_LOST = "no_start_lost"
    ONE_DEFINITION = "one_definition"
    LOG_EQUALS_STREAM = "log_equals_stream"
    NO_ERROR = "no_error"


@dataclass(frozen=True, slots=True)
class Breach:
    """One broken invariant, at a step (or `_saga`)."""

    invariant: Invariant
    step: str
    detail: str

    def __str__(self) -> str:
        return f"{self.invariant} at {self.step}: {self.detail}"


@dataclass(frozen=True, slots=True)
class StepEffects:
    """How often the effect of one (saga, step) really happened, and how often it was really undone."""

    done: int = 0
    undone: int = 0

    @property
    def live(self) -> bool:
        return self.done > self.undone


type Effects = Mapping[str, StepEffects]
"""By step; a step that is not there had none."""

type JournalEntry = tuple[str, Literal["done", "undone"]]

_NONE = StepEffects()
_FORWARD = (SagaStatus.COMPLETED, SagaStatus.RUNNING, SagaStatus.PAUSED, SagaStatus.FAILED)
_RESTS = (FactKind.HELD, FactKind.SUSPENDED, FactKind.COMPENSATION_FAILED)
_WISHES = (FactKind.RETRY_REQUESTED, FactKind.SKIP_REQUESTED)
_FENCED = (FactKind.STARTED, *SPOKEN)


@dataclass(frozen=True, slots=True)
class Story:
    """A saga as far as it has been read: its state, and the id of the last fact of every kind."""

    definition: SagaDefinition
    state: SagaState
    said: Mapping[FactKey, str] = field(default_factory=dict)
    resting: frozenset[int] = frozenset()
    """the sequences of the rests that have not ended"""

    @classmethod
    def begin(cls, definition: SagaDefinition) -> "Story":
        return cls(definition, initial(definition))

    def any(self, step: str, kinds: Iterable[str]) -> str:
        return next((kind for kind in kinds if (step, kind) in self.said), "")

    def then(self, recorded: Recorded) -> tuple["Story", list[Breach]]:
        """The story with one more fact, and what that fact breaks. The same fact stored twice breaks nothing."""
        key = recorded.fact.key
        repeated = self.said.get(key) == recorded.fact.id
        found = [] if repeated else list(_check_fact(self.definition, self, recorded.fact))
        state = advance(self.definition, self.state, recorded)
        if self.state.ended and state.status != self.state.status and not self.undone_by(recorded.fact):
            found.append(Breach(Invariant.FINAL, key[0], f"{self.state.status} became {state.status}"))
        said = {**self.said, key: recorded.fact.id}
        after = Story(self.definition, state, said, _resting(self.resting, recorded))
        if state.status == SagaStatus.WAITING and not after._has_failed_undo():
            found.append(Breach(Invariant.WAITING, key[0], "it waits for a person who has nothing to do"))
        return after, found

    def undone_by(self, fact: Fact) -> bool:
        """Whether this is the parent's word that undoes a saga that has completed."""
        parent = fact.key == ABORTED_KEY and fact.data["cause"] == "parent"
        return parent and self.state.status is SagaStatus.COMPLETED

    def _has_failed_undo(self) -> bool:
        failed = [step for step, kind in self.said if kind == FactKind.COMPENSATION_FAILED]
        return any(not self.any(step, CLOSED) for step in failed)


def _resting(before: frozenset[int], recorded: Recorded) -> frozenset[int]:
    kind, data = recorded.fact.kind, recorded.fact.data
    if kind == FactKind.WOKEN:
        return before - {data["rest"]}
    parked = kind == FactKind.ATTEMPT_FAILED and data.get("parked")
    return before | {recorded.sequence} if parked or kind in _RESTS else before


def check_facts(definition: SagaDefinition, facts: Iterable[Recorded]) -> list[Breach]:
    """Breaches visible in the stream alone. `facts` is every fact of the saga, in stream order."""
    story, found = Story.begin(definition), []
    for recorded in facts:
        story, broken = story.then(recorded)
        found += broken
    return found


def _check_fact(definition: SagaDefinition, story: Story, fact: Fact) -> Iterator[Breach]:
    key = step, kind = fact.key
    if key == ABORTED_KEY:
        yield from _check_abort(definition, story, fact)
    if step == SAGA_STEP or step not in definition.by_name:
        return
    if kind in _FENCED:
        yield from _check_forward(definition, story, step, kind)
    elif kind in CLOSED or kind == FactKind.COMPENSATION_FAILED:
        yield from _check_closing(definition, story, step, kind)
    elif kind == FactKind.WOKEN and fact.data["rest"] not in story.resting:
        yield Breach(Invariant.ONE_WAKE, step, "was woken, and did not rest")
    elif kind == FactKind.HELD and not story.state.paused:
        yield Breach(Invariant.HELD_BACK, step, "is held back although the saga is not paused")


def _check_abort(definition: SagaDefinition, story: Story, fact: Fact) -> Iterator[Breach]:
    if ABORTED_KEY in story.said and not story.undone_by(fact):
        yield Breach(Invariant.ONE_ABORT, SAGA_STEP, "the saga was aborted twice")
    pivot = definition.pivot
    if pivot and (pivot.name, FactKind.COMPLETED) in story.said:
        yield Breach(Invariant.PIVOT, pivot.name, "the saga was aborted after its pivot had completed")


def _check_forward(definition: SagaDefinition, story: Story, step: str, kind: str) -> Iterator[Breach]:
    if ABORTED_KEY in story.said:
        yield Breach(Invariant.FENCE, step, f"stated {kind} after the abort")
    said = story.any(step, SPOKEN)
    # A slow worker may start what somebody has meanwhile skipped; it then finds that, and does nothing.
    if said and not (kind == FactKind.STARTED and said == FactKind.SKIPPED):
        yield Breach(Invariant.ONE_OUTCOME, step, f"stated {kind} after {said}")
    for group in needs(definition, step):
        if not any(key in story.said for key in group):
            wanted = " or ".join(".".join(key) for key in group)
            yield Breach(Invariant.NEEDS, step, f"stated {kind} without {wanted}")


def _check_closing(definition: SagaDefinition, story: Story, step: str, kind: str) -> Iterator[Breach]:
    if ABORTED_KEY not in story.said:
        yield Breach(Invariant.CLOSING, step, f"stated {kind} although the saga is not aborted")
    elif story.state.status == SagaStatus.COMPLETED:
        yield Breach(Invariant.FINAL, step, f"stated {kind} although the saga had completed")
    if (step, FactKind.STARTED) not in story.said:
        yield Breach(Invariant.CLOSING, step, f"stated {kind} although it never started")
    # A paused worker may complain too late that it cannot undo; that changes nothing.
    if kind in CLOSED and (said := story.any(step, CLOSED)):
        yield Breach(Invariant.ONE_CLOSING, step, f"stated {kind} after {said}")
    for later in sorted(definition.graph.descendants[step]):
        if (later, FactKind.STARTED) in story.said and not story.any(later, CLOSED):
            yield Breach(Invariant.REVERSE_ORDER, step, f"stated {kind} while {later} was still open")


def check_effects(
    definition: SagaDefinition,
    facts: Sequence[Recorded],
    effects: Effects,
    compensable: Collection[str] | None = None,
) -> list[Breach]:
    """Breaches of the effects as they are now, against the facts as they are now.

    `compensable`: the steps whose action has an undo and whose effect does not stay; without it, those
    that have stated `started`.
    """
    by_key = {recorded.fact.key: recorded for recorded in facts}
    if compensable is None:
        compensable = {step for step, kind in by_key if kind == FactKind.STARTED}
    return effect_breaches(definition, by_key, fold(definition, facts).status, effects, compensable)


def effect_breaches(
    definition: SagaDefinition,
    facts: Mapping[FactKey, Recorded],
    status: SagaStatus,
    effects: Effects,
    compensable: Collection[str],
) -> list[Breach]:
    """As `check_effects`, for facts by key and a status that is already known."""
    found: list[Breach] = []
    for step in definition.by_name:
        had = effects.get(step, _NONE)
        found += _check_counts(step, had)
        if earlier := _taken_over(definition, step, facts):
            if had.done:
                detail = f"was taken over from saga {earlier}, and ran"
                found.append(Breach(Invariant.EFFECT_ONCE, step, detail))
            continue
        found += _check_truth(step, had, facts)
        found += _check_status(step, had, facts, status)
        given_up = (step, FactKind.COMPENSATION_SKIPPED) in facts and status != SagaStatus.COMPENSATED
        if given_up or not (had.live and step in compensable):
            continue
        if status == SagaStatus.COMPENSATED or (status == SagaStatus.FAILED and ABORTED_KEY in facts):
            detail = f"the saga is {status}, and its effect is live"
            found.append(Breach(Invariant.ALL_OR_NOTHING, step, detail))
        found += [
            Breach(Invariant.REVERSE_ORDER, step, f"its effect is live, that of {earlier} is undone")
            for earlier in sorted(definition.graph.ancestors[step])
            if effects.get(earlier, _NONE).undone
        ]
    return found


def _taken_over(definition: SagaDefinition, step: str, facts: Mapping[FactKey, Recorded]) -> str:
    started = facts.get(STARTED_KEY)
    return taken_over(definition, step, started.fact) if started else ""


def _check_counts(step: str, had: StepEffects) -> Iterator[Breach]:
    if had.done > 1:
        yield Breach(Invariant.EFFECT_ONCE, step, f"its effect happened {had.done} times")
    if had.undone > min(1, had.done):
        yield Breach(Invariant.UNDO_ONCE, step, f"{had.done} effects, undone {had.undone} times")


def _check_truth(step: str, had: StepEffects, facts: Mapping[FactKey, Recorded]) -> Iterator[Breach]:
    if (step, FactKind.COMPLETED) in facts and not had.done:
        yield Breach(Invariant.TRUTH, step, "stated completed without an effect")
    if (step, FactKind.COMPENSATED) in facts and had.live:
        yield Breach(Invariant.TRUTH, step, "stated compensated, and its effect is live")
    for kind in (FactKind.SKIPPED, FactKind.STOOD_DOWN):
        stated = facts.get((step, kind))
        # A person may skip a step of which nobody knows whether it had an effect.
        if stated and had.done and not stated.fact.data.get("by"):
            yield Breach(Invariant.TRUTH, step, f"stated {kind}, and there was an effect")
    failed = facts.get((step, FactKind.FAILED))
    if failed and failed.fact.data["failure"].get("effect") == "none" and had.done:
        yield Breach(Invariant.TRUTH, step, "stated a failure without effect, and there was one")


def _check_status(
    step: str, had: StepEffects, facts: Mapping[FactKey, Recorded], status: SagaStatus
) -> Iterator[Breach]:
    if status == SagaStatus.COMPLETED and (step, FactKind.COMPLETED) in facts and not had.live:
        yield Breach(Invariant.ALL_OR_NOTHING, step, "the saga is completed, and its effect is not live")
    turned_round = status == SagaStatus.FAILED and ABORTED_KEY in facts
    if status in _FORWARD and had.undone and not turned_round:
        yield Breach(Invariant.ALL_OR_NOTHING, step, f"it was undone, and the saga is {status}")


def check_journal(definition: SagaDefinition, journal: Iterable[JournalEntry]) -> list[Breach]:
    """Breaches in a journal of effects and undos of compensable steps, given in the order they happened."""
    done: Counter[str] = Counter()
    undone: Counter[str] = Counter()
    found: list[Breach] = []
    for step, what in journal:
        (done if what == "done" else undone)[step] += 1
        found += _check_counts(step, StepEffects(done[step], undone[step]))
        around = definition.graph.ancestors[step] if what == "done" else definition.graph.descendants[step]
        for other in sorted(around):
            broken = undone[other] if what == "done" else done[other] > undone[other]
            if broken:
                found.append(Breach(Invariant.REVERSE_ORDER, step, f"{what} out of order with {other}"))
    return found


def check_end(definition: SagaDefinition, facts: Sequence[Recorded]) -> list[Breach]:
    """Breaches once everything has come to rest: a saga must have ended, or wait for a person."""
    by_key = {recorded.fact.key: recorded for recorded in facts}
    return end_breaches(fold(definition, facts)) + rest_breaches(definition, by_key)


def end_breaches(state: SagaState) -> list[Breach]:
    """As `check_end`, for a state that is already known."""
    if state.ended or state.status in (SagaStatus.WAITING, SagaStatus.PAUSED):
        return []
    still = ", ".join(f"{name} {step.status}" for name, step in state.steps.items())
    return [Breach(Invariant.NOT_STUCK, SAGA_STEP, f"nothing moves, and the saga is {state.status}: {still}")]


def rest_breaches(definition: SagaDefinition, facts: Mapping[FactKey, Recorded]) -> list[Breach]:
    """Breaches of single steps once everything has come to rest: of an aborted saga, a step that is open
    waits for a later one or for a person, and no person waits for it."""
    if ABORTED_KEY not in facts or (all_passed(definition, facts) and not by_parent(facts)):
        return []
    still_open = open_steps(definition, facts, among=definition.by_name)
    found = []
    for step in sorted(still_open):
        failed = facts.get((step, FactKind.COMPENSATION_FAILED))
        wishes = [facts[step, kind].sequence for kind in _WISHES if (step, kind) in facts]
        if failed and any(wish > failed.sequence for wish in wishes):
            found.append(Breach(Invariant.ANSWERED, step, "a wish about its undo was not answered"))
        elif failed is None and not definition.graph.descendants[step] & still_open:
            found.append(Breach(Invariant.NOT_STUCK, step, "nothing moves, and it is still open"))
    return found


def audit(
    definition: SagaDefinition,
    facts: Sequence[Recorded],
    effects: Effects | None = None,
    *,
    at_rest: bool = False,
) -> list[Breach]:
    """Every breach of one saga. `at_rest`: nothing is under way any more, so it must have ended."""
    found = check_facts(definition, facts)
    if effects is not None:
        found += check_effects(definition, facts, effects)
    return found + (check_end(definition, facts) if at_rest else [])
