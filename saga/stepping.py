"""One step by itself: what its participant does about it, once, in a process of its own (a pod, a shell).

State is where it always is, in the facts of the stream, and the core decides: whoever runs steps so gets the very
saga that participants would have made of it. Where both work on one bus, give this a namespace of its own.

Crash: run it again. What was stated is not stated twice, and the guard lets an effect happen once.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

from contracts.children import child_saga_id, children_of
from contracts.definition import SagaDefinition
from contracts.facts import ABORTED_KEY, STARTED_KEY, FactKind, Facts, Recorded
from contracts.failure import Conflict, InvalidContract, NotFound, SagaError
from contracts.subjects import partition_of
from events.bus import Bus
from events.definitions import Definitions
from events.read import read_saga, watch
from saga.action import Action, Environment
from saga.choreography import CLOSED, SPOKEN, decide, heard_by, needs
from saga.client import SagaClient
from saga.decisions import Decision, Ignore, Run, Sleep, Trigger, Wait
from saga.participant import Participant
from saga.rests import rests
from saga.scope import scope_of
from saga.service import ServiceSettings, open_participants
from saga.state import SagaState
from saga.turn import Later, Turn


class TryAgain(SagaError):
    """The attempt has failed and is to be repeated: run the step again, not before `delay_s` seconds."""

    code = "step.try_again"
    exit_code = 75

    def __init__(self, step: str, delay_s: float) -> None:
        super().__init__(f"step {step}: the attempt failed; again in {delay_s:.1f} s")
        self.delay_s = delay_s


class StillWaiting(SagaError):
    """The step is not due, or rests, longer than was to be waited."""

    code = "step.still_waiting"
    exit_code = 7


class Unfinished(SagaError):
    """An undo has failed for good, and waits for a person."""

    code = "step.compensation_failed"
    exit_code = 8


@dataclass(frozen=True, slots=True)
class Child:
    """A saga that a step has begun, and its definition."""

    saga_id: str
    definition: str


class Stepper:
    """Runs steps of sagas by their participants, which take no deliveries."""

    def __init__(
        self, bus: Bus, definitions: Definitions, participants: Mapping[str, Participant], wait_s: float
    ) -> None:
        self._bus = bus
        self._definitions = definitions
        self._participants = participants
        self._client = SagaClient(bus, definitions)
        self._wait_s = wait_s

    async def do(self, saga_id: str, step: str, *, until_rest: bool = False) -> FactKind | None:
        """Do a step when it is due; how it ended, or None if the saga was aborted before it could.

        `until_rest`: come back also when the step waits for something: then the answer is `suspended`.
        Raises TryAgain, StillWaiting after `wait_s` seconds without a fact.
        """
        async for definition, read in self._readings(saga_id):
            facts: Facts | None = read
            while facts is not None:
                if said := _said(facts, step, SPOKEN):
                    return said
                if ABORTED_KEY in facts:
                    return None
                rest = rests(facts, step, undoing=False)
                if until_rest and rest is not None and rest.fact.kind == FactKind.SUSPENDED:
                    return FactKind.SUSPENDED
                facts = await self._act(_due(definition, step, facts), facts)
        raise AssertionError("readings do not end")

    async def due(self, saga_id: str, step: str) -> bool:
        """Whether a step is to be done, as soon as it can be told; one that is not is stated to be skipped.

        Raises StillWaiting.
        """
        async for definition, facts in self._readings(saga_id):
            if ABORTED_KEY in facts:
                return False
            if said := _said(facts, step, SPOKEN):
                return said != FactKind.SKIPPED
            found = _due(definition, step, facts)
            if found and isinstance(found.decision, Run | Sleep):
                return True
            await self._act(found, facts)
        raise AssertionError("readings do not end")

    async def undo(self, saga_id: str, step: str) -> None:
        """Undo a step of an aborted saga, once those after it are undone; nothing if there is nothing to undo.

        Raises TryAgain, StillWaiting, Unfinished.
        """
        async for definition, read in self._readings(saga_id):
            facts: Facts | None = read
            while facts is not None:
                if ABORTED_KEY not in facts or (step, FactKind.STARTED) not in facts:
                    return
                if _said(facts, step, CLOSED):
                    return
                found = _due(definition, step, facts)
                if found is None and _said(facts, step, (FactKind.COMPENSATION_FAILED,)):
                    raise Unfinished(f"the undo of step {step} has failed: retry it, or skip it")
                facts = await self._act(found, facts)
                for child in await self.children(saga_id, step):
                    await self.settle(child.saga_id)
        raise AssertionError("readings do not end")

    async def settle(self, saga_id: str) -> None:
        """Undo all of an aborted saga, the last step first; nothing if it is not aborted, or never began."""
        facts = await self._facts(saga_id)
        if ABORTED_KEY in facts:
            definition = await self._definition_of(facts)
            for step in reversed(definition.graph.order):
                await self.undo(saga_id, step)

    async def abort(self, saga_id: str, *, reason: str, by: str) -> bool:
        """Turn a saga round unless it has come to its end; whether there is something to undo."""
        try:
            state = await self._client.state(saga_id)
        except NotFound:
            # Its start was refused.
            return False
        if state.abort is None and not state.ended:
            try:
                await self._client.cancel(saga_id, reason=reason, by=by)
            except Conflict:
                # Past its pivot it only goes forward; or it has ended, or was turned round, in this moment.
                state = await self._client.state(saga_id)
                return state.abort is not None and not state.ended
            return True
        return state.abort is not None

    async def state(self, saga_id: str) -> SagaState:
        """Raises NotFound."""
        return await self._client.state(saga_id)

    async def children(self, saga_id: str, step: str) -> list[Child]:
        """The sagas that a step has begun or will begin, in their order."""
        facts = await self._facts(saga_id)
        definition = await self._definition_of(facts)
        used = definition.step(step)
        scope = scope_of(definition, step, facts, needs(definition, step))
        found = children_of(used.action, used.template.resolve(scope))
        return [Child(child_saga_id(saga_id, step, number), ref) for number, ref in enumerate(found)]

    async def _act(self, due: "_Due | None", before: Facts) -> Facts | None:
        """Act if there is anything to do; the facts there are then, None if there is nothing to do before the next.

        Raises TryAgain.
        """
        if due is None:
            return None
        step, saga_id = due.turn.step, due.turn.saga_id
        participant = self._participants.get(step.action)
        if participant is None:
            raise InvalidContract(f"step {step.name} needs {step.action}, which was not opened")
        due.turn.step = participant.as_run(due.turn.step)
        answer = await participant.act(due.turn)
        after = await self._facts(saga_id)
        failed = (step.name, FactKind.ATTEMPT_FAILED)
        if failed in after and after[failed] != before.get(failed):
            raise TryAgain(step.name, float(after[failed].fact.data["delay_s"]))
        if isinstance(answer, Later):
            await asyncio.sleep(answer.delay_s)
            return after
        return after if _newest(after) > _newest(before) else None

    async def _readings(self, saga_id: str) -> AsyncIterator[tuple[SagaDefinition, Facts]]:
        """The saga, read again whenever there is a fact of it. Raises StillWaiting."""
        subjects = [self._bus.subjects.all_of_id(saga_id)]
        partition = partition_of(saga_id, self._bus.settings.partitions)
        async with aclosing(watch(self._bus, partition, subjects)) as batches:
            while True:
                try:
                    await asyncio.wait_for(anext(batches), self._wait_s)
                except TimeoutError:
                    raise StillWaiting(f"saga {saga_id} has not moved for {self._wait_s:g} s") from None
                facts = await self._facts(saga_id)
                if STARTED_KEY in facts:
                    yield await self._definition_of(facts), facts

    async def _facts(self, saga_id: str) -> Facts:
        return {recorded.fact.key: recorded for recorded in await read_saga(self._bus, saga_id)}

    async def _definition_of(self, facts: Facts) -> SagaDefinition:
        ref = facts[STARTED_KEY].fact.definition if STARTED_KEY in facts else ""
        found = await self._definitions.fetch(ref) if ref else None
        if found is None:
            raise NotFound(f"no definition {ref}" if ref else "the saga has not started")
        return found


@dataclass(frozen=True, slots=True)
class _Due:
    """`decision` is None if the step's condition cannot be judged."""

    turn: Turn
    decision: Decision | None


def _due(definition: SagaDefinition, step: str, facts: Facts) -> _Due | None:
    """What a delivery of one of these facts would have the participant of a step do; None if of none."""
    asleep: _Due | None = None
    for recorded in sorted(facts.values(), key=lambda one: one.sequence, reverse=True):
        if recorded.fact.key not in heard_by(definition, step):
            continue
        trigger = Trigger(sequence=recorded.sequence, key=recorded.fact.key)
        try:
            decision = decide(definition, step, facts, trigger)
        except InvalidContract:
            # The participant finds that, too, and states it.
            decision = None
        if isinstance(decision, Wait | Ignore):
            continue
        due = _Due(Turn(definition, definition.step(step), recorded, trigger, facts), decision)
        if not isinstance(decision, Sleep):
            return due
        asleep = due
    return asleep


def _said(facts: Facts, step: str, kinds: Sequence[FactKind]) -> FactKind | None:
    return next((kind for kind in kinds if (step, kind) in facts), None)


def _newest(facts: Mapping[tuple[str, str], Recorded]) -> int:
    return max((recorded.sequence for recorded in facts.values()), default=0)


@asynccontextmanager
async def stepping(
    actions: Sequence[Action],
    bus: Bus,
    definitions: Definitions,
    settings: ServiceSettings,
    *,
    wait_s: float,
    environment: Environment | None = None,
) -> AsyncIterator[Stepper]:
    """A stepper that has these actions at hand."""
    opening = open_participants(actions, bus, definitions, settings, environment=environment)
    async with opening as participants:
        by_name = {participant.action.name: participant for participant in participants}
        yield Stepper(bus, definitions, by_name, wait_s)
