"""What a worker can do and undo: the guard's transaction, or an effect outside and its intent."""

from collections.abc import Iterator

from contracts.facts import FactKind
from saga.simulate.ground import Ground, Move, Place, State, Worker, move, says, without
from saga.simulate.ledger import Ledger, Row, unpack
from saga.simulate.stream import BY_PERSON, UNDO_ATTEMPT, Stream

_SKIPPED = (Row.SKIP_NONE, Row.SKIP_UNKNOWN)
_DECIDED = (Row.EFFECT, Row.UNDONE, Row.UNDOING, Row.REFUSED_NONE, Row.REFUSED_UNKNOWN, Row.KEPT, *_SKIPPED)
_OUTSIDE = (Row.INTENT, Row.SHARED, Row.REFUSED_UNKNOWN, Row.SKIP_UNKNOWN, Row.UNDOING)


class EffectMoves(Ground):
    """The places from EFFECT to CONCLUDE and from UNDO to TOMBSTONE."""

    def effect(self, state: State, stream: Stream, worker: Worker) -> Iterator[Move]:
        ledger = unpack(state.ledger[worker.step])
        if self.faults.effects == "external":
            yield from self._intend(state, stream, worker, ledger)
        elif ledger.row == Row.NONE or not self.shell.guard:
            after = self.put(state, worker, ledger.happened().put(Row.EFFECT))
            yield says(worker, "has its effect"), move(after, worker, Place.COMPLETE)
            if self.faults.refusals:
                label = says(worker, "refuses: no effect")
                yield label, self._refused(state, stream, worker, ledger, "none")
                yield from self._again(state, stream, worker, "none")
        else:
            yield self._decided(state, stream, worker, ledger)

    def _intend(self, state: State, stream: Stream, worker: Worker, ledger: Ledger) -> Iterator[Move]:
        if ledger.row in (Row.NONE, Row.INTENT, Row.SHARED):
            repeated = ledger.row != Row.NONE and self.shell.attempts_counted
            after = self.put(state, worker, ledger.put(Row.SHARED if repeated else Row.INTENT))
            yield says(worker, "announces its effect"), move(after, worker, Place.CALL)
        else:
            yield self._decided(state, stream, worker, ledger)

    def call(self, state: State, stream: Stream, worker: Worker) -> Iterator[Move]:
        ledger = unpack(state.ledger[worker.step])
        done = ledger if ledger.done else ledger.happened()
        if not (ledger.barred or ledger.undone):
            after = self.put(state, worker, done)
            yield says(worker, "has its effect outside"), move(after, worker, Place.CONCLUDE)
            if self.faults.refusals:
                label = says(worker, "has its effect outside, but gets no answer")
                yield label, self._refused(after, stream, worker, done, "unknown")
                yield from self._again(after, stream, worker, "unknown")
        if self.faults.refusals or ledger.barred or ledger.undone:
            for effect in ("none", "unknown"):
                label = says(worker, f"fails outside (effect {effect})")
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
            state = self.put(state, worker, ledger.put(row))
        return move(state, worker, Place.FAIL_NONE if effect == "none" else Place.FAIL_UNKNOWN)

    def conclude(self, state: State, stream: Stream, worker: Worker) -> Iterator[Move]:
        ledger = unpack(state.ledger[worker.step])
        if ledger.row in (Row.INTENT, Row.SHARED):
            after = self.put(state, worker, ledger.put(Row.EFFECT))
            yield says(worker, "records its effect"), move(after, worker, Place.COMPLETE)
        else:
            yield self._decided(state, stream, worker, ledger)

    def _decided(self, state: State, stream: Stream, worker: Worker, ledger: Ledger) -> Move:
        """The guard's row was there first."""
        match ledger.row:
            case Row.EFFECT:
                return says(worker, "finds its effect done"), move(state, worker, Place.COMPLETE)
            case Row.REFUSED_NONE:
                return says(worker, "finds its refusal"), move(state, worker, Place.FAIL_NONE)
            case Row.REFUSED_UNKNOWN:
                return says(worker, "finds its failure"), move(state, worker, Place.FAIL_UNKNOWN)
            case Row.KEPT:
                return says(worker, "finds that its undo was given up"), move(state, worker, Place.GIVE_UP)
            case Row.SKIP_NONE | Row.SKIP_UNKNOWN:
                return says(worker, "finds that it is to be skipped, and looks again"), without(state, worker)
        label = says(worker, "finds the tombstone")
        if self.shell.gone_closes:
            return label, self.owned(state, stream, worker)
        return label, self.done(state, worker)

    def undo(self, state: State, stream: Stream, worker: Worker) -> Iterator[Move]:
        ledger = unpack(state.ledger[worker.step])
        if ledger.row in (Row.EFFECT, *_OUTSIDE):
            if self.faults.undo_failures:
                yield says(worker, "cannot be undone"), move(state, worker, Place.UNDO_FAILED)
            yield from self._undo_again(state, stream, worker)
        if ledger.row == Row.KEPT:
            yield self._decided(state, stream, worker, ledger)
        elif ledger.row in (Row.REFUSED_NONE, Row.SKIP_NONE) and self.shell.refusal_stays:
            yield says(worker, "finds its refusal: nothing to undo"), move(state, worker, Place.STAND_DOWN)
        elif ledger.row in _OUTSIDE or (ledger.row == Row.EFFECT and self.faults.effects == "external"):
            after = self.put(state, worker, ledger.put(Row.UNDOING)) if self.shell.tombstone_first else state
            yield says(worker, "is about to be undone outside"), move(after, worker, Place.UNDO_OUTSIDE)
        elif ledger.row == Row.EFFECT or not self.shell.guard:
            undone = ledger.reversed() if self.shell.guard else ledger.undone_again()
            after = self.put(state, worker, undone.put(Row.UNDONE))
            yield says(worker, "is undone"), move(after, worker, Place.COMPENSATED)
        else:
            after = self.put(state, worker, ledger.put(Row.UNDONE))
            yield says(worker, "leaves a tombstone"), move(after, worker, Place.COMPENSATED)

    def skip_wish(self, state: State, stream: Stream, worker: Worker) -> Iterator[Move]:
        """Somebody wants the step skipped: the guard is told first, and may know better."""
        ledger = unpack(state.ledger[worker.step])
        if ledger.row in (Row.NONE, Row.INTENT, Row.SHARED):
            begun = (self.world.names[worker.step], FactKind.STARTED) in stream.by_key
            unknown = begun or ledger.row == Row.SHARED
            row = Row.SKIP_UNKNOWN if unknown else Row.SKIP_NONE
            after = self.put(state, worker, ledger.put(row)) if self.shell.wish_recorded else state
            skipping = move(after, worker, Place.SKIP, note=BY_PERSON)
            yield says(worker, "bars its effect, to be skipped"), skipping
        elif ledger.row in _SKIPPED:
            skipping = move(state, worker, Place.SKIP, note=BY_PERSON)
            yield says(worker, "finds its effect barred, to be skipped"), skipping
        else:
            yield self._decided(state, stream, worker, ledger)

    def keep(self, state: State, worker: Worker) -> Iterator[Move]:
        """Its undo is given up: the guard is told first, and may know better."""
        ledger = unpack(state.ledger[worker.step])
        if ledger.row == Row.UNDONE:
            yield says(worker, "finds it undone"), move(state, worker, Place.COMPENSATED)
        elif ledger.row in (Row.REFUSED_NONE, Row.SKIP_NONE):
            yield says(worker, "finds its refusal: nothing to undo"), move(state, worker, Place.STAND_DOWN)
        else:
            after = self.put(state, worker, ledger.put(Row.KEPT)) if self.shell.kept_recorded else state
            yield says(worker, "bars its undo, which was given up"), move(after, worker, Place.GIVE_UP)

    def tombstone(self, state: State, stream: Stream, worker: Worker) -> Iterator[Move]:
        """After an undo outside."""
        ledger = unpack(state.ledger[worker.step])
        if ledger.row == Row.KEPT:
            yield self._decided(state, stream, worker, ledger)
        else:
            after = self.put(state, worker, ledger.put(Row.UNDONE))
            yield says(worker, "leaves the tombstone"), move(after, worker, Place.COMPENSATED)

    def undo_outside(self, state: State, worker: Worker) -> Iterator[Move]:
        ledger = unpack(state.ledger[worker.step])
        after = self.put(state, worker, ledger.reversed(bar=self.shell.bar))
        yield says(worker, "is undone outside"), move(after, worker, Place.TOMBSTONE)

    # Trying again

    def _again(self, state: State, stream: Stream, worker: Worker, effect: str) -> Iterator[Move]:
        """An attempt has failed and is to be repeated, unless the fence refuses to have it stated."""
        if not self.faults.retries or stream.holds(worker.step, FactKind.ATTEMPT_FAILED):
            return
        if stream.aborted:
            # With the guard asked this is the same as failing for good.
            if not self.shell.retries_ask_guard:
                label = says(worker, f"fails (effect {effect}), to try again, but the saga is aborted")
                yield label, self.owned(state, stream, worker, effect)
        else:
            yield from self._later(state, stream, worker, FactKind.ATTEMPT_FAILED, effect)

    def _undo_again(self, state: State, stream: Stream, worker: Worker) -> Iterator[Move]:
        if self.faults.retries and not stream.holds(worker.step, UNDO_ATTEMPT):
            yield from self._later(state, stream, worker, UNDO_ATTEMPT, "unknown")

    def _later(self, state: State, stream: Stream, worker: Worker, kind: str, effect: str) -> Iterator[Move]:
        """State that there will be another attempt, and keep the delivery for it, or park the step."""
        note = (worker.sequence, int(self.faults.parks))
        after = stream.then(self.world.names[worker.step], kind, effect, note)
        stored = self.store(state, after)
        what = "fails to be undone" if kind == UNDO_ATTEMPT else f"fails (effect {effect})"
        if self.faults.parks:
            arming = move(stored, worker, Place.ARM, note=(len(after.facts),))
            yield says(worker, f"{what}, and is parked"), arming
        else:
            yield says(worker, f"{what}, and will be tried again"), without(stored, worker)
