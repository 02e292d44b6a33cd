"""What people and deadlines say of a running saga. Each is a fact with who and why; participants act on it.

cancel, expire       the saga turns round
pause, resume        steps that come due are held back; what is under way goes on, and so does the wave back
signal               a step that waits goes on, with what the signal brings
skip                 a step is passed by, at the next moment it would run; or an undo that failed is given up
retry                an undo that failed is tried again, with all the attempts its policy allows
"""

from datetime import datetime
from typing import Any, Literal

import structlog
from pydantic import BaseModel

from contracts.definition import SagaDefinition
from contracts.facts import (
    ABORTED_KEY,
    PAUSED_KEY,
    RESUMED_KEY,
    FactKey,
    FactKind,
    Intervention,
    NewFact,
    Recorded,
    SagaAborted,
    StepSignalled,
    state_fact,
)
from contracts.failure import Conflict, InvalidContract, NotFound
from contracts.ids import fact_id, new_saga_id
from contracts.nesting import check_nesting
from contracts.subjects import valid_token
from events.bus import Bus
from events.clock import Clock, utc_now
from events.definitions import Definitions
from events.publish import Fence, Fenced, Stored
from events.read import read_saga
from saga.choreography import may_abort
from saga.state import SagaState, SagaStatus, StepStatus, fold

log = structlog.get_logger(__name__)

_PASSED = frozenset({StepStatus.COMPLETED, StepStatus.SKIPPED, StepStatus.FAILED})


class _Read:
    """A saga as it was read."""

    def __init__(self, saga_id: str, definition: SagaDefinition, facts: list[Recorded]) -> None:
        self.saga_id = saga_id
        self.definition = definition
        self.facts = facts
        self.by_key = {recorded.fact.key: recorded for recorded in facts}
        self.state = fold(definition, facts)

    def step(self, name: str) -> StepStatus:
        """The status of a step. Raises NotFound."""
        if name not in self.state.steps:
            raise NotFound(
                f"{self.definition.ref} has no step {name!r}: it has {', '.join(self.state.steps)}"
            )
        return self.state.steps[name].status


class Interventions:
    """States what is to become of running sagas."""

    def __init__(self, bus: Bus, definitions: Definitions, clock: Clock = utc_now) -> None:
        self._bus = bus
        self._definitions = definitions
        self._clock = clock

    async def cancel(self, saga_id: str, *, reason: str, by: str) -> int:
        """Turn a saga round; the sequence of the abort.

        Raises NotFound (no such saga), Conflict (ended, aborted already, or past its pivot).
        """
        saga = await self._read(saga_id)
        _check_running(saga)
        if not may_abort(saga.definition, saga.by_key):
            raise Conflict(f"saga {saga_id} is aborted already or past its pivot")
        return await self._abort(saga, "cancel", _said(reason, "reason"), _said(by, "by"))

    async def state(self, saga_id: str) -> SagaState:
        """The state of a saga by its facts in the stream. Raises NotFound."""
        return (await self._read(saga_id)).state

    async def undo_child(self, saga_id: str, *, reason: str, by: str) -> None:
        """Turn a saga round on its parent's behalf, also one that has completed; nothing if it is turned round.

        Raises NotFound, Conflict (it has passed its pivot).
        """
        while True:
            saga = await self._read(saga_id)
            aborted = saga.by_key.get(ABORTED_KEY)
            if not may_abort(saga.definition, saga.by_key, parent=True):
                if aborted is None:
                    raise Conflict(f"saga {saga_id} has passed its pivot")
                return
            # Of an abort that came too late to count there may be one already.
            discriminator = "parent" if aborted else ""
            try:
                await self._store_abort(
                    saga, SagaAborted(cause="parent", reason=reason, by=by), discriminator
                )
            except Fenced:
                continue

    async def expire(self, saga_id: str, deadline: datetime) -> int | None:
        """Turn a saga round because its deadline has passed; the sequence of the abort, None if it was in vain."""
        try:
            saga = await self._read(saga_id)
            if saga.state.ended or not may_abort(saga.definition, saga.by_key):
                return None
            return await self._abort(saga, "deadline", f"not ended by {deadline.isoformat()}", "deadline")
        except (NotFound, Conflict) as error:
            log.info("deadline.in_vain", saga_id=saga_id, reason=str(error))
            return None

    async def pause(self, saga_id: str, *, reason: str, by: str) -> int:
        """Hold back the steps of a saga that come due from now on; the sequence of the fact.

        Raises NotFound, Conflict (ended, aborted or paused already).
        """
        saga = await self._read(saga_id)
        _check_running(saga)
        if saga.state.status is not SagaStatus.RUNNING:
            raise Conflict(f"saga {saga_id} is {saga.state.status}: only a running one can be paused")
        return await self._state(saga, PAUSED_KEY, reason, by)

    async def resume(self, saga_id: str, *, reason: str, by: str) -> int:
        """Let a paused saga go on; the sequence of the fact. Raises NotFound, Conflict (not paused)."""
        saga = await self._read(saga_id)
        if not saga.state.paused or saga.state.ended:
            raise Conflict(f"saga {saga_id} is not paused but {saga.state.status}")
        return await self._state(saga, RESUMED_KEY, reason, by)

    async def skip(self, saga_id: str, step: str, *, reason: str, by: str) -> int:
        """Pass a step by at the next moment it would run, or give up its undo; the sequence of the wish.

        What is running is not interrupted, and a step that then completes was not skipped.
        Raises NotFound, Conflict (the step has ended, or is not one whose undo has failed).
        """
        saga = await self._read(saga_id)
        _check_running(saga)
        status = saga.step(step)
        if saga.state.abort is not None and status is not StepStatus.COMPENSATION_FAILED:
            raise Conflict(
                f"saga {saga_id} is aborted, and the undo of {step} has not failed: it is {status}"
            )
        if saga.state.abort is None and status in _PASSED:
            raise Conflict(f"step {step} of saga {saga_id} is {status} already")
        return await self._state(saga, (step, FactKind.SKIP_REQUESTED), reason, by)

    async def retry(self, saga_id: str, step: str, *, reason: str, by: str) -> int:
        """Try the undo of a step again that has failed for good; the sequence of the wish.

        Raises NotFound, Conflict (its undo has not failed).
        """
        saga = await self._read(saga_id)
        status = saga.step(step)
        if status is not StepStatus.COMPENSATION_FAILED:
            raise Conflict(f"the undo of step {step} of saga {saga_id} has not failed: it is {status}")
        return await self._state(saga, (step, FactKind.RETRY_REQUESTED), reason, by)

    async def signal(self, saga_id: str, step: str, payload: dict[str, Any], *, by: str) -> int:
        """Give a step the signal it waits for, or will wait for; the sequence of the fact.

        Raises NotFound, Conflict (the saga is aborted or has ended, the step has spoken), InvalidContract (the payload
        is nested too deep).
        """
        check_nesting(payload, "the payload of a signal")
        saga = await self._read(saga_id)
        _check_running(saga)
        status = saga.step(step)
        if saga.state.abort is not None or status in _PASSED:
            raise Conflict(f"step {step} of saga {saga_id} waits for nothing any more: it is {status}")
        key = (step, FactKind.SIGNALLED)
        subject = self._bus.subjects.fact(saga.definition.name, *key, saga.saga_id)
        fact = self._fact(saga, key, StepSignalled(by=_said(by, "by"), payload=payload), new_saga_id())
        return (await self._bus.publisher.state(subject, fact)).sequence

    async def _read(self, saga_id: str) -> _Read:
        valid_token(saga_id, "saga id")
        facts = await read_saga(self._bus, saga_id)
        if not facts:
            raise NotFound(f"no saga {saga_id}")
        ref = facts[0].fact.definition
        definition = await self._definitions.fetch(ref)
        if definition is None:
            raise NotFound(f"no definition {ref}")
        return _Read(saga_id, definition, facts)

    async def _state(self, saga: _Read, key: FactKey, reason: str, by: str) -> int:
        data = Intervention(by=_said(by, "by"), reason=_said(reason, "reason"))
        subject = self._bus.subjects.fact(saga.definition.name, *key, saga.saga_id)
        before = saga.by_key[key].sequence if key in saga.by_key else 0
        fact = self._fact(saga, key, data, str(saga.facts[-1].sequence))
        try:
            return (await self._bus.publisher.state(subject, fact, Fence(subject, before))).sequence
        except Fenced as error:
            raise Conflict(
                f"somebody else has said {'.'.join(key)} of {saga.saga_id} in this moment"
            ) from error

    async def _abort(self, saga: _Read, cause: Literal["cancel", "deadline"], reason: str, by: str) -> int:
        definition, saga_id = saga.definition, saga.saga_id
        try:
            stored = await self._store_abort(saga, SagaAborted(cause=cause, reason=reason, by=by))
        except Fenced as error:
            raise Conflict(f"saga {saga_id} was aborted, or passed its pivot, in this moment") from error
        if stored.duplicate:
            raise Conflict(f"saga {saga_id} is aborted already")
        before = [one for one in await read_saga(self._bus, saga_id) if one.sequence < stored.sequence]
        if fold(definition, before).ended:
            # Nothing fences an abort on the last step; that it came too late changes nothing.
            raise Conflict(f"saga {saga_id} ended in this moment")
        return stored.sequence

    async def _store_abort(self, saga: _Read, aborted: SagaAborted, discriminator: str = "") -> Stored:
        subjects, saga_id = self._bus.subjects, saga.saga_id
        subject = subjects.fact(saga.definition.name, *ABORTED_KEY, saga_id)
        before = saga.by_key.get(ABORTED_KEY)
        fence = Fence(subject, before.sequence if before else 0)
        if pivot := saga.definition.pivot:
            # That there is one abort then rests on its id.
            fence = Fence(subjects.fact(saga.definition.name, pivot.name, FactKind.COMPLETED, saga_id))
        fact = self._fact(saga, ABORTED_KEY, aborted, discriminator)
        return await self._bus.publisher.state(subject, fact, fence)

    def _fact(self, saga: _Read, key: FactKey, data: BaseModel, discriminator: str = "") -> NewFact:
        return state_fact(
            about=None,
            definition=saga.definition.ref,
            saga_id=saga.saga_id,
            step=key[0],
            kind=key[1],
            data=data,
            source="/client",
            time=self._clock(),
            fact_id=fact_id(saga.saga_id, *key, discriminator),
            correlation_id=saga.facts[0].fact.correlationid,
            directives=saga.facts[0].fact.directives,
        )


def _check_running(saga: _Read) -> None:
    if saga.state.ended:
        raise Conflict(f"saga {saga.saga_id} has ended: {saga.state.status}")


def _said(text: str, what: str) -> str:
    if not text.strip():
        raise InvalidContract(f"{what}: who intervenes says who it is, and why")
    return text
