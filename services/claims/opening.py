"""Entering a phase from within a step."""

from contracts.claims import PhaseOpened
from contracts.failure import Conflict
from contracts.phases import PhaseEntry, definition_name, phase_saga_key
from saga.action import ActionContext
from saga.client import StartOptions, saga_id_of


async def open_saga(ctx: ActionContext, phase: int, entry: PhaseEntry) -> PhaseOpened:
    """Start the phase's saga, once per entry. Somebody who was first with another content has the last word, too."""
    options = StartOptions(
        idempotency_key=phase_saga_key(entry),
        correlation_id=ctx.correlation_id,
        traceparent=ctx.traceparent,
        source=f"/participants/{ctx.action}",
    )
    try:
        started = await ctx.sagas.start(definition_name(phase), entry.model_dump(mode="json"), options)
    except Conflict as error:
        ctx.log.warning("claims.entered_otherwise", key=entry.key, reason=str(error))
        return PhaseOpened(saga_id=saga_id_of(options), created=False)
    return PhaseOpened(saga_id=started.saga_id, created=started.created)
