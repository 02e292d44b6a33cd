"""The part of a worker that closes steps in the wave back: undoing, standing down, giving up; each stated as a fact."""

from dataclasses import replace
from typing import Any

import structlog
from pydantic import ValidationError

from contracts.facts import (
    CompensationFailed,
    CompensationSkipped,
    FactKind,
    StepCompensated,
    StoodDown,
    explain,
)
from contracts.failure import CODE_INPUT_INVALID, Failure
from contracts.retries import next_delay_s
from events.clock import monotonic
from events.inbox import AlreadyKept, AlreadyUndone, EffectKey
from saga import failpoints
from saga.action import Action
from saga.choreography import decide
from saga.decisions import Compensate, GiveUp, Sleep, StandDown
from saga.equipment import Equipment
from saga.execution import Attempt as Ended
from saga.execution import Deferred, Done, Failed, Gone, Kept, attempt_to_undo
from saga.turn import DONE, Answer, Attempt, Later, Turn, Voice

log = structlog.get_logger(__name__)


class Closer:
    """Closes the steps of one action."""

    def __init__(self, action: Action, voice: Voice, equipment: Equipment) -> None:
        self._action = action
        self._voice = voice
        self._equipment = equipment

    async def refused(
        self, turn: Turn, *, failure: Failure | None = None, output: dict[str, Any] | None = None
    ) -> Answer:
        """The saga was aborted while this step was under way."""
        turn.facts = await self._voice.read(turn, whole=True)
        return await self.close_as_owner(turn, failure=failure, output=output)

    async def close_as_owner(
        self, turn: Turn, *, failure: Failure | None = None, output: dict[str, Any] | None = None
    ) -> Answer:
        turn.trigger = replace(turn.trigger, owner=True, refused=failure)
        decision = decide(turn.definition, turn.step.name, turn.facts, turn.trigger)
        match decision:
            case Compensate():
                return await self.compensate(turn, replace(decision, output=decision.output or output))
            case StandDown(reason):
                await self.stand_down(turn, reason)
            case Sleep(due):
                # Another holder of this delivery has parked the undo, and may have died before it armed the timer.
                await self._voice.arm(turn, due)
        return DONE

    async def stand_down(self, turn: Turn, reason: str) -> None:
        """Close a step that had no effect."""
        await self._voice.close(turn, FactKind.STOOD_DOWN, StoodDown(reason=reason))

    async def compensate(self, turn: Turn, decision: Compensate) -> Answer:
        """Undo the step: one attempt."""
        attempt = self._voice.attempt(turn, compensation=True)
        if attempt.wait_s > 0:
            return Later(attempt.wait_s)
        begun = monotonic()
        match await self._undo(turn, decision, attempt.number):
            case Gone():
                await self.stand_down(turn, "the guard holds its refusal")
            case Kept(by, reason):
                await self.close_kept(turn, by, reason)
            case Done():
                failpoints.at("undo.effect.after", turn.step.name)
                compensated = StepCompensated(
                    attempt=attempt.number,
                    output_known=decision.output is not None,
                    duration_ms=round(since_ms(begun), 3),
                )
                failpoints.at("undo.publish.before", turn.step.name)
                await self._voice.close(turn, FactKind.COMPENSATED, compensated)
                failpoints.at("undo.publish.after", turn.step.name)
            case Failed(failure):
                return await self._undo_failed(turn, failure, attempt)
            case Deferred(delay_s):
                return Later(delay_s)
        return DONE

    async def _undo(self, turn: Turn, decision: Compensate, attempt: int) -> Ended:
        try:
            command = self._action.input.model_validate(decision.input)
        except ValidationError as error:
            return Failed(Failure(code=CODE_INPUT_INVALID, message=explain(error)[:4096], effect="none"))
        context, begun = self._equipment.context(self._action, turn, attempt), monotonic()
        end: Ended = Done(None)
        # What was only rehearsed has no effect to undo.
        if not context.directives.dry_run:
            end = await attempt_to_undo(
                self._action, context, command, decision.output, self._equipment.inbox, turn.step.timeout_s
            )
        around = self._equipment.around
        return (
            await around.undone(context, decision.input, end, since_ms(begun)) if around is not None else end
        )

    async def _undo_failed(self, turn: Turn, failure: Failure, attempt: Attempt) -> Answer:
        # Giving up an undo needs a person, so it is tried again whatever the reason was.
        retryable = failure.model_copy(update={"retryable": True})
        policy = turn.step.compensation_retry
        delay_s = next_delay_s(policy, retryable, attempt.of_policy, self._equipment.chance())
        if delay_s is not None:
            again = await self._voice.attempt_failed(
                turn, failure, attempt.number, delay_s, compensation=True
            )
            return await self._voice.again(turn, again) if again is not None else DONE
        log.error("step.compensation_failed", step=turn.step.name, saga_id=turn.saga_id, code=failure.code)
        failed = CompensationFailed(failure=failure, attempt=attempt.number)
        before = turn.facts.get((turn.step.name, FactKind.COMPENSATION_FAILED))
        after = before.sequence if before else 0
        await self._voice.close(turn, FactKind.COMPENSATION_FAILED, failed, after=after)
        return DONE

    async def give_up(self, turn: Turn, decision: GiveUp) -> None:
        """Close a step that will not be undone. The guard must know it before anyone hears it."""
        if self._equipment.inbox is not None:
            key = EffectKey(turn.saga_id, turn.step.name)
            try:
                kept = await self._equipment.inbox.keep(key, by=decision.by, reason=decision.reason)
            except AlreadyUndone:
                await self.stand_down(turn, "the guard holds its refusal")
                return
            except AlreadyKept as error:
                await self.close_kept(turn, error.by, error.reason)
                return
            if not kept:
                # A worker that was paused has undone it after all.
                attempt = self._voice.attempt(turn, compensation=True).number
                await self._voice.close(turn, FactKind.COMPENSATED, StepCompensated(attempt=attempt))
                return
        await self.close_kept(turn, decision.by, decision.reason)

    async def close_kept(self, turn: Turn, by: str, reason: str) -> None:
        skipped = CompensationSkipped(by=by, reason=reason)
        await self._voice.close(turn, FactKind.COMPENSATION_SKIPPED, skipped)


def since_ms(begun: float) -> float:
    """Milliseconds since a moment of the monotonic clock."""
    return (monotonic() - begun) * 1000
