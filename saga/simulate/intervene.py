"""What lays a step down and wakes it: persons who pause, resume, retry and skip, and the server's timers."""

from collections.abc import Iterator

from contracts.facts import FactKind
from contracts.subjects import SAGA_STEP
from saga.rests import due_of, rests
from saga.simulate.ground import Ground, Label, Move, Place, State, Worker, says, with_worker, without
from saga.simulate.stream import Stream


class RestMoves(Ground):
    """What persons say, timers that fire, and the places HOLD, WAKE and ARM."""

    def persons(self, state: State, stream: Stream) -> Iterator[Move]:
        """Whoever intervenes has read the saga a while ago, so what was allowed then may come too late."""
        saga, now = stream.story.state, (len(stream.facts),)
        if saga.ended:
            return
        if stream.paused:
            after = self.store(state, stream.then(SAGA_STEP, FactKind.RESUMED, note=now))
            # An aborted saga must end also if nobody ever resumes it.
            yield Label("somebody resumes the saga", fair=not stream.aborted), after
        elif state.pauses:
            after = self.store(state, stream.then(SAGA_STEP, FactKind.PAUSED, note=now))
            yield Label("somebody pauses the saga", fair=False), after._replace(pauses=state.pauses - 1)
        if not state.wishes:
            return
        for index, name in enumerate(self.world.names):
            if saga.steps[name].closed:
                continue
            kinds = [FactKind.SKIP_REQUESTED]
            if (name, FactKind.COMPENSATION_FAILED) in stream.by_key:
                kinds.append(FactKind.RETRY_REQUESTED)
            for kind in kinds:
                after = self.store(state, stream.then(name, kind, note=now))
                yield (
                    Label(f"somebody states {kind}", index, fair=False),
                    after._replace(wishes=state.wishes - 1),
                )

    def timer(self, state: State, stream: Stream, step: int) -> Iterator[Move]:
        if any(worker[:2] == (step, 0) for worker in state.workers):
            return
        name = self.world.names[step]
        rest = rests(stream.by_key, name, undoing=stream.aborted)
        if rest is None or due_of(rest) is None:
            yield Label("its timer fires in vain", step), self.armed(state, step, 0)
        elif state.timers[step] < rest.sequence:
            yield (
                Label("its old timer fires, and the new one is armed"),
                self.armed(state, step, rest.sequence),
            )
        else:
            note = (rest.sequence, stream.last(name, FactKind.WOKEN))
            fired = with_worker(self.armed(state, step, 0), Worker(step, 0, Place.WAKE, note=note))
            yield Label("its timer fires", step), fired

    def rest(self, state: State, stream: Stream, worker: Worker) -> Iterator[Move]:
        match worker.place:
            case Place.HOLD:
                yield from self._hold(state, stream, worker)
            case Place.WAKE:
                yield from self._wake(state, stream, worker)
            case _:
                armed = self.armed(state, worker.step, worker.note[0])
                yield says(worker, "has its timer armed"), self.done(armed, worker)

    def _hold(self, state: State, stream: Stream, worker: Worker) -> Iterator[Move]:
        note = (worker.sequence,)
        if stream.last_word != worker.note[0] and self.shell.hold_fence:
            yield says(worker, "is not held: the saga was resumed or aborted"), without(state, worker)
            return
        if not stream.holds(worker.step, FactKind.HELD, note):
            held = stream.then(self.world.names[worker.step], FactKind.HELD, note=note)
            state = self.store(state, held)
        yield says(worker, "states held"), self.done(state, worker)
        yield from self.dies_before_its_acknowledgement(state, worker, FactKind.HELD)

    def _wake(self, state: State, stream: Stream, worker: Worker) -> Iterator[Move]:
        rest, before = worker.note
        name = self.world.names[worker.step]
        if stream.holds(worker.step, FactKind.WOKEN, (rest,)):
            yield says(worker, "states woken again, and it is dropped"), self.done(state, worker)
            return
        if stream.last(name, FactKind.WOKEN) != before:
            # It may have been woken from another rest.
            after = self.lost(state, worker) if self.shell.refused_wake_looks else self.done(state, worker)
            yield says(worker, "was woken in this moment, and looks again"), after
            return
        state = self.store(state, stream.then(name, FactKind.WOKEN, note=(rest,)))
        yield says(worker, "states woken"), self.done(state, worker)
        yield from self.dies_before_its_acknowledgement(state, worker, FactKind.WOKEN)
