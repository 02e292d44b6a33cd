"""One saga played: its facts in their order, each as soon as it is due and what it waits for has been said."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from enum import StrEnum

from contracts.facts import ABORTED_KEY, Fact, FactKey, Facts, Recorded
from events.bus import Bus
from events.clock import Clock, monotonic
from events.publish import Fenced, Outgoing, outgoing
from saga.republish.answers import Difference, differences, instead
from saga.republish.changes import Changes
from saga.republish.fences import fence_of
from saga.republish.hearing import Saga
from saga.republish.pace import Pace
from saga.republish.plan import Move, Plan


class Status(StrEnum):
    """What became of a saga. `there`: it had been played before. `cut_off`: its start is no longer kept.
    `left`: it is a child, and the step that begins it is a service's."""

    SAME = "same"
    DIVERGED = "diverged"
    THERE = "there"
    CUT_OFF = "cut_off"
    LEFT = "left"


@dataclass(slots=True, kw_only=True)
class Told:
    """One saga, played. `left`: facts left to services, by action; `refused`: those that an abort in the namespace has
    kept out; `withheld`: those that wait for what was not said."""

    saga_id: str
    played_as: str
    definition: str
    status: Status = Status.SAME
    played: int = 0
    left: dict[str, int] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    withheld: list[str] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)

    @property
    def diverged(self) -> bool:
        return self.status is Status.DIVERGED


@dataclass(frozen=True, slots=True, kw_only=True)
class Player:
    """How facts are played into a namespace."""

    target: Bus
    changes: Changes
    pace: Pace
    patience_s: float
    clock: Clock

    async def play(self, plan: Plan, saga: Saga) -> Told:
        """Play what is not there yet, and wait for the services' last word. Raises PublishFailed."""
        playing = _Playing(self, plan, saga)
        for move in plan.moves:
            await playing.play(move)
        await playing.hear_out()
        return playing.told


def missing(plan: Plan, changes: Changes, saga: Saga) -> list[Recorded]:
    """What is to be played of a saga and is not there."""
    facts = [recorded for move in plan.moves for recorded in move.facts]
    return [recorded for recorded in facts if _found(recorded, changes, saga) is None]


def _found(recorded: Recorded, changes: Changes, saga: Saga) -> Recorded | None:
    found = saga.ids.get(changes.fact_id(recorded.fact.id))
    # Of one id are also the abort that a person asked for and the one by which a service turns the saga round.
    return found if found is not None and found.fact.source == recorded.fact.source else None


class _Playing:
    def __init__(self, player: Player, plan: Plan, saga: Saga) -> None:
        self._player = player
        self._plan = plan
        self._saga = saga
        self._awaited: defaultdict[FactKey, list[Move]] = defaultdict(list)
        for move in plan.awaited:
            self._awaited[move.facts[0].fact.key].append(move)
        self._settled: set[FactKey] = set()
        self._lost: set[FactKey] = set()
        self._sequences: dict[int, int] = {}
        self._last_abort = 0
        self.told = Told(
            saga_id=plan.saga_id,
            played_as=player.changes.id(plan.saga_id),
            definition=plan.definition.ref,
            left=dict(Counter(plan.action_of(move.facts[0].fact) for move in plan.left)),
        )

    async def play(self, move: Move) -> None:
        """Play it, unless it is there, or what it waits for will not come, or the saga was aborted meanwhile."""
        if self._is_there(move):
            return
        await self._player.pace.due(move.facts[0].fact.time)
        since = monotonic()
        for key in move.needs:
            await self._settle(key, since)
        if move.needs & self._lost:
            self._lose(move, self.told.withheld)
        elif await self._state(move):
            self.told.played += len(move.facts)
        else:
            self._lose(move, self.told.refused)

    async def hear_out(self) -> None:
        """Wait for the last words of the services, and say whether all was as it was recorded."""
        since = monotonic()
        for move in self._plan.awaited:
            await self._settle(move.facts[0].fact.key, since)
        told = self.told
        told.differences.sort(key=lambda one: one.sequence)
        if told.differences or told.refused or told.withheld:
            told.status = Status.DIVERGED

    def _is_there(self, move: Move) -> bool:
        for recorded in move.facts:
            found = _found(recorded, self._player.changes, self._saga)
            if found is None:
                return False
            self._note(recorded, found.sequence)
        return True

    async def _settle(self, key: FactKey, since: float) -> None:
        """Find out what a service says where the recording has this, once it has heard what that was said on."""
        if key in self._settled or key not in self._awaited:
            return
        self._settled.add(key)
        moves = self._awaited[key]
        # One that came again, as a rest does, is there once its first is.
        move = moves[0]
        for need in move.needs:
            await self._settle(need, since)
        if move.needs & self._lost:
            # It follows from another difference that this will not come.
            self._lost.add(key)
            return

        def answered(said: Facts) -> bool:
            return key in said or instead(move, said) is not None

        patience_s, source = self._player.patience_s, move.facts[0].fact.source
        await self._saga.until(answered, source, since=since, patience_s=patience_s)
        said = self._saga.said
        self.told.differences += differences(move, said, patience_s)
        if key not in said:
            self._lost.add(key)
            return
        self._sequences |= {one.facts[0].sequence: said[key].sequence for one in moves}

    def _lose(self, move: Move, into: list[str]) -> None:
        self._lost |= move.keys
        into += [f"#{one.sequence} {'.'.join(one.fact.key)}" for one in move.facts]

    async def _state(self, move: Move) -> bool:
        changes = self._player.changes
        # A deadline counts from the start's time: where a service takes part the saga begins now.
        time = self._player.clock() if self._plan.attended else None
        facts = [changes.of(one.fact, self._sequences, time) for one in move.facts]
        messages = [self._message(fact, in_batch=len(facts) > 1) for fact in facts]
        try:
            stored = await self._player.target.publisher.batch(messages)
        except Fenced:
            return False
        if stored.duplicate and facts[-1].key == ABORTED_KEY:
            # A service was faster, with an abort of its own.
            return False
        first = stored.sequence - len(facts) + 1
        for sequence, (recorded, fact) in enumerate(zip(move.facts, facts, strict=True), first):
            self._note(recorded, sequence)
            self._saga.hear(Recorded(sequence, fact))
        return True

    def _note(self, recorded: Recorded, sequence: int) -> None:
        self._sequences[recorded.sequence] = sequence
        if recorded.fact.key == ABORTED_KEY:
            self._last_abort = sequence

    def _message(self, fact: Fact, *, in_batch: bool) -> Outgoing:
        subjects = self._player.target.subjects
        fence = fence_of(
            fact, self._plan.definition, subjects, last_abort=self._last_abort, in_batch=in_batch
        )
        return outgoing(subjects.checked_fact(fact.saga, *fact.key, fact.sagaid), fact, fence)
