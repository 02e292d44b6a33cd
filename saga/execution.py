"""One attempt to do or to undo a step: under its timeout, behind the guard, its end classified.

The end of an attempt is a value: `Done`, `Failed`, `Deferred` (an open breaker: no attempt was spent),
`Gone` (the step was undone before: nothing to state) or `Kept` (its undo was given up).
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import structlog
from pydantic import BaseModel, ValidationError

from contracts.facts import StepSuspended, explain
from contracts.failure import CODE_NO_REHEARSAL, CODE_OUTPUT_INVALID, CODE_TIMEOUT, CODE_UNEXPECTED, Failure
from events.inbox import AlreadyKept, AlreadyRefused, AlreadyUndone, EffectKey, Inbox, Output
from events.limits import Limits
from saga import failpoints
from saga.action import Action
from saga.breaker import BreakerOpen
from saga.context import ActionContext
from saga.refusals import NotYet, Refused, Unavailable
from saga.waits import Suspend

log = structlog.get_logger(__name__)

LIMITS = Limits()
# A breaker may be reset or configured before its time is over: what it holds back must hear of it soon.
_ASK_AGAIN_S = 5.0


@dataclass(slots=True)
class Done:
    """It worked. `output` is JSON data (None for an undo)."""

    output: Output | None


@dataclass(frozen=True, slots=True)
class Failed:
    failure: Failure


@dataclass(frozen=True, slots=True)
class Deferred:
    """Not tried, or not at its end: again after `delay_s` seconds."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class Gone:
    """The guard has decided before: undone before its effect, or (for an undo) refused without one."""


@dataclass(frozen=True, slots=True)
class Suspended:
    """The handler waits, and was left."""

    wait: StepSuspended


@dataclass(frozen=True, slots=True)
class Kept:
    """A person has given the undo up before: that is how the step ends."""

    by: str
    reason: str


type Attempt = Done | Failed | Deferred | Gone | Kept | Suspended


def counts_against(error: BaseException) -> bool:
    """Whether an exception speaks against the other side of a breaker: a refusal is an answer."""
    return not isinstance(error, Refused | BreakerOpen | NotYet | Suspend)


async def attempt_to_do(
    action: Action, ctx: ActionContext, command: BaseModel, inbox: Inbox | None, timeout_s: float
) -> Attempt:
    """Run the handler once."""

    async def run() -> Output:
        failpoints.at("do.effect.before", ctx.step)
        if inbox is None:
            return _dump(action, await action.handler(ctx, command))
        key = EffectKey(ctx.saga_id, ctx.step)
        if not action.external:
            return await inbox.once(key, lambda session: _in_session(action, ctx, command, session))
        intent = await inbox.intend(key)
        if intent.output is not None:
            return intent.output
        failpoints.at("do.effect.noted", ctx.step)
        try:
            output = _dump(action, await action.handler(ctx, command))
        except (Refused, Unavailable) as error:
            if intent.tried_before:
                # That this try had no effect says nothing of an earlier one, whose end is not known.
                error.failure = error.failure.model_copy(update={"effect": "unknown"})
            raise
        failpoints.at("do.effect.outside", ctx.step)
        await inbox.conclude(key, output)
        return output

    return await _end(run, ctx, timeout_s, rolled_back=inbox is not None and not action.external)


async def attempt_to_rehearse(
    action: Action, ctx: ActionContext, command: BaseModel, timeout_s: float
) -> Attempt:
    """Run what stands for the handler in a dry run: without the guard, in a transaction that is rolled back.

    An action that acts outside has no transaction in its handler, and so none in its rehearsal.
    """
    rehearsal = action.dry_run
    if rehearsal is None:
        message = f"{action.name} cannot be run dry: it has no rehearsal, and does not only read"
        return Failed(Failure(code=CODE_NO_REHEARSAL, message=message, effect="none"))

    async def run() -> Output:
        if ctx.database is None or not action.guarded or action.external:
            return _dump(action, await rehearsal(ctx, command))
        try:
            async with ctx.database.transaction() as session:
                raise _RolledBack(_dump(action, await rehearsal(replace(ctx, session=session), command)))
        except _RolledBack as done:
            return done.output

    return await _end(run, ctx, timeout_s, rolled_back=True)


async def attempt_to_undo(
    action: Action, ctx: ActionContext, command: BaseModel, output: Output | None, inbox: Inbox | None,
    timeout_s: float,
) -> Attempt:  # fmt: skip
    """Run the compensation once. The guard's own record of the output wins over the fact's."""
    undo = action.undo
    if undo is None:
        raise AssertionError(f"{action.name} has no compensation but a step of it stated `started`")
    key = EffectKey(ctx.saga_id, ctx.step)

    async def run() -> None:
        failpoints.at("undo.effect.before", ctx.step)
        if inbox is None:
            await undo(ctx, command, _load(action, output))
        elif action.external:

            async def outside(known: Output | None) -> None:
                await undo(ctx, command, _load(action, known or output))
                failpoints.at("undo.effect.outside", ctx.step)

            await inbox.undo_outside(key, outside)
        else:

            async def in_session(session: Any, known: Output | None) -> None:
                await undo(replace(ctx, session=session), command, _load(action, known or output))

            await inbox.undo(key, in_session)

    return await _end(run, ctx, timeout_s, rolled_back=False)


async def _in_session(action: Action, ctx: ActionContext, command: BaseModel, session: Any) -> Output:
    return _dump(action, await action.handler(replace(ctx, session=session), command))


async def _end(
    run: Callable[[], Awaitable[Output | None]], ctx: ActionContext, timeout_s: float, *, rolled_back: bool
) -> Attempt:
    try:
        async with LIMITS.of(timeout_s) as limit:
            return Done(await run())
    except AlreadyUndone:
        return Gone()
    except AlreadyKept as error:
        return Kept(error.by, error.reason)
    except AlreadyRefused as error:
        return Failed(error.failure.model_copy(update={"retryable": False}))
    except (Refused, Unavailable) as error:
        return Failed(error.failure)
    except NotYet as error:
        return Deferred(error.delay_s)
    except BreakerOpen as error:
        return Deferred(min(error.retry_after_s, _ASK_AGAIN_S))
    except Suspend as error:
        return Suspended(error.wait)
    except TimeoutError as error:
        if limit.expired():
            failure = Failure(
                code=CODE_TIMEOUT,
                message=f"no answer within {timeout_s} s",
                retryable=True,
                effect=_effect(rolled_back),
            )
            return Failed(failure)
        return Failed(_unexpected(error, ctx, rolled_back))
    except _InvalidOutput as error:
        return Failed(Failure(code=CODE_OUTPUT_INVALID, message=str(error), effect=_effect(rolled_back)))
    except Exception as error:
        return Failed(_unexpected(error, ctx, rolled_back))


def _unexpected(error: Exception, ctx: ActionContext, rolled_back: bool) -> Failure:
    ctx.log.exception("action.unexpected_error")
    return Failure(
        code=CODE_UNEXPECTED,
        message=f"{type(error).__name__}: {error}"[:4096],
        retryable=True,
        effect=_effect(rolled_back),
    )


def _effect(rolled_back: bool) -> Any:
    # What ran inside a transaction that did not commit has not happened.
    return "none" if rolled_back else "unknown"


class _RolledBack(Exception):
    """Ends the transaction of a rehearsal."""

    def __init__(self, output: Output) -> None:
        super().__init__("a rehearsal writes nothing")
        self.output = output


class _InvalidOutput(Exception):
    """The handler returned something else than it promised."""


def _dump(action: Action, output: Any) -> Output:
    if not isinstance(output, action.output):
        raise _InvalidOutput(
            f"{action.name} must return {action.output.__name__}, not {type(output).__name__}"
        )
    return output.model_dump(mode="json")


def _load(action: Action, output: Output | None) -> BaseModel | None:
    if output is None:
        return None
    try:
        return action.output.model_validate(output)
    except ValidationError as error:
        raise _InvalidOutput(f"{action.name}: recorded output: {explain(error)}") from error
