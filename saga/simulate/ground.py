"""The state of a simulated saga, and what changes in it when something happens."""

from collections.abc import Iterator
from enum import IntEnum
from functools import reduce
from operator import or_
from typing import NamedTuple

from contracts.facts import FactKind
from saga.decisions import Compensate, Decision, Ignore, Sleep, StandDown, Wait
from saga.rests import rests
from saga.simulate.faults import Faults, Shell
from saga.simulate.ledger import Ledger
from saga.simulate.stream import Stream, World


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
    SKIP_WISH = 14
    HOLD = 15
    WAKE = 16
    ARM = 17
    GIVE_UP = 18
    KEEP = 19


FORWARD = frozenset(range(Place.START, Place.SKIP))
STATES = {
    Place.START: FactKind.STARTED,
    Place.COMPLETE: FactKind.COMPLETED,
    Place.FAIL_NONE: FactKind.FAILED,
    Place.FAIL_UNKNOWN: FactKind.FAILED,
    Place.SKIP: FactKind.SKIPPED,
    Place.COMPENSATED: FactKind.COMPENSATED,
    Place.STAND_DOWN: FactKind.STOOD_DOWN,
    Place.UNDO_FAILED: FactKind.COMPENSATION_FAILED,
    Place.GIVE_UP: FactKind.COMPENSATION_SKIPPED,
}
EFFECTS = {Place.FAIL_NONE: "none", Place.FAIL_UNKNOWN: "unknown"}


type Note = tuple[int, ...]


class Worker(NamedTuple):
    """One delivery in somebody's hand, or (sequence 0) a timer that is due.

    `again`: its PubAck was lost, and it states the same once more. `note`: the sequences it read, on which
    what it states next is fenced.
    """

    step: int
    sequence: int
    place: int
    again: bool = False
    note: Note = ()


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
    pauses: int = 0
    wishes: int = 0
    timers: tuple[int, ...] = ()
    """per step, the sequence of the rest its timer is armed for"""


class Label(NamedTuple):
    """What happened, in words that `Moves.explain` completes. `fair`: it is no fault, so it will happen."""

    what: str
    step: int = -1
    sequence: int = 0
    fair: bool = True


type Move = tuple[Label, State]


class Ground:
    """What all moves share: the definition, the faults, the shell's promises, and the changes of a state."""

    def __init__(self, world: World, faults: Faults, shell: Shell) -> None:
        self.world = world
        self.faults = faults
        self.shell = shell

    def past_pivot(self, stream: Stream) -> bool:
        """Whether the server refuses an abort."""
        return stream.past_pivot and self.shell.pivot_fence

    def owned(self, state: State, stream: Stream, worker: Worker, refused: str = "") -> State:
        """The abort came first: read, and close the step as its owner."""
        decision = stream.decide(worker.step, worker.sequence, True, state.conditions, refused=refused)
        match decision:
            case Compensate():
                return move(state, worker, Place.UNDO, note=self.given_up(stream, worker.step))
            case StandDown():
                return move(state, worker, Place.STAND_DOWN)
            case Sleep() if self.shell.sleep_arms:
                return move(state, worker, Place.ARM, note=self.parked(stream, worker.step))
            case _:
                return self.done(state, worker)

    def given_up(self, stream: Stream, step: int) -> Note:
        """What a new `compensation_failed` is fenced on: the one before it, if any."""
        before = stream.last(self.world.names[step], FactKind.COMPENSATION_FAILED)
        return (before,) if before else ()

    def parked(self, stream: Stream, step: int) -> Note:
        """The rest whose timer is to be armed."""
        rest = rests(stream.by_key, self.world.names[step], undoing=stream.aborted)
        return (rest.sequence,) if rest else ()

    def armed(self, state: State, step: int, rest: int) -> State:
        return state._replace(timers=_set(state.timers, step, rest))

    def lost(self, state: State, worker: Worker) -> State:
        """Its delivery is not acknowledged, so it comes again; a timer that has fired does, too."""
        if worker.sequence == 0 and not state.timers[worker.step]:
            state = self.armed(state, worker.step, worker.note[0])
        return without(state, worker)

    def done(self, state: State, worker: Worker) -> State:
        if worker.sequence == 0:
            return without(state, worker)
        return self.acknowledged(without(state, worker), worker.step, worker.sequence)

    def acknowledged(self, state: State, step: int, sequence: int) -> State:
        keep = ~(1 << sequence)
        return state._replace(
            todo=_set(state.todo, step, state.todo[step] & keep),
            seen=_set(state.seen, step, state.seen[step] & keep),
        )

    def put(self, state: State, worker: Worker, ledger: Ledger) -> State:
        return state._replace(ledger=_set(state.ledger, worker.step, ledger.pack()))

    def store(self, state: State, stream: Stream) -> State:
        """With a new last fact (or two): their deliveries are due, and those that have become dead are not."""
        before = self.world.streams[state.stream].heard if state.stream >= 0 else None
        todo, seen = [], []
        for step, heard in enumerate(stream.heard):
            due = state.todo[step] | (heard & ~before[step] if before else heard)
            dead_seen, dead_fresh = stream.dead(step, state.conditions)
            due &= ~(state.seen[step] & dead_seen) & ~(~state.seen[step] & dead_fresh) | self._in_hand(
                state, step
            )
            todo.append(due)
            seen.append(state.seen[step] & due)
        return state._replace(stream=stream.id, todo=tuple(todo), seen=tuple(seen))

    def dies_before_its_acknowledgement(self, state: State, worker: Worker, kind: str) -> Iterator[Move]:
        if self.faults.crashes:
            label = Label(f"states {kind} and crashes", worker.step, worker.sequence, fair=False)
            yield label, self.lost(state, worker)

    def _in_hand(self, state: State, step: int) -> int:
        """Deliveries that may come to work on an undo again, since they state that they do."""
        if not self.faults.retries:
            return 0
        held = (1 << worker.sequence for worker in state.workers if worker.step == step)
        return reduce(or_, held, 0) & state.todo[step]


def says(worker: Worker, what: str) -> Label:
    return Label(what, worker.step, worker.sequence)


def name_of(decision: Decision) -> str:
    reason = f": {decision.reason}" if isinstance(decision, StandDown | Wait | Ignore) else ""
    return f"{type(decision).__name__}{reason}"


def bits(mask: int) -> Iterator[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def _set(values: tuple[int, ...], index: int, value: int) -> tuple[int, ...]:
    return values if values[index] == value else (*values[:index], value, *values[index + 1 :])


def with_bit(masks: tuple[int, ...], step: int, sequence: int) -> tuple[int, ...]:
    return _set(masks, step, masks[step] | 1 << sequence)


def with_worker(state: State, worker: Worker) -> State:
    return state._replace(workers=tuple(sorted((*state.workers, worker))))


def without(state: State, worker: Worker) -> State:
    workers = list(state.workers)
    workers.remove(worker)
    return state._replace(workers=tuple(workers))


def move(state: State, worker: Worker, place: int, *, again: bool = False, note: Note | None = None) -> State:
    noted = worker.note if note is None else note
    return with_worker(without(state, worker), Worker(worker.step, worker.sequence, place, again, noted))
