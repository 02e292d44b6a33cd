"""The pure core: what one participant must do now (`decide`), and what state a saga is in (`fold`).

No I/O, no clock, no chance. Participants, saga log, replay, static checks and the simulator all call
these functions; the rules of sagas stand nowhere else.

What the rules lean on: all facts of one saga are totally ordered, and once `_saga.aborted` is stored the
server refuses every `started`, `completed`, `skipped` and `failed` of that saga. So after the abort what
is absent stays absent, and every decision of the wave back is made on a reading that includes the abort.

Crash: a delivery that was not acknowledged comes again. A step that `started` and has neither ended nor
closed is then resumed (forward) or closed (after an abort) by the delivery of its last cause, and by no
other: one that waited for a later fact must not undo a step that is running. The server may count a
redelivery as the first one (a killed server forgets), so nothing is decided on that count.

A step may also rest, with no delivery at work on it (`saga.rests`); then the delivery of `woken` works on it.

Of a redrive only the steps from where it was redriven run. What is before them was taken over with the start, and
every fact says from where, so whoever hears one that would cause a step that was taken over knows without a reading.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from contracts.definition import SagaDefinition
from contracts.directives import directives_of
from contracts.facts import (
    ABORTED_KEY,
    PAUSED_KEY,
    RESUMED_KEY,
    STARTED_KEY,
    Fact,
    FactKey,
    FactKind,
    Facts,
    Recorded,
)
from contracts.failure import Failure
from contracts.graph import Graph
from contracts.references import Scope
from saga.conditions import holds
from saga.decisions import (
    Before,
    Compensate,
    Decision,
    GiveUp,
    Hold,
    Ignore,
    Run,
    Skip,
    Sleep,
    StandDown,
    Trigger,
    Wait,
    Wake,
)
from saga.rests import due_of, paused, rests, skip_wanted, takes_signals
from saga.scope import scope_of

SPOKEN = (FactKind.COMPLETED, FactKind.SKIPPED, FactKind.FAILED)
CLOSED = (FactKind.COMPENSATED, FactKind.STOOD_DOWN, FactKind.COMPENSATION_SKIPPED)


def decide(
    definition: SagaDefinition,
    step: str,
    facts: Facts,
    trigger: Trigger,
    condition_holds: Callable[[str, Scope], bool] = holds,
) -> Decision:
    """What the participant of `step` must do about it now.

    `facts` must hold the trigger; for a trigger that is not the first of its delivery, for a step after
    several steps and after an abort it must be a reading of the whole saga.
    Raises InvalidContract if the step's condition cannot be evaluated.
    """
    if earlier := taken_over(definition, step, facts[trigger.key].fact):
        return Ignore(f"the step was taken over from saga {earlier}")
    if ABORTED_KEY in facts:
        return _decide_wave(definition, step, facts, trigger)
    if trigger.key not in causes(definition, step) and trigger.key not in _wakes(step):
        return Ignore("this fact does not cause the step")
    if said := _first(facts, step, SPOKEN):
        return Ignore(f"the step has already stated {said}")
    for keys in needs(definition, step):
        if not any(key in facts for key in keys):
            return Wait(f"waits for {' or '.join('.'.join(key) for key in keys)}")
    if rest := rests(facts, step, undoing=False):
        return _rest(step, facts, trigger, rest)
    if trigger.sequence != _last_cause(definition, step, facts):
        return Wait("a later fact is the last one the step needs, and triggers it")
    # Started or not, it is this delivery that runs the step: if nobody else may, nobody else is waited for.
    started = (step, FactKind.STARTED) in facts
    scope = scope_of(definition, step, facts, needs(definition, step))
    if wanted := skip_wanted(facts, step):
        return Skip(scope, **_words(wanted))
    if not started and paused(facts):
        return Hold(facts[PAUSED_KEY].sequence, **_words(facts[PAUSED_KEY]))
    condition = definition.by_name[step].when
    if not started and condition is not None and not condition_holds(condition, scope):
        return Skip(scope, f"condition is false: {condition}")
    return Run(
        scope,
        started,
        _data(facts, step, FactKind.SUSPENDED),
        _data(facts, step, FactKind.SIGNALLED, "payload"),
    )


def _data(facts: Facts, step: str, kind: FactKind, field: str = "") -> dict[str, Any] | None:
    stated = facts.get((step, kind))
    if stated is None:
        return None
    found: dict[str, Any] | None = stated.fact.data.get(field) if field else stated.fact.data
    return found


def _words(wish: Recorded) -> dict[str, str]:
    return {name: str(wish.fact.data.get(name, "")) for name in ("by", "reason")}


def _rest(step: str, facts: Facts, trigger: Trigger, rest: Recorded) -> Decision:
    """What a fact means to a step at rest."""
    if _ends(step, facts, trigger, rest):
        before = facts.get((step, FactKind.WOKEN))
        return Wake(rest.sequence, before.sequence if before else 0, ".".join(trigger.key))
    if due := due_of(rest):
        return Sleep(due)
    return Wait(f"rests since it stated {rest.fact.kind}")


def _ends(step: str, facts: Facts, trigger: Trigger, rest: Recorded) -> bool:
    given_up = rest.fact.kind == FactKind.COMPENSATION_FAILED
    if trigger.key == RESUMED_KEY:
        return rest.fact.kind == FactKind.HELD and not paused(facts)
    if trigger.key[0] != step:
        return False
    match trigger.key[1]:
        case FactKind.SIGNALLED:
            return takes_signals(rest)
        case FactKind.SKIP_REQUESTED:
            # What was said of an earlier rest does not give up this undo; a wish to skip forward stays a wish.
            return trigger.sequence > rest.sequence or not given_up
        case FactKind.RETRY_REQUESTED:
            return given_up and trigger.sequence > rest.sequence
        case _:
            return False


def _decide_wave(definition: SagaDefinition, step: str, facts: Facts, trigger: Trigger) -> Decision:
    if (step, FactKind.STARTED) not in facts:
        return Ignore("the saga is aborted and the step never started")
    if all_passed(definition, facts) and not by_parent(facts):
        # Nothing fences an abort on the last step: a cancel or deadline may be stored just after it.
        return Ignore("the saga had completed before it was aborted")
    if said := _first(facts, step, CLOSED):
        return Ignore(f"the step is already closed: {said}")
    if rest := rests(facts, step, undoing=True):
        return _rest(step, facts, trigger, rest)
    before = Before(facts, facts[ABORTED_KEY].sequence)
    at_work = _at_work(step, facts)
    ended = bool(_first(facts, step, SPOKEN) or rests(before, step, undoing=False))
    if at_work is None and not ended and trigger.sequence != _last_cause(definition, step, before):
        return Ignore("in flight: the delivery that runs it closes it, now or when it comes again")
    if at_work is None and ended and trigger.sequence < facts[ABORTED_KEY].sequence:
        return Ignore("the abort and the closing of later steps trigger the undo")
    if still_open := open_steps(definition, facts, among=definition.graph.descendants[step]):
        return Wait(f"waits for {', '.join(sorted(still_open))} to close first")
    if at_work is None and ended and trigger.sequence != _last_of_wave(definition, step, facts):
        return Wait("a later fact is the last one of the wave, and triggers the undo")
    if at_work is not None and trigger.sequence != at_work:
        return Wait("another delivery is at work on the undo")
    if (step, FactKind.COMPENSATION_FAILED) in facts and (wanted := skip_wanted(facts, step)):
        return GiveUp(**_words(wanted))
    return _close(step, facts, trigger)


def _at_work(step: str, facts: Facts) -> int | None:
    """The sequence of the fact whose delivery has begun with the undo, once that has been stated."""
    wake = facts.get((step, FactKind.WOKEN))
    # A step may be woken to go forward just after the abort: that says nothing of its undo.
    if wake and wake.fact.data["rest"] > facts[ABORTED_KEY].sequence:
        return wake.sequence
    failed = facts.get((step, FactKind.ATTEMPT_FAILED))
    if failed and failed.fact.data.get("compensation"):
        return int(failed.fact.data.get("on", 0)) or None
    return None


def _close(step: str, facts: Facts, trigger: Trigger) -> Decision:
    failed = facts.get((step, FactKind.FAILED))
    refusal = trigger.refused or (Failure.model_validate(failed.fact.data["failure"]) if failed else None)
    if refusal is not None and refusal.effect == "none":
        return StandDown(refusal.code)
    completed = facts.get((step, FactKind.COMPLETED))
    return Compensate(
        input=facts[step, FactKind.STARTED].fact.data["input"],
        output=completed.fact.data["output"] if completed else None,
    )


def _last_cause(definition: SagaDefinition, step: str, facts: Facts) -> int:
    """The sequence of the fact whose delivery, and no other, runs the step: what woke it after a rest,
    else the last of the facts it needs."""
    if (step, FactKind.WOKEN) in facts:
        return facts[step, FactKind.WOKEN].sequence
    return max([facts[key].sequence for key in causes(definition, step) if key in facts], default=0)


def _last_of_wave(definition: SagaDefinition, step: str, facts: Facts) -> int:
    closes = (
        facts[later, kind].sequence
        for later in definition.graph.descendants[step]
        for kind in CLOSED
        if (later, kind) in facts
    )
    return max(facts[ABORTED_KEY].sequence, *closes, 0)


def taken_over(definition: SagaDefinition, step: str, fact: Fact) -> str:
    """The saga from which this step was taken over, by what any fact of its saga says; empty if it was not.

    Raises InvalidContract if the fact's directives cannot be read.
    """
    redrives = directives_of(fact.directives).redrives if fact.directives else None
    if redrives is None or step in runs_again(definition.graph, redrives.from_steps):
        return ""
    return redrives.saga_id


@lru_cache(maxsize=4096)
def runs_again(graph: Graph, from_steps: tuple[str, ...]) -> frozenset[str]:
    """The steps that run in a redrive from these steps."""
    return frozenset(from_steps).union(*(graph.descendants.get(step, ()) for step in from_steps))


def open_steps(definition: SagaDefinition, facts: Facts, among: Iterable[str]) -> set[str]:
    """The steps that have started and are not closed: what an aborted saga still has to undo."""
    return {step for step in among if (step, FactKind.STARTED) in facts and not _first(facts, step, CLOSED)}


def needs(definition: SagaDefinition, step: str) -> tuple[tuple[FactKey, ...], ...]:
    """What a step needs to be due: of each group, one fact."""
    return _needs(definition.graph, step)


def _passing_facts(graph: Graph, step: str) -> tuple[FactKey, ...]:
    """The facts of a step after which the steps that follow it may run."""
    kinds = SPOKEN if step in graph.continues else (FactKind.COMPLETED, FactKind.SKIPPED)
    return tuple((step, kind) for kind in kinds)


@lru_cache(maxsize=8192)
def _needs(graph: Graph, step: str) -> tuple[tuple[FactKey, ...], ...]:
    before = graph.predecessors[step]
    return tuple(_passing_facts(graph, name) for name in before) if before else ((STARTED_KEY,),)


@lru_cache(maxsize=8192)
def _causes(graph: Graph, step: str) -> frozenset[FactKey]:
    return frozenset(key for group in _needs(graph, step) for key in group)


def causes(definition: SagaDefinition, step: str) -> frozenset[FactKey]:
    """The facts that can trigger a step forward."""
    return _causes(definition.graph, step)


@lru_cache(maxsize=8192)
def _wakes(step: str) -> frozenset[FactKey]:
    """The facts that can end a rest of a step, and the one that says that it has ended."""
    own = (FactKind.WOKEN, FactKind.SIGNALLED, FactKind.SKIP_REQUESTED, FactKind.RETRY_REQUESTED)
    return frozenset({RESUMED_KEY, *((step, kind) for kind in own)})


def heard_by(definition: SagaDefinition, step: str) -> frozenset[FactKey]:
    """All facts the participant of a step listens to: what causes it or wakes it, the abort, later steps'
    closing."""
    closes = {(later, kind) for later in definition.graph.descendants[step] for kind in CLOSED}
    return causes(definition, step) | {ABORTED_KEY} | closes | _wakes(step)


def all_passed(definition: SagaDefinition, facts: Facts) -> bool:
    """Whether every step has let the saga pass: it has completed, and only its parent can turn it round."""
    graph = definition.graph
    return all(any(key in facts for key in _passing_facts(graph, step)) for step in graph.predecessors)


def by_parent(facts: Facts) -> bool:
    """Whether the saga's parent has turned it round, since what the parent does is undone."""
    aborted = facts.get(ABORTED_KEY)
    return aborted is not None and aborted.fact.data["cause"] == "parent"


def may_abort(definition: SagaDefinition, facts: Facts, *, parent: bool = False) -> bool:
    """Whether the saga can still be turned round: not aborted or completed yet, nor its pivot completed.

    Its `parent` can do so also after it has completed.
    """
    pivot = definition.pivot
    past_pivot = pivot is not None and (pivot.name, FactKind.COMPLETED) in facts
    completed = all_passed(definition, facts)
    if parent and completed:
        return not (past_pivot or by_parent(facts))
    return not (ABORTED_KEY in facts or past_pivot or completed)


def _first(facts: Facts, step: str, kinds: Iterable[str]) -> str:
    for kind in kinds:
        if (step, kind) in facts:
            return kind
    return ""
