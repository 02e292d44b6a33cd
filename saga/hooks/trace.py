"""The trace hook: a log line for every stage of an execution that asks for `trace: full`, with its data, redacted."""

import structlog

from saga.hooks import Hook, HookEvent

log = structlog.get_logger(__name__)


async def _tell(event: HookEvent) -> None:
    # Whoever asks for it wants to see it, at the level that logs have by default.
    log.warning(
        "trace", stage=event.stage, saga_id=event.saga_id, step=event.step, action=event.action,
        attempt=event.attempt, input=event.input, output=event.output, duration_ms=event.duration_ms,
        failure=event.failure.code if event.failure else None,
    )  # fmt: skip


TRACE = Hook(name="trace", run=_tell, order=1000, trace="full")
