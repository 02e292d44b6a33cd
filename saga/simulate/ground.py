"""The state of a simulated saga, and what changes in it when something happens."""

from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from contracts.facts import FactKind
from saga.decisions import Compensate, Decision, Ignore, StandDown, Wait
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
}
EFFECTS = {Place.FAIL_NONE: "none", Place.FAIL_UNKNOWN: "unknown"}


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
                return move(state, worker, Place.UNDO)
            case StandDown():
                return move(state, worker, Place.STAND_DOWN)
            case _:
                return self.done(state, worker)

    def done(self, state: State, worker: Worker) -> State:
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
            due &= ~(state.seen[step] & dead_seen) & ~(~state.seen[step] & dead_fresh)
            todo.append(due)
            seen.append(state.seen[step] & due)
        return state._replace(stream=stream.id, todo=tuple(todo), seen=tuple(seen))


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


def move(state: State, worker: Worker, place: int, *, again: bool = False) -> State:
    return with_worker(without(state, worker), Worker(worker.step, worker.sequence, place, again))
