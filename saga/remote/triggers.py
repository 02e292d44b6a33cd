"""Triggers: what starts workflows by itself, by hand, or by a program."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from contracts.triggers import Firing, Outcome
from saga.api.triggers import FiringAnswer, Kind, TriggerAnswer
from saga.remote.transport import ANY, Transport, route


@dataclass(frozen=True, slots=True)
class ReadTrigger:
    """A trigger as it stands, and the ETag of this state."""

    answer: TriggerAnswer
    etag: str


class Triggers:
    """Triggers by name. A change goes over the state of that `etag`, or over any."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def create(self, trigger: Mapping[str, Any], *, by: str = "", reason: str = "") -> ReadTrigger:
        """Raises RemoteInvalid with a pointer for every mistake, RemoteConflict (the name is taken)."""
        words = {"by": by, "reason": reason}
        return await self._ask("POST", route("triggers"), body=dict(trigger), query=words)

    def all(
        self, *, kind: Kind | None = None, workflow: str | None = None, enabled: bool | None = None
    ) -> AsyncIterator[TriggerAnswer]:
        """By name."""
        query = {"kind": kind, "workflow": workflow, "enabled": enabled}
        return self._transport.all(route("triggers"), TriggerAnswer, query)

    async def get(self, name: str) -> ReadTrigger:
        """Raises RemoteNotFound."""
        return await self._ask("GET", route("triggers", name))

    async def update(
        self, name: str, trigger: Mapping[str, Any], *, etag: str = ANY, by: str = "", reason: str = ""
    ) -> ReadTrigger:
        """Raises RemoteNotFound, RemoteStale, RemoteInvalid, RemoteConflict (another kind)."""
        words, headers = {"by": by, "reason": reason}, {"If-Match": etag}
        path = route("triggers", name)
        return await self._ask("PUT", path, body=dict(trigger), query=words, headers=headers)

    async def delete(self, name: str, *, etag: str = ANY, by: str = "", reason: str = "") -> None:
        """Raises RemoteNotFound, RemoteStale."""
        words, headers = {"by": by, "reason": reason}, {"If-Match": etag}
        await self._transport.ask("DELETE", route("triggers", name), query=words, headers=headers)

    async def enable(self, name: str, *, by: str, reason: str) -> ReadTrigger:
        """Raises RemoteNotFound."""
        return await self._ask("POST", route("triggers", name, "enable"), body={"by": by, "reason": reason})

    async def disable(self, name: str, *, by: str, reason: str) -> ReadTrigger:
        """Raises RemoteNotFound."""
        return await self._ask("POST", route("triggers", name, "disable"), body={"by": by, "reason": reason})

    async def fire(
        self, name: str, data: Any = None, *, by: str, event_id: str | None = None
    ) -> FiringAnswer:
        """Fire it; the same `event_id` once more starts nothing. Raises RemoteNotFound, RemoteConflict (disabled)."""
        body = {"by": by, "data": {} if data is None else data, "event_id": event_id}
        answer = await self._transport.ask("POST", route("triggers", name, "fire"), body=body)
        return FiringAnswer.model_validate(answer.body)

    def firings(self, name: str, *, outcome: Outcome | None = None) -> AsyncIterator[Firing]:
        """What became of its events, newest first."""
        return self._transport.all(route("triggers", name, "firings"), Firing, {"outcome": outcome})

    async def _ask(self, method: str, path: str, **told: Any) -> ReadTrigger:
        answer = await self._transport.ask(method, path, **told)
        return ReadTrigger(TriggerAnswer.model_validate(answer.body), answer.headers["ETag"])
