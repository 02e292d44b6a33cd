"""The session hook: an execution that names a session opens it with its first step, and keeps it active.

Two repeats of one attempt count twice; nothing of a saga depends on a session.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from contracts.sessions import MAX_SAGAS, SessionRecord
from events.bus import Bus
from events.clock import Clock
from events.sessions import SessionBucket
from saga.hooks import Hook, HookEvent, Stage


def touched(record: SessionRecord | None, event: HookEvent) -> SessionRecord:
    """The session after an event; a new one if there was none."""
    present = record or SessionRecord(
        session_id=event.directives.session,
        user=event.directives.user,
        opened_at=event.at,
        active_at=event.at,
    )
    others = tuple(saga_id for saga_id in present.sagas if saga_id != event.saga_id)
    return present.model_copy(
        update={
            "active_at": max(present.active_at, event.at),
            "sagas": (*others, event.saga_id)[-MAX_SAGAS:],
            "last_action": event.action,
            "attempts": present.attempts + (event.stage is Stage.POST),
            "failures": present.failures + (event.stage is Stage.ERROR),
            "undone": present.undone + (event.stage is Stage.COMPENSATION),
        }
    )


@asynccontextmanager
async def open_sessions(bus: Bus, clock: Clock) -> AsyncIterator[Hook]:
    """The session hook over the bucket of the bus."""
    bucket = SessionBucket(bus)

    async def touch(event: HookEvent) -> None:
        if session := event.directives.session:
            await bucket.change(session, lambda record: touched(record, event))

    yield Hook(name="session", run=touch, order=50, data=False)
