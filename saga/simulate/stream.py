"""The modelled stream of one saga: a tree of what can have been stored, each node worked out once.

Most states of an exploration share their stream and differ in deliveries and workers only, so whatever
depends on the stream alone (the facts by key, the state, decisions, broken invariants) is kept here.
"""

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from contracts.definition import SagaDefinition
from contracts.directives import Directives, Redrives
from contracts.facts import ABORTED_KEY, PAUSED_KEY, RESUMED_KEY, Fact, FactKey, FactKind, Recorded
from contracts.failure import Failure
from contracts.ids import fact_id
from contracts.references import Scope
from contracts.subjects import SAGA_STEP
from saga import choreography
from saga.choreography import CLOSED, runs_again
from saga.decisions import Compensate, Decision, Ignore, Run, Sleep, Trigger, Wait, Wake
from saga.invariants import Breach, Effects, Invariant, Story, effect_breaches

SAGA_ID = "simulated"
_TIME = datetime(2000, 1, 1, tzinfo=UTC)
_DATA: Mapping[str, dict[str, Any]] = {
    FactKind.STARTED: {"input": {}, "attempt": 1},
    FactKind.COMPLETED: {"output": {}},
    FactKind.SKIPPED: {"reason": "condition is false"},
    FactKind.STOOD_DOWN: {"reason": "simulated.refused"},
    FactKind.COMPENSATED: {},
    FactKind.HELD: {"paused_by": "operator", "reason": "simulated"},
    FactKind.WOKEN: {"reason": "simulated"},
    FactKind.FAILED: {"attempt": 1},
    FactKind.COMPENSATION_FAILED: {"attempt": 1},
    **{
        kind: {"by": "operator", "reason": "simulated"}
        for kind in (
            FactKind.PAUSED, FactKind.RESUMED, FactKind.SKIP_REQUESTED, FactKind.RETRY_REQUESTED,
            FactKind.COMPENSATION_SKIPPED,
        )
    },
}  # fmt: skip
UNDO_ATTEMPT = "undo_attempt_failed"
"""`attempt_failed` of an undo: one kind of fact on the bus, but here it must not hide that of the step."""
BY_PERSON = (1,)
"""The note of a `skipped` that a person wanted."""
BY_PARENT = (2,)
"""The note of an `aborted` that the parent states."""
FAILURES: Mapping[str, Failure | None] = {
    "": None,
    "none": Failure(code="simulated.refused", message="refused", effect="none"),
    "unknown": Failure(code="simulated.timeout", message="no answer", effect="unknown"),
}


@lru_cache(maxsize=4096)
def simulated_fact(
    ref: str, step: str, kind: str, effect: str = "", note: tuple[int, ...] = (), directives: str = ""
) -> Fact:
    """One fact; `effect` tells a refusal from a failure with an unknown effect.

    `note` tells apart facts of a kind that may come more than once; of a failed attempt it is the delivery
    that works on the step, and 1 if the step is parked.
    """
    failure = FAILURES[effect]
    code, kind = kind, FactKind.ATTEMPT_FAILED if kind == UNDO_ATTEMPT else kind
    data = dict(_DATA.get(kind, {})) | ({"failure": failure.model_dump(mode="json")} if failure else {})
    if kind == FactKind.ABORTED:
        data["cause"] = "step" if failure else "parent" if note == BY_PARENT else "cancel"
    if kind == FactKind.ATTEMPT_FAILED:
        on, parked = note or (0, 0)
        data |= {
            "attempt": 1, "delay_s": 0.0, "not_before": _TIME.isoformat(),
            "compensation": code == UNDO_ATTEMPT, "on": on, "parked": bool(parked),
        }  # fmt: skip
    if kind == FactKind.SKIPPED and note == BY_PERSON:
        data["by"] = "operator"
    if kind == FactKind.WOKEN:
        data["rest"] = note[0] if note else 1
    return Fact(
        id=_id(step, code, note),
        source="/simulation",
        type=Fact.type_of(kind),
        subject=step,
        time=_TIME,
        sagaid=SAGA_ID,
        definition=ref,
        correlationid=SAGA_ID,
        directives=directives,
        data=data,
    )


def _id(step: str, code: str, note: tuple[int, ...]) -> str:
    several = note and code not in (FactKind.ATTEMPT_FAILED, UNDO_ATTEMPT, FactKind.SKIPPED)
    return fact_id(SAGA_ID, step, code, str(note[0]) if several else "")


class World:
    """What does not change during one exploration. `redriven_from`: the saga is a redrive from these steps."""

    def __init__(
        self,
        definition: SagaDefinition,
        compensable: Collection[str] | None = None,
        redriven_from: tuple[str, ...] = (),
    ) -> None:
        self.definition = definition
        redrives = Redrives(saga_id="redriven", from_steps=redriven_from) if redriven_from else None
        self.directives = Directives(redrives=redrives).encode()
        self.names = tuple(definition.by_name)
        self.index = {name: index for index, name in enumerate(self.names)}
        able = definition.by_name if compensable is None else compensable
        self.compensable = frozenset(s.name for s in definition.steps if s.compensate and s.name in able)
        self.opens = tuple(name in self.compensable for name in self.names)
        self.causes = tuple(choreography.causes(definition, name) for name in self.names)
        self.heard_by = tuple(choreography.heard_by(definition, name) for name in self.names)
        self.blind = tuple(len(definition.graph.predecessors[name]) <= 1 for name in self.names)
        self.streams: list[Stream] = []
        start = simulated_fact(definition.ref, SAGA_STEP, FactKind.STARTED, directives=self.directives)
        self.root = Stream(self, None, start)
        again = runs_again(definition.graph, redriven_from)
        for name in definition.graph.order if redriven_from else ():
            if name not in again:
                self.root = self.root.then(name, FactKind.COMPLETED)


class Stream:
    """The facts stored so far, the newest last."""

    def __init__(self, world: World, parent: "Stream | None", fact: Fact) -> None:
        self.world = world
        self._parent = parent
        self.facts: tuple[Recorded, ...] = parent.facts if parent else ()
        recorded = Recorded(len(self.facts) + 1, fact)
        self.facts += (recorded,)
        self.by_key: dict[FactKey, Recorded] = {**parent.by_key} if parent else {}
        self.by_key[fact.key] = recorded
        self._ids = {recorded.fact.id for recorded in self.facts}
        story: Story = parent.story if parent else Story.begin(world.definition)
        told = story.then(recorded)
        self.story: Story = told[0]
        broken: list[Breach] = told[1]
        self.breaches: list[Breach] = [*(parent.breaches if parent else ()), *broken]
        self.id = len(world.streams)
        world.streams.append(self)
        self.heard: tuple[int, ...] = tuple(
            (parent.heard[step] if parent else 0) | ((fact.key in keys) << len(self.facts))
            for step, keys in enumerate(world.heard_by)
        )
        """per step, the sequences its participant hears, as bits"""
        self._next: dict[tuple[object, ...], Stream] = {}
        self._decisions: dict[tuple[object, ...], Decision] = {}
        self._dead: dict[tuple[int, int], tuple[int, int]] = {}
        self._effects: dict[tuple[int, ...], list[Breach]] = {}

    @property
    def aborted(self) -> bool:
        return ABORTED_KEY in self.by_key

    @property
    def paused(self) -> bool:
        return self.last(SAGA_STEP, FactKind.PAUSED) > self.last(SAGA_STEP, FactKind.RESUMED)

    @property
    def last_word(self) -> int:
        """The sequence of the last fact about the saga as a whole."""
        return max(fact.sequence for (step, _), fact in self.by_key.items() if step == SAGA_STEP)

    @property
    def watched(self) -> bool:
        """Whether somebody has had a say, so that steps are read before they run (unless it is too soon)."""
        return any(kind in (FactKind.PAUSED, FactKind.SKIP_REQUESTED) for _, kind in self.by_key)

    def last(self, step: str, kind: str) -> int:
        """The sequence of the last fact of a kind, 0 without one."""
        found = self.by_key.get((step, kind))
        return found.sequence if found else 0

    def holds(self, step: int, kind: str, note: tuple[int, ...] = ()) -> bool:
        return _id(self.world.names[step], kind, note) in self._ids

    @property
    def past_pivot(self) -> bool:
        pivot = self.world.definition.pivot
        return pivot is not None and (pivot.name, FactKind.COMPLETED) in self.by_key

    def then(self, step: str, kind: str, effect: str = "", note: tuple[int, ...] = ()) -> "Stream":
        """With one more fact stored."""
        found = self._next.get((step, kind, effect, note))
        if found is None:
            fact = simulated_fact(self.world.definition.ref, step, kind, effect, note, self.world.directives)
            found = self._next[step, kind, effect, note] = Stream(self.world, self, fact)
        return found

    def forward(self, step: int, sequence: int) -> bool:
        return self.facts[sequence - 1].fact.key in self.world.causes[step]

    def decide(
        self,
        step: int,
        sequence: int,
        owner: bool,
        conditions: int,
        *,
        refused: str = "",
        reading: str = "whole",
    ) -> Decision:
        """What the core says. `reading`: `trigger` alone, `forward` (as for a join) or `whole`."""
        key = (step, sequence, owner, conditions >> step & 1, refused, reading)
        found = self._decisions.get(key)
        if found is None:
            found = self._decisions[key] = self._decide(step, sequence, owner, conditions, refused, reading)
        return found

    def _decide(
        self, step: int, sequence: int, owner: bool, conditions: int, refused: str, reading: str
    ) -> Decision:
        heard = self.facts[sequence - 1]
        name = self.world.names[step]
        facts: Mapping[FactKey, Recorded] = self.by_key
        if reading == "trigger":
            facts = {heard.fact.key: heard}
        elif reading == "forward":
            wanted = self.world.causes[step] | {ABORTED_KEY, PAUSED_KEY, RESUMED_KEY}
            facts = {key: fact for key, fact in facts.items() if key in wanted or key[0] == name}
        truth = bool(conditions >> step & 1)
        trigger = Trigger(sequence=sequence, key=heard.fact.key, owner=owner, refused=FAILURES[refused])

        def condition_holds(expression: str, scope: Scope) -> bool:
            return truth

        decision = choreography.decide(self.world.definition, name, facts, trigger, condition_holds)
        if reading != "trigger":
            self._check_heeded(name, sequence, decision)
        return decision

    def _check_heeded(self, name: str, sequence: int, decision: Decision) -> None:
        """Whoever has read what a person has said acts on it."""
        wish, failed = (
            self.last(name, kind) for kind in (FactKind.SKIP_REQUESTED, FactKind.COMPENSATION_FAILED)
        )
        unwanted = wish > self.last(name, FactKind.RETRY_REQUESTED)
        if isinstance(decision, Run) and not decision.resumed and self.paused:
            detail = f"read that the saga is paused, and runs on #{sequence}"
            self.breaches.append(Breach(Invariant.HELD_BACK, name, detail))
        if unwanted and (
            isinstance(decision, Run) or (isinstance(decision, Compensate) and wish > failed > 0)
        ):
            detail = f"read that it is to be skipped, and acts on #{sequence}"
            self.breaches.append(Breach(Invariant.ANSWERED, name, detail))

    def dead(self, step: int, conditions: int) -> tuple[int, int]:
        """The deliveries to a step that nothing will come of whenever they come: if seen before, and if fresh."""
        truth = conditions >> step & 1
        found = self._dead.get((step, truth))
        if found is None:
            found = self._dead[step, truth] = self._find_dead(step, conditions)
            self._check_stable(step, conditions, found)
        return found

    def _find_dead(self, step: int, conditions: int) -> tuple[int, int]:
        seen = fresh = 0
        for sequence in range(1, len(self.facts) + 1):
            if not self.heard[step] >> sequence & 1:
                continue
            forward = self.forward(step, sequence)
            reading = "forward" if forward else "whole"
            if any(self._acts(step, sequence, owner, conditions, reading) for owner in (False, True)):
                continue
            if self._may_wake_later(step, sequence):
                continue
            seen |= 1 << sequence
            if not (forward and self.world.blind[step]):
                fresh |= 1 << sequence
            elif self.aborted and self.world.opens[step]:
                # It would run without a reading, be refused its `started`, read, and do nothing.
                fresh |= (not self._acts(step, sequence, True, conditions, "whole")) << sequence
        return seen, fresh

    def _acts(self, step: int, sequence: int, owner: bool, conditions: int, reading: str) -> bool:
        return not isinstance(self.decide(step, sequence, owner, conditions, reading=reading), Wait | Ignore)

    def _check_stable(self, step: int, conditions: int, found: tuple[int, int]) -> None:
        """Dropping a delivery early is sound only if it has nothing to do later, either."""
        if self._parent is None:
            return
        revived = self._parent.dead(step, conditions)[0] & ~found[0]
        for sequence in range(1, revived.bit_length()):
            if revived >> sequence & 1 and not self._harmless(step, sequence, conditions):
                detail = f"its delivery of #{sequence} had nothing to do, and after #{len(self.facts)} it has"
                self.breaches.append(Breach(Invariant.STABLE, self.world.names[step], detail))

    def _may_wake_later(self, step: int, sequence: int) -> bool:
        """A wish to skip stays a wish: delivered late, it ends a rest that began after it."""
        name, kind = self.facts[sequence - 1].fact.key
        if kind != FactKind.SKIP_REQUESTED:
            return False
        return not (self.story.state.ended or any((name, closed) in self.by_key for closed in CLOSED))

    def _harmless(self, step: int, sequence: int, conditions: int) -> bool:
        """What a delivery comes to do late may be what another does anyway: nothing is lost without it.

        To arm a timer that whoever parked the step arms; to wake as the newest fact wakes; and to go on with
        an undo that a worker of this very delivery has begun, who holds it still.
        """
        name, newest = self.world.names[step], len(self.facts)
        failed = self.by_key.get((name, FactKind.ATTEMPT_FAILED))
        if failed and failed.fact.data["on"] == sequence:
            return True
        decision = self.decide(step, sequence, True, conditions)
        if isinstance(decision, Wake) and self.heard[step] >> newest & 1:
            again = self.decide(step, newest, True, conditions)
            return isinstance(again, Wake) and again.rest == decision.rest
        return isinstance(decision, Sleep)

    def effect_breaches(self, ledger: tuple[int, ...], effects: Callable[[], Effects]) -> list[Breach]:
        """What is broken if these effects are there; `effects` decodes them."""
        found = self._effects.get(ledger)
        if found is None:
            world = self.world
            found = self._effects[ledger] = effect_breaches(
                world.definition, self.by_key, self.story.state.status, effects(), world.compensable
            )
        return found
