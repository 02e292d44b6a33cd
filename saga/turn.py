"""One turn: one step of one saga, on one delivery; and the voice in which a participant states facts about it.

Every fact of a step goes through here, with the fence it needs and the id that makes a repeat the same fact.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from pydantic import BaseModel

from contracts.definition import SagaDefinition, Step
from contracts.directives import Directives, directives_of
from contracts.facts import (
    ABORTED_KEY,
    PAUSED_KEY,
    RESUMED_KEY,
    AttemptFailed,
    FactKey,
    FactKind,
    Facts,
    NewFact,
    Recorded,
    SagaAborted,
    StepFailed,
    StepHeld,
    StepSuspended,
    StepWoken,
    state_fact,
)
from contracts.failure import Failure
from contracts.ids import fact_id
from contracts.subjects import SAGA_STEP
from contracts.timers import Timer
from events import timers
from events.bus import Bus
from events.clock import Clock
from events.publish import Fence, Fenced, outgoing
from events.read import ReadFailed, read_facts
from saga.choreography import causes
from saga.decisions import Hold, Trigger, Wake
from saga.rests import rests

log = structlog.get_logger(__name__)

_READS = 10
_REREAD_S = 0.01
_OF_THE_SAGA = (ABORTED_KEY, PAUSED_KEY, RESUMED_KEY)
PARK_AFTER_S = 60.0
"""A longer delay is the server's to keep: a delivery that waits counts as lag (design, rule 6)."""


@dataclass(frozen=True, slots=True)
class Later:
    """The delivery must come again after `delay_s` seconds."""

    delay_s: float


type Answer = Later | None
"""What a turn answers: nothing more to do with the delivery, or the delivery again later."""

DONE: Answer = None


@dataclass(slots=True)
class Turn:
    """`facts` is what is known of the saga: the trigger alone, or a reading."""

    definition: SagaDefinition
    step: Step
    heard: Recorded
    trigger: Trigger
    facts: Facts

    @property
    def directives(self) -> Directives:
        """What goes with this execution. Raises InvalidContract."""
        return directives_of(self.heard.fact.directives)

    @property
    def saga_id(self) -> str:
        return self.heard.fact.sagaid


@dataclass(slots=True)
class Attempt:
    """Which attempt this is, counted from 1 over the whole life of the step; how many seconds too early it
    comes; and how many of its policy's attempts it is (the count begins anew when a person asks for more)."""

    number: int
    wait_s: float
    of_policy: int


class Voice:
    """Reads a saga and states facts about a step, for one participant."""

    def __init__(self, bus: Bus, source: str, clock: Clock, park_after_s: float = PARK_AFTER_S) -> None:
        self._bus = bus
        self._source = source
        self._clock = clock
        self._park_after_s = park_after_s

    async def read(self, turn: Turn, *, whole: bool) -> Facts:
        """The saga as it is now: all of it, or what a step's forward decision needs.

        It must hold the trigger: a replica of the server that is behind is asked again. Raises ReadFailed.
        """
        saga, saga_id, subjects = turn.definition.name, turn.saga_id, self._bus.subjects
        wanted = [subjects.all_of(saga, saga_id)]
        if not whole:
            keys: Sequence[FactKey] = [*_OF_THE_SAGA, *causes(turn.definition, turn.step.name)]
            wanted = [subjects.own(saga, turn.step.name, saga_id)]
            wanted += [subjects.fact(saga, *key, saga_id) for key in keys]
        for attempt in range(1, _READS + 1):
            facts = await read_facts(self._bus, saga_id, wanted)
            found = facts.get(turn.trigger.key)
            if found is not None and found.sequence >= turn.trigger.sequence:
                return facts
            await asyncio.sleep(_REREAD_S * attempt)
        raise ReadFailed(f"the reading of saga {saga_id} lacks fact {turn.trigger.sequence}, which was heard")

    async def state(
        self, turn: Turn, kind: FactKind, data: BaseModel | dict[str, Any], *, discriminator: str = ""
    ) -> bool:
        """State a fact unless the saga is aborted. False if the fence has refused it."""
        fact = self._fact(turn, turn.step.name, kind, data, discriminator)
        try:
            await self._bus.publisher.state(self._subject(turn, kind), fact, self._fence(turn))
        except Fenced:
            return False
        return True

    async def close(self, turn: Turn, kind: FactKind, data: BaseModel, *, after: int = 0) -> None:
        """State how the step ends in the wave back; it is stated once (or once more after fact `after`)."""
        subject = self._subject(turn, kind)
        fact = self._fact(turn, turn.step.name, kind, data, str(after) if after else "")
        try:
            await self._bus.publisher.state(subject, fact, Fence(subject, after))
        except Fenced:
            log.debug("step.already_closed", step=turn.step.name, saga_id=turn.saga_id, kind=kind)

    async def hold(self, turn: Turn, hold: Hold) -> bool:
        """State that the step is held back. False if the saga was resumed or aborted in this moment."""
        # Any word on the saga: who holds a step back gives up its delivery, which an abort may need.
        of_saga = self._bus.subjects.fact(turn.definition.name, SAGA_STEP, "*", turn.saga_id)
        data = StepHeld(paused_by=hold.by, reason=hold.reason)
        fact = self._fact(turn, turn.step.name, FactKind.HELD, data, str(turn.trigger.sequence))
        try:
            await self._bus.publisher.state(
                self._subject(turn, FactKind.HELD), fact, Fence(of_saga, hold.paused)
            )
        except Fenced:
            return False
        return True

    async def wake(self, turn: Turn, wake: Wake) -> bool:
        """State that the step's rest has ended. False if the step was woken in this moment, perhaps from
        another rest."""
        subject = self._subject(turn, FactKind.WOKEN)
        data = StepWoken(rest=wake.rest, reason=wake.reason)
        fact = self._fact(turn, turn.step.name, FactKind.WOKEN, data, str(wake.rest))
        try:
            await self._bus.publisher.state(subject, fact, Fence(subject, wake.woken))
        except Fenced:
            return False
        return True

    async def suspend(self, turn: Turn, wait: StepSuspended) -> bool:
        """State that the step waits, arm its timer, and wake it if its signal has come already.

        False if the saga was aborted meanwhile.
        """
        if not await self.state(turn, FactKind.SUSPENDED, wait, discriminator=str(turn.trigger.sequence)):
            return False
        if wait.until is not None:
            await self.arm(turn, wait.until)
        while True:
            turn.facts = await self.read(turn, whole=False)
            rest = rests(turn.facts, turn.step.name, undoing=False)
            before = turn.facts.get((turn.step.name, FactKind.WOKEN))
            signal = turn.facts.get((turn.step.name, FactKind.SIGNALLED))
            # One that came before the step was last woken has been heard.
            heard = signal is None or (before is not None and signal.sequence < before.sequence)
            if not wait.signal or rest is None or heard:
                return True
            wake = Wake(rest.sequence, before.sequence if before else 0, "its signal had come")
            if await self.wake(turn, wake):
                return True

    async def arm(self, turn: Turn, due: datetime, *, deadline: bool = False) -> None:
        """Arm the timer that ends the step's rest, or the one of the saga's deadline."""
        step = SAGA_STEP if deadline else turn.step.name
        timer = Timer(saga_id=turn.saga_id, definition=turn.definition.ref, step=step, due=due)
        await timers.arm(self._bus, timer)

    async def abort(self, turn: Turn, failed: StepFailed, by: str) -> bool:
        """State `failed` and turn the saga round, in one atomic batch. False if a fence has refused it:
        the saga is aborted already, or its pivot has completed."""
        pivot = turn.definition.pivot
        aborted = SagaAborted(cause="step", step=turn.step.name, failure=failed.failure, by=by)
        past_pivot = (
            Fence(self._bus.subjects.fact(turn.definition.name, pivot.name, FactKind.COMPLETED, turn.saga_id))
            if pivot
            else None
        )
        failed_fact = self._fact(turn, turn.step.name, FactKind.FAILED, failed)
        aborted_fact = self._fact(turn, SAGA_STEP, FactKind.ABORTED, aborted)
        messages = [
            outgoing(self._subject(turn, FactKind.FAILED), failed_fact, self._fence(turn)),
            outgoing(self._aborted_subject(turn), aborted_fact, past_pivot),
        ]
        try:
            await self._bus.publisher.batch(messages)
        except Fenced:
            return False
        return True

    async def attempt_failed(
        self, turn: Turn, failure: Failure, attempt: int, delay_s: float, *, compensation: bool
    ) -> AttemptFailed | None:
        """State that an attempt failed and will be repeated; what was stated, or None if the saga was aborted
        meanwhile."""
        data = AttemptFailed(
            failure=failure,
            attempt=attempt,
            delay_s=round(delay_s, 3),
            not_before=self._clock() + timedelta(seconds=delay_s),
            compensation=compensation,
            parked=delay_s > self._park_after_s,
            on=turn.trigger.sequence,
        )
        log.info(
            "step.attempt_failed", step=turn.step.name, saga_id=turn.saga_id, attempt=attempt,
            code=failure.code, again_in_s=data.delay_s, compensation=compensation,
        )  # fmt: skip
        if not compensation:
            stated = await self.state(turn, FactKind.ATTEMPT_FAILED, data, discriminator=str(attempt))
            return data if stated else None
        fact = self._fact(turn, turn.step.name, FactKind.ATTEMPT_FAILED, data, f"undo.{attempt}")
        await self._bus.publisher.state(self._subject(turn, FactKind.ATTEMPT_FAILED), fact)
        return data

    async def again(self, turn: Turn, failed: AttemptFailed) -> Answer:
        """What to do with the delivery until the next attempt: keep it a while, or park the step."""
        if not failed.parked:
            return Later(failed.delay_s)
        await self.arm(turn, failed.not_before)
        return DONE

    def attempt(self, turn: Turn, *, compensation: bool) -> Attempt:
        """The attempt this turn would be, counted from what was stated, so that it survives every process."""
        gave_up = turn.facts.get((turn.step.name, FactKind.COMPENSATION_FAILED)) if compensation else None
        before = int(gave_up.fact.data["attempt"]) if gave_up else 0
        number, wait_s = before + 1, 0.0
        failed = turn.facts.get((turn.step.name, FactKind.ATTEMPT_FAILED))
        if failed is not None:
            earlier = AttemptFailed.model_validate(failed.fact.data)
            if earlier.compensation is compensation and earlier.attempt > before:
                number = earlier.attempt + 1
                wait_s = (earlier.not_before - self._clock()).total_seconds()
        return Attempt(number, wait_s, number - before)

    def _subject(self, turn: Turn, kind: FactKind) -> str:
        return self._bus.subjects.fact(turn.definition.name, turn.step.name, kind, turn.saga_id)

    def _aborted_subject(self, turn: Turn) -> str:
        return self._bus.subjects.fact(turn.definition.name, *ABORTED_KEY, turn.saga_id)

    def _fence(self, turn: Turn) -> Fence:
        return Fence(self._aborted_subject(turn))

    def _fact(
        self,
        turn: Turn,
        step: str,
        kind: FactKind,
        data: BaseModel | dict[str, Any],
        discriminator: str = "",
    ) -> NewFact:
        about = turn.heard.fact
        return state_fact(
            about=about,
            definition=about.definition,
            saga_id=about.sagaid,
            step=step,
            kind=kind,
            data=data,
            source=self._source,
            time=self._clock(),
            fact_id=fact_id(about.sagaid, step, kind, discriminator),
        )
