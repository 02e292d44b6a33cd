"""`/api/v1/claims/accounts/{account_id}/notifications`: what the seller is told, live, by SSE and by WebSocket."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Header, Path, Query, WebSocket
from fastapi.responses import StreamingResponse

from contracts.phases import AccountId
from events.bus import Bus
from services.claims.live import Notification, newest, notifications

log = structlog.get_logger(__name__)

_Account = Annotated[AccountId, Path(examples=["S-1"])]
_After = Annotated[int | None, Query(ge=0, description="an id; 0 for all that are kept; none: from now on")]
_QUIET_S = 15.0


def router(bus: Bus) -> APIRouter:
    """The routes over a bus."""
    routes = APIRouter(prefix="/api/v1/claims/accounts/{account_id}", tags=["claims"])

    async def place(account_id: str, after: int | None) -> int:
        return await newest(bus, account_id) if after is None else after

    @routes.get("/notifications", operation_id="followNotifications", response_class=StreamingResponse)
    async def follow(
        account_id: _Account,
        after: _After = None,
        last_event_id: Annotated[int | None, Header(alias="Last-Event-ID", ge=0)] = None,
    ) -> StreamingResponse:
        begin = await place(account_id, after if last_event_id is None else last_event_id)
        return StreamingResponse(
            _events(bus, account_id, begin),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    @routes.websocket("/live")
    async def live(socket: WebSocket, account_id: _Account, after: _After = None) -> None:
        await socket.accept()
        begin = await place(account_id, after)
        # Nothing is expected from the seller; but only who listens hears that the seller has gone.
        sending = asyncio.create_task(_send(bus, socket, account_id, begin), name="live")
        leaving = asyncio.create_task(_gone(socket), name="live-leaving")
        try:
            ended, _ = await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
            for error in filter(None, (task.exception() for task in ended)):
                log.warning("claims.live_failed", account_id=account_id, error=repr(error))
        finally:
            for task in (sending, leaving):
                task.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)

    return routes


async def _events(bus: Bus, account_id: str, after: int) -> AsyncIterator[str]:
    # A first line at once, so that proxies and clients know that the stream is open.
    yield ": open\n\n"
    async with aclosing(notifications(bus, account_id, after, _QUIET_S)) as told:
        async for one in told:
            yield ": quiet\n\n" if one is None else _event(one)


def _event(told: Notification) -> str:
    return f"id: {told.id}\nevent: {told.message.data['kind']}\ndata: {json.dumps(_shown(told))}\n\n"


def _shown(told: Notification) -> dict[str, Any]:
    return {"id": told.id, "time": told.message.time.isoformat(), **told.message.data}


async def _send(bus: Bus, socket: WebSocket, account_id: str, after: int) -> None:
    async with aclosing(notifications(bus, account_id, after, _QUIET_S)) as told:
        async for one in told:
            if one is not None:
                await socket.send_json(_shown(one))


async def _gone(socket: WebSocket) -> None:
    while (await socket.receive())["type"] != "websocket.disconnect":
        continue
