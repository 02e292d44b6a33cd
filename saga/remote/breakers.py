"""The circuit breakers that all replicas share."""

from typing import Any

from contracts.breakers import BreakerConfig
from saga.api.breakers import BreakerAnswer, BreakerSummary
from saga.remote.transport import Transport, route

_BREAKERS = "circuit-breakers"


class Breakers:
    """Those in use."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def all(self) -> list[BreakerSummary]:
        """Every breaker that a step has used."""
        answer = await self._transport.ask("GET", route(_BREAKERS))
        return [BreakerSummary.model_validate(item) for item in answer.body["items"]]

    async def get(self, name: str) -> BreakerAnswer:
        """One, with its newest transitions. Raises RemoteNotFound."""
        return BreakerAnswer.model_validate((await self._transport.ask("GET", route(_BREAKERS, name))).body)

    async def configure(self, name: str, config: BreakerConfig, *, by: str, reason: str) -> BreakerSummary:
        """Give it these settings, in every process. Raises RemoteInvalid."""
        body = {"config": config.model_dump(mode="json"), "by": by, "reason": reason}
        return await self._rule("PUT", route(_BREAKERS, name, "config"), body=body)

    async def reset(self, name: str, *, by: str, reason: str) -> BreakerSummary:
        """Close it. Raises RemoteNotFound."""
        return await self._rule("POST", route(_BREAKERS, name, "reset"), body={"by": by, "reason": reason})

    async def delete(self, name: str, *, by: str, reason: str) -> BreakerSummary:
        """Strike it off, with its settings. Raises RemoteNotFound, RemoteConflict (it is not closed)."""
        return await self._rule("DELETE", route(_BREAKERS, name), query={"by": by, "reason": reason})

    async def _rule(self, method: str, path: str, **told: Any) -> BreakerSummary:
        return BreakerSummary.model_validate((await self._transport.ask(method, path, **told)).body)
