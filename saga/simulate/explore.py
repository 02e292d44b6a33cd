"""Explore every state a saga can reach, breadth first, so that the first violation found has the shortest trace.

Safety is checked in every state. Liveness: every move that is no fault brings a saga forward (a fact, an
acknowledgement, a worker's next place), so such moves cannot go round in a circle, and a saga is stuck
exactly if there is a state without such a move in which it has not ended.
"""

from collections import Counter, deque
from collections.abc import Callable, Collection
from dataclasses import dataclass

from contracts.definition import SagaDefinition
from contracts.facts import Recorded
from contracts.subjects import SAGA_STEP
from saga.invariants import Breach, Effects, Invariant, end_breaches, rest_breaches
from saga.simulate.faults import Faults, Shell
from saga.simulate.ground import FORWARD, Label, State
from saga.simulate.ledger import unpack
from saga.simulate.moves import Moves
from saga.simulate.stream import Stream, World
from saga.state import SagaState

DEFAULT_MAX_STATES = 200_000


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken invariant and the shortest way there, one line per thing that happens."""

    invariant: str
    step: str
    detail: str
    trace: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SimulationReport:
    """What was explored. `complete` is false if the budget ended first, or a violation ended it early."""

    definition: str
    states: int
    violations: tuple[Violation, ...]
    complete: bool


def simulate(
    definition: SagaDefinition,
    *,
    max_states: int = DEFAULT_MAX_STATES,
    faults: Faults | None = None,
    shell: Shell | None = None,
    compensable: Collection[str] | None = None,
    redriven_from: tuple[str, ...] = (),
    max_violations: int = 1,
) -> SimulationReport:
    """Explore the definition's every state under these faults, until `max_states` or `max_violations`.

    `compensable` names the steps whose action has an undo; without it all of them are taken to have one.
    `redriven_from`: the saga is a redrive from these steps, which has taken over the others.
    """
    model = _Model(World(definition, compensable, redriven_from), faults or Faults(), shell or Shell())
    return _Exploration(model, max_violations).run(max_states)


@dataclass(frozen=True, slots=True)
class Walked:
    """One schedule at its end: every fact, the saga's state, what really happened, and what was broken."""

    facts: tuple[Recorded, ...]
    state: SagaState
    effects: Effects
    trace: tuple[str, ...]
    breaches: tuple[Breach, ...]


def walk(
    definition: SagaDefinition, choose: Callable[[int], int], *, faults: Faults, patience: int = 200,
    redriven_from: tuple[str, ...] = (),
) -> Walked:  # fmt: skip
    """One schedule until nothing moves: a fault in about one move of ten, none after `patience` moves.

    `choose(n)` gives a number below n; `redriven_from` as in `simulate`.
    """
    model = _Model(World(definition, redriven_from=redriven_from), faults, Shell())
    starts = model.moves.initial()
    state = starts[choose(len(starts))]
    trace: list[str] = []
    while True:
        moves = list(model.moves.of(state))
        fair = [move for move in moves if move[0].fair]
        faulty = [move for move in moves if not move[0].fair] if len(trace) < patience else []
        breaches = model.breaches(state) or ([] if fair else model.end_breaches(state))
        allowed = faulty if not fair or (faulty and choose(10) == 0) else fair
        if breaches or not allowed:
            stream = model.stream(state)
            effects = model.effects(state)
            return Walked(stream.facts, stream.story.state, effects, tuple(trace), tuple(breaches))
        label, state = allowed[choose(len(allowed))]
        trace.append(model.moves.explain(label, state))


class _Model:
    """What can be asked about a state."""

    def __init__(self, world: World, faults: Faults, shell: Shell) -> None:
        self.moves = Moves(world, faults, shell)
        self._names = self.moves.world.names
        # The same fact stored twice, or a delivery in two hands, may run a step twice: the guard is for that.
        rests = faults.pauses or faults.parks or faults.wishes
        again = faults.zombies or faults.forgetful
        self._one_run = not (faults.stored_twice or (rests and again))

    def stream(self, state: State) -> Stream:
        return self.moves.world.streams[state.stream]

    def effects(self, state: State) -> Effects:
        return {name: unpack(packed).effects for name, packed in zip(self._names, state.ledger, strict=True)}

    def breaches(self, state: State) -> list[Breach]:
        stream = self.stream(state)
        found = stream.breaches or stream.effect_breaches(state.ledger, lambda: self.effects(state))
        return found or (self._double_runs(state) if self._one_run and len(state.workers) > 1 else [])

    def end_breaches(self, state: State) -> list[Breach]:
        """What is broken if nothing moves any more."""
        stream = self.stream(state)
        return end_breaches(stream.story.state) + rest_breaches(self.moves.world.definition, stream.by_key)

    def _double_runs(self, state: State) -> list[Breach]:
        running = {worker[:2] for worker in state.workers if worker.place in FORWARD}
        steps = Counter(step for step, _ in running)
        return [
            Breach(Invariant.ONE_RUN, self._names[step], f"{count} deliveries run it at the same time")
            for step, count in steps.items()
            if count > 1
        ]


class _Exploration:
    def __init__(self, model: _Model, max_violations: int) -> None:
        self._ref = model.moves.world.definition.ref
        self._model = model
        self._max_violations = max_violations
        self._parents: dict[State, tuple[State, Label] | None] = {}
        self._violations: dict[str, Violation] = {}

    def run(self, max_states: int) -> SimulationReport:
        starts = self._model.moves.initial()
        waiting = deque(starts)
        self._parents.update(dict.fromkeys(starts))
        while waiting and len(self._violations) < self._max_violations and len(self._parents) < max_states:
            state = waiting.popleft()
            breaches = self._model.breaches(state) or self._expand(state, waiting)
            if breaches:
                self._report(state, breaches[0])
        found = tuple(self._violations.values())
        return SimulationReport(self._ref, len(self._parents), found, complete=not waiting and not found)

    def _expand(self, state: State, waiting: deque[State]) -> list[Breach]:
        moving = False
        try:
            for label, after in self._model.moves.of(state):
                moving = moving or label.fair
                if after not in self._parents:
                    self._parents[after] = (state, label)
                    waiting.append(after)
        except Exception as error:
            # The core must have an answer to everything the shell can ask it.
            return [Breach(Invariant.NO_ERROR, SAGA_STEP, f"{type(error).__name__}: {error}")]
        return [] if moving else self._model.end_breaches(state)

    def _report(self, state: State, breach: Breach) -> None:
        trace = self._trace(state)
        violation = Violation(breach.invariant.value, breach.step, breach.detail, trace)
        self._violations.setdefault(violation.invariant, violation)

    def _trace(self, state: State) -> tuple[str, ...]:
        lines = []
        while (parent := self._parents[state]) is not None:
            before, label = parent
            lines.append(self._model.moves.explain(label, state))
            state = before
        return tuple(reversed(lines))
