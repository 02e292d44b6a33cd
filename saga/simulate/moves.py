"""The modelled shell: from one state of a saga, everything that can happen next.

A state is the stream, per step the deliveries that are not acknowledged (`todo`) and those that were
handed out before (`seen`), the workers with their place in the program below, the guard's rows, and what
is left of the faults. A worker's program is that of `saga.participant`, cut where something else can see
or change what it does:

    delivery + reading + decision        one move: before it nothing is visible, so waiting changes nothing
    START      state `started`
    EFFECT     the guard's transaction (guarded), or the intent (external), then CALL and CONCLUDE
    COMPLETE / FAIL / SKIP               state the outcome; FAIL is one batch with the abort
    UNDO       the undo's transaction, for an external effect the undo, then TOMBSTONE its row
    COMPENSATED / STAND_DOWN / UNDO_FAILED    state the closing
    acknowledgement                      in one move with the last thing stated, or a crash between them

A worker may crash in every place. Reductions, and why they are sound: a refused publish and the reading
that follows are one move (the abort stays, so the refusal does); an attempt that is tried again is the
crash of its worker (a nak is a redelivery, and `attempt_failed` moves nobody); a delivery that the core
answers with `Wait` or `Ignore` is dropped at once. That it will get no other answer later is checked for
every stream that is reached (`waiting_is_final`), so nothing is lost by not delivering it later.
The value of a condition is chosen once per saga, because its data never changes.
"""

from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from contracts.facts import FactKind
from contracts.subjects import SAGA_STEP
from saga.choreography import Compensate, Decision, Run, Skip, StandDown
from saga.simulate.faults import Faults, Shell
from saga.simulate.ledger import Ledger, Row, unpack
from saga.simulate.stream import UNDO_ATTEMPT, Stream, World


class Place(IntEnum):
    """Where a worker stands: what it does next."""

    START = 0
    EFFECT = 1
    CALL = 2
    CONCLUDE = 3
    COMPLETE = 4
    FAIL_NONE = 5
    FAIL_UNKNOWN = 6
    SKIP = 7
    UNDO = 8
    TOMBSTONE = 9
    COMPENSATED = 10
    STAND_DOWN = 11
    UNDO_FAILED = 12
    UNDO_OUTSIDE = 13


FORWARD = frozenset(range(Place.START, Place.SKIP))
_STATES = {
    Place.START: FactKind.STARTED,
    Place.COMPLETE: FactKind.COMPLETED,
    Place.FAIL_NONE: FactKind.FAILED,
    Place.FAIL_UNKNOWN: FactKind.FAILED,
    Place.SKIP: FactKind.SKIPPED,
    Place.COMPENSATED: FactKind.COMPENSATED,
    Place.STAND_DOWN: FactKind.STOOD_DOWN,
    Place.UNDO_FAILED: FactKind.COMPENSATION_FAILED,
}
_DECIDED = (Row.EFFECT, Row.UNDONE, Row.UNDOING, Row.REFUSED_NONE, Row.REFUSED_UNKNOWN)
_OUTSIDE = (Row.INTENT, Row.SHARED, Row.REFUSED_UNKNOWN, Row.UNDOING)
_EFFECT = {Place.FAIL_NONE: "none", Place.FAIL_UNKNOWN: "unknown"}


class Worker(NamedTuple):
    """One delivery in somebody's hand. `again`: its PubAck was lost, and it states the same once more."""

    step: int
    sequence: int
    place: int
    again: bool = False


class State(NamedTuple):
    """One state of one saga. Packed, since hundreds of thousands are kept."""

    stream: int
    conditions: int
    todo: tuple[int, ...]
    seen: tuple[int, ...]
    workers: tuple[Worker, ...]
    ledger: tuple[int, ...]
    duplicates: int
    zombies: int
    stored_twice: int


class Label(NamedTuple):
    """What happened, in words that `Moves.explain` completes. `fair`: it is no fault, so it will happen."""

    what: str
    step: int = -1
    sequence: int = 0
    fair: bool = True


type Move = tuple[Label, State]


class Moves:
    """All moves of one definition under given faults."""

    def __init__(self, world: World, faults: Faults, shell: Shell) -> None:
        self.world = world
        self.faults = faults
        self.shell = shell

    def initial(self) -> list[State]:
        """The saga has just started: one state for every way its conditions can come out."""
        conditional = [index for index, step in enumerate(self.world.definition.steps) if step.when]
        choices = [0]
        for index in conditional:
            choices += [choice | 1 << index for choice in choices]
        nothing = (0,) * len(self.world.names)
        first = State(
            -1, 0, nothing, nothing, (), nothing,
            self.faults.duplicates, self.faults.zombies, self.faults.stored_twice,
        )  # fmt: skip
        return [self._store(first._replace(conditions=choice), self.world.root) for choice in choices]

    def explain(self, label: Label, after: State) -> str:
        """One line of a trace."""
        step = self.world.names[label.step] if label.step >= 0 else ""
        heard = self.world.streams[after.stream].facts[label.sequence - 1].fact if label.sequence else None
        about = f" [on {heard.subject}.{heard.kind} #{label.sequence}]" if heard else ""
        return f"{step}{': ' if step else ''}{label.what}{about}"

    def of(self, state: State) -> Iterator[Move]:
        """Everything that can happen next."""
        stream = self.world.streams[state.stream]
        if self.faults.cancel and not stream.aborted and not self._past_pivot(stream):
            after = self._store(state, stream.then(SAGA_STEP, FactKind.ABORTED))
            yield Label("the saga is cancelled, or its deadline passes", fair=False), after
        for step in range(len(self.world.names)):
            if state.todo[step] or state.duplicates:
                yield from self._deliveries(state, stream, step)
        for worker in state.workers:
            yield from self._work(state, stream, worker)
            if self.faults.crashes:
                label = Label("its worker crashes", worker.step, worker.sequence, fair=False)
                yield label, _without(state, worker)

    # Hearing

    def _deliveries(self, state: State, stream: Stream, step: int) -> Iterator[Move]:
        held = {worker.sequence for worker in state.workers if worker.step == step}
        for sequence in _bits(state.todo[step]):
            seen = bool(state.seen[step] >> sequence & 1)
            if sequence in held:
                busy = sum(worker[:2] == (step, sequence) for worker in state.workers)
                if state.zombies and busy == 1:
                    paused = state._replace(zombies=state.zombies - 1)
                    what = "handed to a second worker while the first lives"
                    yield from self._deliver(paused, stream, step, sequence, True, what, fair=False)
                continue
            if seen:
                yield from self._deliver(state, stream, step, sequence, True, "redelivered")
            else:
                yield from self._deliver(state, stream, step, sequence, False, "delivered")
                if self.faults.crashes:
                    lost = state._replace(seen=_with_bit(state.seen, step, sequence))
                    yield Label("delivered, and its worker crashes", step, sequence, fair=False), lost
            if seen and self.faults.forgetful:
                what = "redelivered as if for the first time"
                yield from self._deliver(state, stream, step, sequence, False, what)
        if state.duplicates:
            dead, _ = stream.dead(step, state.conditions)
            for sequence in _bits(stream.heard[step] & ~state.todo[step] & ~dead):
                after = state._replace(
                    todo=_with_bit(state.todo, step, sequence),
                    seen=_with_bit(state.seen, step, sequence),
                    duplicates=state.duplicates - 1,
                )
                yield Label("its acknowledgement is forgotten", step, sequence, fair=False), after

    def _deliver(
        self,
        state: State,
        stream: Stream,
        step: int,
        sequence: int,
        owner: bool,
        what: str,
        fair: bool = True,
    ) -> Iterator[Move]:
        forward = stream.forward(step, sequence)
        reading = "whole"
        if forward:
            reading = "trigger" if not owner and self.world.blind[step] else "forward"
        decision = stream.decide(step, sequence, owner, state.conditions, reading=reading)
        label = Label(f"{what}, {_name(decision)}", step, sequence, fair)
        state = state._replace(seen=_with_bit(state.seen, step, sequence))
        if not self.shell.ack_last:
            state = self._acknowledged(state, step, sequence)
        place = self._first_place(decision, step)
        if place is None:
            yield label, self._acknowledged(state, step, sequence)
        else:
            yield label, _with(state, Worker(step, sequence, place))

    def _first_place(self, decision: Decision, step: int) -> Place | None:
        match decision:
            case Run(resumed=resumed):
                opens = self.world.opens[step] and self.shell.write_ahead
                return Place.START if opens and not resumed else Place.EFFECT
            case Skip():
                return Place.SKIP
            case Compensate():
                return Place.UNDO
            case StandDown():
                return Place.STAND_DOWN
            case _:
                return None

    # Working

    def _work(self, state: State, stream: Stream, worker: Worker) -> Iterator[Move]:
        match worker.place:
            case Place.START | Place.COMPLETE | Place.SKIP:
                yield from self._state_fenced(state, stream, worker)
            case Place.FAIL_NONE | Place.FAIL_UNKNOWN:
                yield from self._fail(state, stream, worker)
            case Place.EFFECT:
                yield from self._effect(state, stream, worker)
            case Place.CALL:
                yield from self._call(state, stream, worker)
            case Place.CONCLUDE:
                yield from self._conclude(state, stream, worker)
            case Place.UNDO:
                yield from self._undo(state, stream, worker)
            case Place.UNDO_OUTSIDE:
                yield from self._undo_outside(state, worker)
            case Place.TOMBSTONE:
                after = self._ledger(state, worker, unpack(state.ledger[worker.step]).put(Row.UNDONE))
                yield _says(worker, "leaves the tombstone"), _move(after, worker, Place.COMPENSATED)
            case _:
                yield from self._close(state, stream, worker)

    def _state_fenced(self, state: State, stream: Stream, worker: Worker, effect: str = "") -> Iterator[Move]:
        kind = _STATES[Place(worker.place)]
        if stream.aborted and self.shell.fence:
            yield _says(worker, f"is refused {kind} by the fence"), self._owned(state, stream, worker, effect)
            return
        if stream.holds(worker.step, kind) and not worker.again:
            yield _says(worker, f"states {kind} again, and it is dropped"), self._stated(state, worker)
            return
        after = stream.then(self.world.names[worker.step], kind, effect)
        yield _says(worker, f"states {kind}"), self._stated(self._store(state, after), worker)
        if state.stored_twice and not worker.again:
            lost = _move(
                state._replace(stored_twice=state.stored_twice - 1), worker, worker.place, again=True
            )
            label = Label(f"states {kind}, its PubAck is lost", worker.step, worker.sequence, fair=False)
            yield label, self._store(lost, after)

    def _stated(self, state: State, worker: Worker) -> State:
        return (
            _move(state, worker, Place.EFFECT) if worker.place == Place.START else self._done(state, worker)
        )

    def _fail(self, state: State, stream: Stream, worker: Worker) -> Iterator[Move]:
        effect = _EFFECT[Place(worker.place)]
        continues = self.world.definition.steps[worker.step].on_error == "continue"
        if continues or self._past_pivot(stream):
            yield from self._state_fenced(state, stream, worker, effect)
        elif not stream.aborted:
            failed = stream.then(self.world.names[worker.step], FactKind.FAILED, effect)
            after = self._store(state, failed.then(SAGA_STEP, FactKind.ABORTED, effect))
            yield _says(worker, f"fails (effect {effect}), and aborts the saga"), self._done(after, worker)
        elif stream.holds(worker.step, FactKind.FAILED):
            yield _says(worker, "has failed already"), self._done(state, worker)
        else:
            label = _says(worker, f"fails (effect {effect}), but the saga is aborted already")
            yield label, self._owned(state, stream, worker, effect)

    def _past_pivot(self, stream: Stream) -> bool:
        return stream.past_pivot and self.shell.pivot_fence

    def _owned(self, state: State, stream: Stream, worker: Worker, refused: str = "") -> State:
        """The abort came first: read, and close the step as its owner."""
        decision = stream.decide(worker.step, worker.sequence, True, state.conditions, refused=refused)
        match decision:
            case Compensate():
                return _move(state, worker, Place.UNDO)
            case StandDown():
                return _move(state, worker, Place.STAND_DOWN)
            case _:
                return self._done(state, worker)

    def _close(self, state: State, stream: Stream, worker: Worker) -> Iterator[Move]:
        kind = _STATES[Place(worker.place)]
        # Fenced on its own subject: stated before is as good as stated.
        if not stream.holds(worker.step, kind):
            state = self._store(state, stream.then(self.world.names[worker.step], kind))
        yield _says(worker, f"states {kind}"), self._done(state, worker)

    # Effects

    def _effect(self, state: State, stream: Stream, worker: Worker) -> Iterator[Move]:
        ledger = unpack(state.ledger[worker.step])
        if self.faults.effects == "external":
            yield from self._intend(state, stream, worker, ledger)
        elif ledger.row == Row.NONE or not self.shell.guard:
            after = self._ledger(state, worker, ledger.happened().put(Row.EFFECT))
            yield _says(worker, "has its effect"), _move(after, worker, Place.COMPLETE)
            if self.faults.refusals:
                label = _says(worker, "refuses: no effect")
                yield label, self._refused(state, stream, worker, ledger, "none")
                yield from self._again(state, stream, worker, "none")
        else:
            yield self._decided(state, stream, worker, ledger)

    def _intend(self, state: State, stream: Stream, worker: Worker, ledger: Ledger) -> Iterator[Move]:
        if ledger.row in (Row.NONE, Row.INTENT, Row.SHARED):
            repeated = ledger.row != Row.NONE and self.shell.attempts_counted
            after = self._ledger(state, worker, ledger.put(Row.SHARED if repeated else Row.INTENT))
            yield _says(worker, "announces its effect"), _move(after, worker, Place.CALL)
        else:
            yield self._decided(state, stream, worker, ledger)

    def _call(self, state: State, stream: Stream, worker: Worker) -> Iterator[Move]:
        ledger = unpack(state.ledger[worker.step])
        done = ledger if ledger.done else ledger.happened()
        if not (ledger.barred or ledger.undone):
            after = self._ledger(state, worker, done)
            yield _says(worker, "has its effect outside"), _move(after, worker, Place.CONCLUDE)
            if self.faults.refusals:
                label = _says(worker, "has its effect outside, but gets no answer")
                yield label, self._refused(after, stream, worker, done, "unknown")
                yield from self._again(after, stream, worker, "unknown")
        if self.faults.refusals or ledger.barred or ledger.undone:
            for effect in ("none", "unknown"):
                label = _says(worker, f"fails outside (effect {effect})")
                yield label, self._refused(state, stream, worker, ledger, effect)
                yield from self._again(state, stream, worker, effect)

    def _refused(self, state: State, stream: Stream, worker: Worker, ledger: Ledger, effect: str) -> State:
        """The attempt failed for good: the guard decides what that means."""
        if ledger.row in _DECIDED:
            return self._decided(state, stream, worker, ledger)[1]
        if ledger.row == Row.SHARED:
            effect = "unknown"
        if self.shell.refusal_recorded and (effect == "none" or self.shell.unknown_recorded):
            row = Row.REFUSED_NONE if effect == "none" else Row.REFUSED_UNKNOWN
            state = self._ledger(state, worker, ledger.put(row))
        return _move(state, worker, Place.FAIL_NONE if effect == "none" else Place.FAIL_UNKNOWN)

    def _conclude(self, state: State, stream: Stream, worker: Worker) -> Iterator[Move]:
        ledger = unpack(state.ledger[worker.step])
        if ledger.row in (Row.INTENT, Row.SHARED):
            after = self._ledger(state, worker, ledger.put(Row.EFFECT))
            yield _says(worker, "records its effect"), _move(after, worker, Place.COMPLETE)
        else:
            yield self._decided(state, stream, worker, ledger)

    def _decided(self, state: State, stream: Stream, worker: Worker, ledger: Ledger) -> Move:
        """The guard's row was there first."""
        match ledger.row:
            case Row.EFFECT:
                return _says(worker, "finds its effect done"), _move(state, worker, Place.COMPLETE)
            case Row.REFUSED_NONE:
                return _says(worker, "finds its refusal"), _move(state, worker, Place.FAIL_NONE)
            case Row.REFUSED_UNKNOWN:
                return _says(worker, "finds its failure"), _move(state, worker, Place.FAIL_UNKNOWN)
        label = _says(worker, "finds the tombstone")
        if self.shell.gone_closes:
            return label, self._owned(state, stream, worker)
        return label, self._done(state, worker)

    def _undo(self, state: State, stream: Stream, worker: Worker) -> Iterator[Move]:
        ledger = unpack(state.ledger[worker.step])
        if ledger.row in (Row.EFFECT, *_OUTSIDE):
            if self.faults.undo_failures:
                yield _says(worker, "cannot be undone"), _move(state, worker, Place.UNDO_FAILED)
            yield from self._undo_again(state, stream, worker)
        if ledger.row == Row.REFUSED_NONE and self.shell.refusal_stays:
            yield _says(worker, "finds its refusal: nothing to undo"), _move(state, worker, Place.STAND_DOWN)
        elif ledger.row in _OUTSIDE or (ledger.row == Row.EFFECT and self.faults.effects == "external"):
            after = (
                self._ledger(state, worker, ledger.put(Row.UNDOING)) if self.shell.tombstone_first else state
            )
            yield _says(worker, "is about to be undone outside"), _move(after, worker, Place.UNDO_OUTSIDE)
        elif ledger.row == Row.EFFECT or not self.shell.guard:
            undone = ledger.reversed() if self.shell.guard else ledger.undone_again()
            after = self._ledger(state, worker, undone.put(Row.UNDONE))
            yield _says(worker, "is undone"), _move(after, worker, Place.COMPENSATED)
        else:
            after = self._ledger(state, worker, ledger.put(Row.UNDONE))
            yield _says(worker, "leaves a tombstone"), _move(after, worker, Place.COMPENSATED)

    def _undo_outside(self, state: State, worker: Worker) -> Iterator[Move]:
        ledger = unpack(state.ledger[worker.step])
        after = self._ledger(state, worker, ledger.reversed(bar=self.shell.bar))
        yield _says(worker, "is undone outside"), _move(after, worker, Place.TOMBSTONE)

    # Trying again

    def _again(self, state: State, stream: Stream, worker: Worker, effect: str) -> Iterator[Move]:
        """An attempt has failed and is to be repeated, unless the fence refuses to have it stated."""
        if not self.faults.retries or stream.holds(worker.step, FactKind.ATTEMPT_FAILED):
            return
        if stream.aborted:
            # With the guard asked this is the same as failing for good.
            if not self.shell.retries_ask_guard:
                label = _says(worker, f"fails (effect {effect}), to try again, but the saga is aborted")
                yield label, self._owned(state, stream, worker, effect)
        else:
            after = stream.then(self.world.names[worker.step], FactKind.ATTEMPT_FAILED, effect)
            label = _says(worker, f"fails (effect {effect}) and will try again")
            yield label, _without(self._store(state, after), worker)

    def _undo_again(self, state: State, stream: Stream, worker: Worker) -> Iterator[Move]:
        name = self.world.names[worker.step]
        if self.faults.retries and not stream.holds(worker.step, UNDO_ATTEMPT):
            after = _without(self._store(state, stream.then(name, UNDO_ATTEMPT, "unknown")), worker)
            yield _says(worker, "cannot be undone now, and will try again"), after

    # State

    def _done(self, state: State, worker: Worker) -> State:
        return self._acknowledged(_without(state, worker), worker.step, worker.sequence)

    def _acknowledged(self, state: State, step: int, sequence: int) -> State:
        keep = ~(1 << sequence)
        return state._replace(
            todo=_set(state.todo, step, state.todo[step] & keep),
            seen=_set(state.seen, step, state.seen[step] & keep),
        )

    def _ledger(self, state: State, worker: Worker, ledger: Ledger) -> State:
        return state._replace(ledger=_set(state.ledger, worker.step, ledger.pack()))

    def _store(self, state: State, stream: Stream) -> State:
        """With a new last fact (or two): their deliveries are due, and those that have become dead are not."""
        before = self.world.streams[state.stream].heard if state.stream >= 0 else None
        todo, seen = [], []
        for step, heard in enumerate(stream.heard):
            due = state.todo[step] | (heard & ~before[step] if before else heard)
            dead_seen, dead_fresh = stream.dead(step, state.conditions)
            due &= ~(state.seen[step] & dead_seen) & ~(~state.seen[step] & dead_fresh)
            todo.append(due)
            seen.append(state.seen[step] & due)
        return state._replace(stream=stream.id, todo=tuple(todo), seen=tuple(seen))


def _says(worker: Worker, what: str) -> Label:
    return Label(what, worker.step, worker.sequence)


def _name(decision: Decision) -> str:
    reason = f": {decision.reason}" if not isinstance(decision, Run | Skip | Compensate) else ""
    return f"{type(decision).__name__}{reason}"


def _bits(mask: int) -> Iterator[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def _set(values: tuple[int, ...], index: int, value: int) -> tuple[int, ...]:
    return values if values[index] == value else (*values[:index], value, *values[index + 1 :])


def _with_bit(masks: tuple[int, ...], step: int, sequence: int) -> tuple[int, ...]:
    return _set(masks, step, masks[step] | 1 << sequence)


def _with(state: State, worker: Worker) -> State:
    return state._replace(workers=tuple(sorted((*state.workers, worker))))


def _without(state: State, worker: Worker) -> State:
    workers = list(state.workers)
    workers.remove(worker)
    return state._replace(workers=tuple(workers))


def _move(state: State, worker: Worker, place: int, *, again: bool = False) -> State:
    return _with(_without(state, worker), Worker(worker.step, worker.sequence, place, again))
