"""The part of a participant that does and undoes: one attempt after the other, each end stated as a fact."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import structlog
from pydantic import BaseModel, ValidationError

from contracts.definition import Step
from contracts.facts import (
    ABORTED_KEY,
    Carried,
    CompensationFailed,
    CompensationSkipped,
    FactKind,
    StepCompensated,
    StepFailed,
    StepSkipped,
    StepStarted,
    StoodDown,
    explain,
)
from contracts.failure import CODE_INPUT_INVALID, CODE_SKIPPED, Failure, InvalidContract
from contracts.references import Scope
from contracts.retries import next_delay_s
from events.clock import Chance, Clock, monotonic
from events.database import Database
from events.inbox import AlreadyKept, AlreadyUndone, EffectKey, Inbox
from events.outbox import Outbox
from saga import failpoints
from saga.action import Action, ActionContext
from saga.breaker import Breakers
from saga.choreography import decide
from saga.client import SagaClient
from saga.decisions import Compensate, GiveUp, Run, Skip, Sleep, StandDown
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
    attempt_to_undo,
)
from saga.gate import Gate
from saga.hooks.around import Around
from saga.scope import carry
from saga.turn import DONE, Answer, Attempt, Later, Turn, Voice
from saga.waits import Waits

log = structlog.get_logger(__name__)

_LOOK_AGAIN_S = 0.001
_MAX_PROBLEMS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What a worker works with, opened by its participant."""

    breakers: Breakers
    clock: Clock
    chance: Chance
    database: Database | None
    inbox: Inbox | None
    outbox: Outbox | None
    resource: Any
    client: SagaClient
    around: Around | None = None
    gate: Gate | None = None


@dataclass(slots=True)
class _Ready:
    """What an attempt is made with: the input as JSON data, and as the action's model."""

    arguments: dict[str, Any]
    command: BaseModel


class Worker:
    """Does and undoes the steps of one action."""

    def __init__(self, action: Action, voice: Voice, tools: Tools) -> None:
        self._action = action
        self._voice = voice
        self._tools = tools

    async def run(self, turn: Turn, decision: Run) -> Answer:
        """Do the step: one attempt."""
        attempt = self._voice.attempt(turn, compensation=False)
        if attempt.wait_s > 0:
            return Later(attempt.wait_s)
        context = self._context(turn, attempt.number)
        context.waits = Waits(self._tools.clock, decision.suspended, decision.signal)
        gate = self._tools.gate
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
                return await self._refused(turn)
            failpoints.at("do.started.after", turn.step.name)
        begun = monotonic()
        end = await self._attempt(turn.step, context, ready)
        failpoints.at("do.effect.after", turn.step.name)
        match end:
            case Done(output):
                return await self._complete(turn, output or {}, decision.scope, attempt, begun)
            case Failed(failure):
                if decision.resumed and self._tools.inbox is None:
                    # That this try had no effect says nothing of an earlier one, whose end is not known.
                    failure = failure.model_copy(update={"effect": "unknown"})
                return await self.fail(turn, failure, attempt, decision.scope)
            case Deferred(delay_s):
                return Later(delay_s)
            case Suspended(wait):
                return DONE if await self._voice.suspend(turn, wait) else await self._refused(turn)
            case Kept(by, reason):
                await self._close_kept(turn, by, reason)
            case Gone():
                # Whoever left the tombstone may have died before it closed the step.
                return await self._refused(turn)
        return DONE

    async def _refuse(self, turn: Turn, context: ActionContext, failure: Failure, scope: Scope) -> Answer:
        """The attempt fails before it is made."""
        if self._tools.around is not None:
            await self._tools.around.refused(context, failure)
        return await self.fail(turn, failure, context.attempt, scope)

    async def _ready(self, turn: Turn, decision: Run, context: ActionContext) -> "_Ready | Failure":
        """What the handler is given; a failure if that does not fit, or a required hook forbids the attempt."""
        try:
            arguments = turn.step.template.resolve(decision.scope)
            command = self._action.input.model_validate(arguments)
        except (ValidationError, InvalidContract) as error:
            return _invalid_input(error)
        if self._tools.around is not None:
            tried = decision.resumed or context.attempt > 1
            forbidden = await self._tools.around.before(context, arguments, tried=tried)
            if forbidden is not None:
                return forbidden
        return _Ready(arguments, command)

    async def _attempt(self, step: Step, context: ActionContext, ready: "_Ready") -> Ended:
        begun = monotonic()
        if context.directives.dry_run:
            end = await attempt_to_rehearse(self._action, context, ready.command, step.timeout_s)
        else:
            end = await attempt_to_do(self._action, context, ready.command, self._tools.inbox, step.timeout_s)
        if self._tools.around is None:
            return end
        return await self._tools.around.after(context, ready.arguments, end, _since(begun))

    async def _complete(
        self, turn: Turn, output: dict[str, Any], scope: Scope, attempt: int, begun: float
    ) -> Answer:
        # Built as JSON data, for this is the one fact of every hop; its model is StepCompleted.
        completed = {
            "output": output,
            "carried": carry(turn.definition, turn.step.name, scope),
            "attempt": attempt,
            "duration_ms": round((monotonic() - begun) * 1000, 3),
        }
        failpoints.at("do.publish.before", turn.step.name)
        if await self._voice.state(turn, FactKind.COMPLETED, completed):
            failpoints.at("do.publish.after", turn.step.name)
            return DONE
        return await self._refused(turn, output=output)

    async def fail(self, turn: Turn, failure: Failure, attempt: int, scope: Scope | None) -> Answer:
        """An attempt has failed: try again later, or fail for good. `scope` is None if it is not known."""
        delay_s = next_delay_s(turn.step.retry, failure, attempt, self._tools.chance())
        if delay_s is not None:
            again = await self._voice.attempt_failed(turn, failure, attempt, delay_s, compensation=False)
            if again is not None:
                return await self._voice.again(turn, again)
        try:
            stands = await self._note_refusal(turn, failure)
        except AlreadyUndone:
            return await self._refused(turn, failure=failure)
        except AlreadyKept as error:
            await self._close_kept(turn, error.by, error.reason)
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
            return await self._refused(turn, failure=failure)
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
        if self._tools.inbox is None:
            return failure
        return await self._tools.inbox.refuse(EffectKey(turn.saga_id, turn.step.name), failure)

    async def _abort(self, turn: Turn, failed: StepFailed) -> Answer:
        failpoints.at("do.abort.before", turn.step.name)
        if await self._voice.abort(turn, failed, by=self._action.name):
            failpoints.at("do.abort.after", turn.step.name)
            return DONE
        turn.facts = await self._voice.read(turn, whole=True)
        if (turn.step.name, FactKind.FAILED) in turn.facts:
            return DONE
        if ABORTED_KEY in turn.facts:
            return await self._close_as_owner(turn, failure=failed.failure)
        # The pivot has completed: from here the saga only goes forward, and this step waits for a person.
        return await self._state_failed(turn, failed)

    async def _state_failed(self, turn: Turn, failed: StepFailed) -> Answer:
        if await self._voice.state(turn, FactKind.FAILED, failed):
            return DONE
        return await self._refused(turn, failure=failed.failure)

    async def _refused(
        self, turn: Turn, *, failure: Failure | None = None, output: dict[str, Any] | None = None
    ) -> Answer:
        """The saga was aborted while this step was under way."""
        turn.facts = await self._voice.read(turn, whole=True)
        return await self._close_as_owner(turn, failure=failure, output=output)

    async def _close_as_owner(
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
                await self._close_kept(turn, by, reason)
            case Done():
                failpoints.at("undo.effect.after", turn.step.name)
                compensated = StepCompensated(
                    attempt=attempt.number,
                    output_known=decision.output is not None,
                    duration_ms=round((monotonic() - begun) * 1000, 3),
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
        context, begun = self._context(turn, attempt), monotonic()
        end: Ended = Done(None)
        # What was only rehearsed has no effect to undo.
        if not context.directives.dry_run:
            end = await attempt_to_undo(
                self._action, context, command, decision.output, self._tools.inbox, turn.step.timeout_s
            )
        around = self._tools.around
        return await around.undone(context, decision.input, end, _since(begun)) if around is not None else end

    async def _undo_failed(self, turn: Turn, failure: Failure, attempt: Attempt) -> Answer:
        # Giving up an undo needs a person, so it is tried again whatever the reason was.
        retryable = failure.model_copy(update={"retryable": True})
        policy = turn.step.compensation_retry
        delay_s = next_delay_s(policy, retryable, attempt.of_policy, self._tools.chance())
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
                return await self._refused(turn)
            except AlreadyKept as error:
                await self._close_kept(turn, error.by, error.reason)
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
        return await self._refused(turn)

    async def give_up(self, turn: Turn, decision: GiveUp) -> None:
        """Close a step that will not be undone. The guard must know it before anyone hears it."""
        if self._tools.inbox is not None:
            key = EffectKey(turn.saga_id, turn.step.name)
            try:
                kept = await self._tools.inbox.keep(key, by=decision.by, reason=decision.reason)
            except AlreadyUndone:
                await self.stand_down(turn, "the guard holds its refusal")
                return
            except AlreadyKept as error:
                await self._close_kept(turn, error.by, error.reason)
                return
            if not kept:
                # A worker that was paused has undone it after all.
                attempt = self._voice.attempt(turn, compensation=True).number
                await self._voice.close(turn, FactKind.COMPENSATED, StepCompensated(attempt=attempt))
                return
        await self._close_kept(turn, decision.by, decision.reason)

    async def _close_kept(self, turn: Turn, by: str, reason: str) -> None:
        skipped = CompensationSkipped(by=by, reason=reason)
        await self._voice.close(turn, FactKind.COMPENSATION_SKIPPED, skipped)

    def _context(self, turn: Turn, attempt: int) -> ActionContext:
        fact = turn.heard.fact
        tools = self._tools
        return ActionContext(
            saga_id=fact.sagaid,
            step=turn.step.name,
            action=self._action.name,
            definition=fact.definition,
            attempt=attempt,
            deadline=tools.clock() + timedelta(seconds=turn.step.timeout_s),
            clock=tools.clock,
            breakers=tools.breakers,
            correlation_id=fact.correlationid,
            traceparent=fact.traceparent,
            directives=turn.directives.of_the_starter,
            database=tools.database,
            outbox=tools.outbox,
            emits=self._action.emits,
            resource=tools.resource,
            client=tools.client,
        )


def _since(begun: float) -> float:
    return (monotonic() - begun) * 1000


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
