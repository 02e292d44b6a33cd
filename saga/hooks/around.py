"""Hooks around the attempts of a step: the worker's side of them. A worker without hooks never comes here."""

from dataclasses import dataclass
from typing import Any

from contracts.failure import CODE_HOOK_FAILED, Failure
from events.clock import Clock
from saga.context import ActionContext
from saga.execution import Attempt, Done, Failed
from saga.hooks import HookEvent, Stage
from saga.hooks.manager import HookFailed, HookManager
from saga.hooks.redaction import Redactor

type Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Around:
    """Tells an action's hooks what happens to its steps."""

    hooks: HookManager
    redact: Redactor
    clock: Clock

    async def before(self, ctx: ActionContext, arguments: Json, *, tried: bool) -> Failure | None:
        """Before an attempt; the failure if a required hook forbids it.

        This attempt has then had no effect; `tried`: an earlier one may have.
        """
        return await self._run(Stage.PRE, ctx, arguments, effect="unknown" if tried else "none")

    async def after(self, ctx: ActionContext, arguments: Json, end: Attempt, duration_ms: float) -> Attempt:
        """After an attempt: its end, unless a required hook makes it a failure."""
        match end:
            case Done(output):
                failure = await self._run(
                    Stage.POST, ctx, arguments, output=output, duration_ms=duration_ms, effect="unknown"
                )
                return Failed(failure) if failure else end
            case Failed(failed):
                # The attempt has failed anyway: a required hook cannot make it fail more.
                await self._run(
                    Stage.ERROR, ctx, arguments, failure=failed, duration_ms=duration_ms, effect="unknown"
                )
        return end

    async def refused(self, ctx: ActionContext, failure: Failure) -> None:
        """After an attempt that failed before it was made: its input does not fit, or it was not let in."""
        await self._run(Stage.ERROR, ctx, {}, failure=failure, effect="none")

    async def undone(self, ctx: ActionContext, arguments: Json, end: Attempt, duration_ms: float) -> Attempt:
        """After an attempt to undo: its end, unless a required hook makes it one that is repeated."""
        match end:
            case Done():
                failure = await self._run(
                    Stage.COMPENSATION, ctx, arguments, duration_ms=duration_ms, effect="unknown"
                )
                return Failed(failure) if failure else end
            case Failed(failed):
                await self._run(
                    Stage.ERROR, ctx, arguments, failure=failed, duration_ms=duration_ms, effect="unknown"
                )
        return end

    async def _run(
        self, stage: Stage, ctx: ActionContext, arguments: Json, *, effect: Any, output: Json | None = None,
        failure: Failure | None = None, duration_ms: float = 0.0,
    ) -> Failure | None:  # fmt: skip
        def event(data: bool) -> HookEvent:
            return HookEvent(
                stage=stage,
                saga_id=ctx.saga_id,
                definition=ctx.definition,
                step=ctx.step,
                action=ctx.action,
                attempt=ctx.attempt,
                at=self.clock(),
                directives=ctx.directives,
                correlation_id=ctx.correlation_id,
                input=self.redact(arguments) if data else {},
                output=self.redact(output) if data and output is not None else None,
                failure=self._redacted(failure) if failure else None,
                duration_ms=round(duration_ms, 3),
            )

        try:
            await self.hooks.run(stage, ctx.directives, event)
        except HookFailed as error:
            return Failure(code=CODE_HOOK_FAILED, message=str(error)[:4096], retryable=True, effect=effect)
        return None

    def _redacted(self, failure: Failure) -> Failure:
        message, details = self.redact.text(failure.message), self.redact(failure.details)
        return failure.model_copy(update={"message": message, "details": details})
