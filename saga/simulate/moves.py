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
    SKIP_WISH  bar the effect in the guard, then SKIP; KEEP bars the undo, then GIVE_UP states that there is none
    HOLD / WAKE                          state that the step is held or woken, fenced on what was read
    ARM        arm the timer of a parked step, after `attempt_failed` or when it is found parked
    acknowledgement                      in one move with the last thing stated, or a crash between them

A worker may crash in every place. Reductions, and why they are sound: a refused publish and the reading
that follows are one move (the abort stays, so the refusal does); an attempt that is tried again is the
crash of its worker (a nak is a redelivery, and `attempt_failed` moves nobody), unless the step is parked; a
delivery that the core answers with `Wait` or `Ignore` is dropped at once. That it will get no other answer
later is checked for every stream that is reached (`waiting_is_final`), but for answers that another delivery
gives anyway; so nothing is lost by not delivering it later. A wish to skip is never dropped early, since it
may wake whatever rest comes after it.
The value of a condition is chosen once per saga, because its data never changes.
"""

from collections.abc import Iterator

from contracts.facts import FactKind
from contracts.subjects import SAGA_STEP
from saga.decisions import Compensate, Decision, GiveUp, Hold, Run, Skip, Sleep, StandDown, Wake
from saga.simulate.effects import EffectMoves
from saga.simulate.ground import (
    EFFECTS,
    STATES,
    Label,
    Move,
    Note,
    Place,
    State,
    Worker,
    bits,
    move,
    name_of,
    says,
    with_bit,
    with_worker,
)
from saga.simulate.intervene import RestMoves
from saga.simulate.stream import BY_PARENT, Stream
from saga.state import SagaStatus


class Moves(EffectMoves, RestMoves):
    """All moves of one definition under given faults."""

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
            self.faults.pauses, self.faults.wishes, nothing,
        )  # fmt: skip
        return [self.store(first._replace(conditions=choice), self.world.root) for choice in choices]

    def explain(self, label: Label, after: State) -> str:
        """One line of a trace."""
        step = self.world.names[label.step] if label.step >= 0 else ""
        heard = self.world.streams[after.stream].facts[label.sequence - 1].fact if label.sequence else None
        about = f" [on {heard.subject}.{heard.kind} #{label.sequence}]" if heard else ""
        return f"{step}{': ' if step else ''}{label.what}{about}"

    def of(self, state: State) -> Iterator[Move]:
        """Everything that can happen next."""
        stream = self.world.streams[state.stream]
        if self.faults.cancel and not stream.aborted and not self.past_pivot(stream):
            after = self.store(state, stream.then(SAGA_STEP, FactKind.ABORTED))
            yield Label("the saga is cancelled, or its deadline passes", fair=False), after
        if self.faults.parent and self._parent_may_abort(stream):
            after = self.store(state, stream.then(SAGA_STEP, FactKind.ABORTED, note=BY_PARENT))
            yield Label("its parent turns the saga round", fair=False), after
        if self.faults.pauses or self.faults.wishes:
            yield from self.persons(state, stream)
        for step in range(len(self.world.names)):
            if state.timers[step]:
                yield from self.timer(state, stream, step)
            if state.todo[step] or state.duplicates:
                yield from self._deliveries(state, stream, step)
        for worker in state.workers:
            yield from self._work(state, stream, worker)
            if self.faults.crashes:
                label = Label("its worker crashes", worker.step, worker.sequence, fair=False)
                yield label, self.lost(state, worker)

    def _parent_may_abort(self, stream: Stream) -> bool:
        return not self.past_pivot(stream) and (
            not stream.aborted or stream.story.state.status == SagaStatus.COMPLETED
        )

    # Hearing

    def _deliveries(self, state: State, stream: Stream, step: int) -> Iterator[Move]:
        held = {worker.sequence for worker in state.workers if worker.step == step}
        for sequence in bits(state.todo[step]):
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
                    lost = state._replace(seen=with_bit(state.seen, step, sequence))
                    yield Label("delivered, and its worker crashes", step, sequence, fair=False), lost
            if seen and self.faults.forgetful:
                what = "redelivered as if for the first time"
                yield from self._deliver(state, stream, step, sequence, False, what)
        if state.duplicates:
            dead, _ = stream.dead(step, state.conditions)
            for sequence in bits(stream.heard[step] & ~state.todo[step] & ~dead):
                after = state._replace(
                    todo=with_bit(state.todo, step, sequence),
                    seen=with_bit(state.seen, step, sequence),
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
        readings = ["forward" if forward else "whole"]
        if forward and not owner and self.world.blind[step]:
            # What a person has said reaches a participant a little later than the stream.
            readings = ["trigger", "forward"] if stream.watched else ["trigger"]
        state = state._replace(seen=with_bit(state.seen, step, sequence))
        if not self.shell.ack_last:
            state = self.acknowledged(state, step, sequence)
        for reading in readings:
            decision = stream.decide(step, sequence, owner, state.conditions, reading=reading)
            label = Label(f"{what}, {name_of(decision)}", step, sequence, fair)
            first = self._first_place(decision, stream, step)
            if first is None:
                yield label, self.acknowledged(state, step, sequence)
            else:
                yield label, with_worker(state, Worker(step, sequence, first[0], note=first[1]))

    def _first_place(self, decision: Decision, stream: Stream, step: int) -> tuple[Place, Note] | None:
        match decision:
            case Run(resumed=resumed):
                opens = self.world.opens[step] and self.shell.write_ahead
                return (Place.START if opens and not resumed else Place.EFFECT), ()
            case Skip(by=by):
                return (Place.SKIP_WISH if by else Place.SKIP), ()
            case Compensate():
                return Place.UNDO, self.given_up(stream, step)
            case StandDown():
                return Place.STAND_DOWN, ()
            case GiveUp():
                return Place.KEEP, ()
            case Hold(paused=pause):
                return Place.HOLD, (pause,)
            case Wake(rest=rest, woken=before):
                return Place.WAKE, (rest, before)
            case Sleep() if self.shell.sleep_arms:
                return Place.ARM, self.parked(stream, step)
            case _:
                return None

    # Working

    def _work(self, state: State, stream: Stream, worker: Worker) -> Iterator[Move]:
        match worker.place:
            case Place.START | Place.COMPLETE | Place.SKIP:
                yield from self._state_fenced(state, stream, worker)
            case Place.FAIL_NONE | Place.FAIL_UNKNOWN:
                yield from self._fail(state, stream, worker)
            case Place.EFFECT | Place.CALL | Place.CONCLUDE:
                yield from self._do(state, stream, worker)
            case Place.UNDO:
                yield from self.undo(state, stream, worker)
            case Place.UNDO_OUTSIDE:
                yield from self.undo_outside(state, worker)
            case Place.TOMBSTONE:
                yield from self.tombstone(state, stream, worker)
            case Place.KEEP:
                yield from self.keep(state, worker)
            case Place.SKIP_WISH:
                yield from self.skip_wish(state, stream, worker)
            case Place.HOLD | Place.WAKE | Place.ARM:
                yield from self.rest(state, stream, worker)
            case _:
                yield from self._close(state, stream, worker)

    def _do(self, state: State, stream: Stream, worker: Worker) -> Iterator[Move]:
        match worker.place:
            case Place.EFFECT:
                return self.effect(state, stream, worker)
            case Place.CALL:
                return self.call(state, stream, worker)
            case _:
                return self.conclude(state, stream, worker)

    def _state_fenced(self, state: State, stream: Stream, worker: Worker, effect: str = "") -> Iterator[Move]:
        kind = STATES[Place(worker.place)]
        if stream.aborted and self.shell.fence:
            yield says(worker, f"is refused {kind} by the fence"), self.owned(state, stream, worker, effect)
            return
        if stream.holds(worker.step, kind) and not worker.again:
            yield says(worker, f"states {kind} again, and it is dropped"), self._stated(state, worker)
            return
        note = worker.note if kind == FactKind.SKIPPED else ()
        after = stream.then(self.world.names[worker.step], kind, effect, note)
        stored = self.store(state, after)
        yield says(worker, f"states {kind}"), self._stated(stored, worker)
        yield from self.dies_before_its_acknowledgement(stored, worker, kind)
        if state.stored_twice and not worker.again:
            lost = move(state._replace(stored_twice=state.stored_twice - 1), worker, worker.place, again=True)
            label = Label(f"states {kind}, its PubAck is lost", worker.step, worker.sequence, fair=False)
            yield label, self.store(lost, after)

    def _stated(self, state: State, worker: Worker) -> State:
        return move(state, worker, Place.EFFECT) if worker.place == Place.START else self.done(state, worker)

    def _fail(self, state: State, stream: Stream, worker: Worker) -> Iterator[Move]:
        effect = EFFECTS[Place(worker.place)]
        continues = self.world.definition.steps[worker.step].on_error == "continue"
        if continues or self.past_pivot(stream):
            yield from self._state_fenced(state, stream, worker, effect)
        elif not stream.aborted:
            failed = stream.then(self.world.names[worker.step], FactKind.FAILED, effect)
            after = self.store(state, failed.then(SAGA_STEP, FactKind.ABORTED, effect))
            yield says(worker, f"fails (effect {effect}), and aborts the saga"), self.done(after, worker)
            yield from self.dies_before_its_acknowledgement(after, worker, FactKind.FAILED)
        elif stream.holds(worker.step, FactKind.FAILED):
            yield says(worker, "has failed already"), self.done(state, worker)
        else:
            label = says(worker, f"fails (effect {effect}), but the saga is aborted already")
            yield label, self.owned(state, stream, worker, effect)

    def _close(self, state: State, stream: Stream, worker: Worker) -> Iterator[Move]:
        kind = STATES[Place(worker.place)]
        name = self.world.names[worker.step]
        # Fenced on its own subject: stated before is as good as stated.
        note = worker.note if kind == FactKind.COMPENSATION_FAILED else ()
        if stream.last(name, kind) == (note[0] if note else 0):
            state = self.store(state, stream.then(name, kind, note=note))
        yield says(worker, f"states {kind}"), self.done(state, worker)
        yield from self.dies_before_its_acknowledgement(state, worker, kind)
