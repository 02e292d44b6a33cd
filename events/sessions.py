"""Sessions on the bus: one key each, written only over the revision it was read at."""

from collections.abc import Callable

from contracts.failure import Conflict
from contracts.sessions import SessionRecord
from contracts.subjects import valid_token
from events.bus import Bus
from events.names import EXPECTED_SEQUENCE
from events.publish import Fenced
from events.read import stored

_TRIES = 50


class SessionBucket:
    """The bucket of sessions."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._bucket = bus.names.sessions

    async def read(self, session_id: str) -> SessionRecord | None:
        """The session, or None. Raises ReadFailed, InvalidContract."""
        return (await self._read(session_id))[0]

    async def change(
        self, session_id: str, change: Callable[[SessionRecord | None], SessionRecord]
    ) -> SessionRecord:
        """Apply a change to what is there. Raises Conflict if others are always faster, PublishFailed, ReadFailed."""
        for _ in range(_TRIES):
            record, revision = await self._read(session_id)
            wanted = change(record)
            try:
                headers = {EXPECTED_SEQUENCE: str(revision)}
                await self._bus.publisher.send(
                    self._key(session_id), wanted.model_dump_json().encode(), headers
                )
            except Fenced:
                continue
            return wanted
        raise Conflict(f"session {session_id} changes too fast to be changed: try again")

    async def _read(self, session_id: str) -> tuple[SessionRecord | None, int]:
        found = await stored(self._bus, f"KV_{self._bucket}", subject=self._key(session_id))
        return (SessionRecord.decode(found.data or b""), found.seq or 0) if found else (None, 0)

    def _key(self, session_id: str) -> str:
        return f"$KV.{self._bucket}.{valid_token(session_id, 'session')}"
