"""The part of a participant that does steps: one attempt after the other, each end stated as a fact."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from contracts.definition import Step
from contracts.facts import (
    ABORTED_KEY,
    Carried,
    FactKind,
    StepFailed,
    StepSkipped,
    StepStarted,
    explain,
)
from contracts.failure import CODE_INPUT_INVALID, CODE_SKIPPED, Failure, InvalidContract
from contracts.references import Scope
from contracts.retries import next_delay_s
from events.clock import monotonic
from events.inbox import AlreadyKept, AlreadyUndone, EffectKey
from saga import failpoints
from saga.closing import Closer, since_ms
from saga.context import ActionContext
from saga.decisions import Run, Skip
from saga.execution import Attempt as Ended
from saga.execution import (
    Deferred,
    Done,
    Failed,
    Gone,
    Kept,
    Suspended,
    attempt_to_do,
    attempt_to_rehearse,
)
from saga.scope import carry
from saga.turn import DONE, Answer, Later, Turn
from saga.waits import Waits

_LOOK_AGAIN_S = 0.001
_MAX_PROBLEMS = 20


@dataclass(slots=True)
class _Ready:
    """What an attempt is made with: the input as JSON data, and as the action's model."""

    arguments: dict[str, Any]
    command: BaseModel


class Worker(Closer):
    """Does the steps of one action, and closes them."""

    async def run(self, turn: Turn, decision: Run) -> Answer:
        """Do the step: one attempt."""
        attempt = self._voice.attempt(turn, compensation=False)
        if attempt.wait_s > 0:
            return Later(attempt.wait_s)
        context = self._equipment.context(self._action, turn, attempt.number)
        context.waits = Waits(self._equipment.clock, decision.suspended, decision.signal)
        gate = self._equipment.gate
        if gate is None:
            return await self._run(turn, decision, context)
        tried = decision.resumed or attempt.number > 1
        async with gate.admitted(context, turn.step.timeout_s, tried=tried) as refusal:
            match refusal:
                case Failure():
                    return await self._refuse(turn, context, refusal, decision.scope)
                case float(wait_s):
                    return Later(wait_s)
                case _:
                    return await self._run(turn, decision, context)

    async def _run(self, turn: Turn, decision: Run, context: ActionContext) -> Answer:
        attempt = context.attempt
        ready = await self._ready(turn, decision, context)
        if isinstance(ready, Failure):
            return await self._refuse(turn, context, ready, decision.scope)
        if self._action.compensable and turn.step.compensate and not decision.resumed:
            started = StepStarted(input=ready.arguments, attempt=attempt)
            failpoints.at("do.started.before", turn.step.name)
            if not await self._voice.state(turn, FactKind.STARTED, started):
                return await self.refused(turn)
            failpoints.at("do.started.after", turn.step.name)
        begun = monotonic()
        end = await self._attempt(turn.step, context, ready)
        failpoints.at("do.effect.after", turn.step.name)
        match end:
            case Done(output):
                return await self._complete(turn, output or {}, decision.scope, attempt, begun)
            case Failed(failure):
                if decision.resumed and self._equipment.inbox is None:
                    # That this try had no effect says nothing of an earlier one, whose end is not known.
                    failure = failure.model_copy(update={"effect": "unknown"})
                return await self.fail(turn, failure, attempt, decision.scope)
            case Deferred(delay_s):
                return Later(delay_s)
            case Suspended(wait):
                return DONE if await self._voice.suspend(turn, wait) else await self.refused(turn)
            case Kept(by, reason):
                await self.close_kept(turn, by, reason)
            case Gone():
                # Whoever left the tombstone may have died before it closed the step.
                return await self.refused(turn)
        return DONE

    async def _refuse(self, turn: Turn, context: ActionContext, failure: Failure, scope: Scope) -> Answer:
        """The attempt fails before it is made."""
        if self._equipment.around is not None:
            await self._equipment.around.refused(context, failure)
        return await self.fail(turn, failure, context.attempt, scope)

    async def _ready(self, turn: Turn, decision: Run, context: ActionContext) -> "_Ready | Failure":
        """What the handler is given; a failure if that does not fit, or a required hook forbids the attempt."""
        try:
            arguments = turn.step.template.resolve(decision.scope)
            command = self._action.input.model_validate(arguments)
        except (ValidationError, InvalidContract) as error:
            return _invalid_input(error)
        if self._equipment.around is not None:
            tried = decision.resumed or context.attempt > 1
            forbidden = await self._equipment.around.before(context, arguments, tried=tried)
            if forbidden is not None:
                return forbidden
        return _Ready(arguments, command)

    async def _attempt(self, step: Step, context: ActionContext, ready: "_Ready") -> Ended:
        begun = monotonic()
        if context.directives.dry_run:
            end = await attempt_to_rehearse(self._action, context, ready.command, step.timeout_s)
        else:
            end = await attempt_to_do(
                self._action, context, ready.command, self._equipment.inbox, step.timeout_s
            )
        if self._equipment.around is None:
            return end
        return await self._equipment.around.after(context, ready.arguments, end, since_ms(begun))

    async def _complete(
        self, turn: Turn, output: dict[str, Any], scope: Scope, attempt: int, begun: float
    ) -> Answer:
        # Built as JSON data, for this is the one fact of every hop; its model is StepCompleted.
        completed = {
            "output": output,
            "carried": carry(turn.definition, turn.step.name, scope),
            "attempt": attempt,
            "duration_ms": round(since_ms(begun), 3),
        }
        failpoints.at("do.publish.before", turn.step.name)
        if await self._voice.state(turn, FactKind.COMPLETED, completed):
            failpoints.at("do.publish.after", turn.step.name)
            return DONE
        return await self.refused(turn, output=output)

    async def fail(self, turn: Turn, failure: Failure, attempt: int, scope: Scope | None) -> Answer:
        """An attempt has failed: try again later, or fail for good. `scope` is None if it is not known."""
        delay_s = next_delay_s(turn.step.retry, failure, attempt, self._equipment.chance())
        if delay_s is not None:
            again = await self._voice.attempt_failed(turn, failure, attempt, delay_s, compensation=False)
            if again is not None:
                return await self._voice.again(turn, again)
        try:
            stands = await self._note_refusal(turn, failure)
        except AlreadyUndone:
            return await self.refused(turn, failure=failure)
        except AlreadyKept as error:
            await self.close_kept(turn, error.by, error.reason)
            return DONE
        if isinstance(stands, Failure):
            failure = stands
            if failure.code == CODE_SKIPPED:
                # Somebody has it skipped, and this worker had not heard of it: look again.
                return Later(_LOOK_AGAIN_S)
        elif scope is not None:
            # Another replica's effect came first, so the step has not failed.
            return await self._complete(turn, stands, scope, attempt, monotonic())
        if delay_s is not None:
            return await self.refused(turn, failure=failure)
        carried = Carried()
        if scope is not None:
            carried = Carried.model_validate(carry(turn.definition, turn.step.name, scope))
        failed = StepFailed(failure=failure, attempt=attempt, carried=carried)
        if turn.step.on_error == "abort":
            return await self._abort(turn, failed)
        return await self._state_failed(turn, failed)

    async def _note_refusal(self, turn: Turn, failure: Failure) -> Failure | dict[str, Any]:
        """Let the guard bar a later effect of this step; the failure that stands, or the output if there was
        an effect already."""
        if self._equipment.inbox is None:
            return failure
        return await self._equipment.inbox.refuse(EffectKey(turn.saga_id, turn.step.name), failure)

    async def _abort(self, turn: Turn, failed: StepFailed) -> Answer:
        failpoints.at("do.abort.before", turn.step.name)
        if await self._voice.abort(turn, failed, by=self._action.name):
            failpoints.at("do.abort.after", turn.step.name)
            return DONE
        turn.facts = await self._voice.read(turn, whole=True)
        if (turn.step.name, FactKind.FAILED) in turn.facts:
            return DONE
        if ABORTED_KEY in turn.facts:
            return await self.close_as_owner(turn, failure=failed.failure)
        # The pivot has completed: from here the saga only goes forward, and this step waits for a person.
        return await self._state_failed(turn, failed)

    async def _state_failed(self, turn: Turn, failed: StepFailed) -> Answer:
        if await self._voice.state(turn, FactKind.FAILED, failed):
            return DONE
        return await self.refused(turn, failure=failed.failure)

    async def skip(self, turn: Turn, skip: Skip) -> Answer:
        """Pass the step by. If somebody wants that, the guard must know it before anyone hears it."""
        if skip.by:
            effect = "unknown" if (turn.step.name, FactKind.STARTED) in turn.facts else "none"
            wanted = Failure.model_validate(
                {"code": CODE_SKIPPED, "message": f"skipped by {skip.by}: {skip.reason}", "effect": effect}
            )
            try:
                stands = await self._note_refusal(turn, wanted)
            except AlreadyUndone:
                return await self.refused(turn)
            except AlreadyKept as error:
                await self.close_kept(turn, error.by, error.reason)
                return DONE
            if not isinstance(stands, Failure):
                return await self._complete(turn, stands, skip.scope, 1, monotonic())
            if stands.code != CODE_SKIPPED:
                # It had failed for good before, and who noted that may state it yet.
                attempt = self._voice.attempt(turn, compensation=False).number
                return await self.fail(
                    turn, stands.model_copy(update={"retryable": False}), attempt, skip.scope
                )
        carried = carry(turn.definition, turn.step.name, skip.scope)
        skipped = StepSkipped.model_validate({"reason": skip.reason, "by": skip.by, "carried": carried})
        if await self._voice.state(turn, FactKind.SKIPPED, skipped):
            return DONE
        return await self.refused(turn)


def _invalid_input(error: ValidationError | InvalidContract) -> Failure:
    """Why the input does not fit the action; `details.problems` has pointers into the step."""
    if not isinstance(error, ValidationError):
        return Failure(code=CODE_INPUT_INVALID, message=str(error)[:4096], effect="none")
    problems = [
        {"pointer": "".join(f"/{part}" for part in ("input", *problem["loc"])), "detail": problem["msg"]}
        for problem in error.errors(include_input=False, include_url=False)[:_MAX_PROBLEMS]
    ]
    return Failure(
        code=CODE_INPUT_INVALID, message=explain(error)[:4096], effect="none", details={"problems": problems}
    )
