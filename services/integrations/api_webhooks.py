"""`/api/v1/webhooks`: endpoints and whom they belong to; `/api/v1/webhook-deliveries`: what was told."""

from typing import Annotated

import structlog
from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from contracts.failure import Conflict
from contracts.integrations import Name
from contracts.webhooks import (
    DeliveryPage,
    DeliveryStory,
    Endpoint,
    EndpointPage,
    EndpointSettings,
    NewEndpoint,
)
from events.clock import Clock
from events.database import Database
from saga.action import Refused, Unavailable
from saga.cursors import fingerprint, read_cursor, write_cursor
from services.integrations.deliveries import Deliveries, Wanted
from services.integrations.endpoints import Endpoints
from services.integrations.webhooks import Webhooks

log = structlog.get_logger(__name__)

_Name = Annotated[Name, Path(examples=["crm"])]
_WebhookId = Annotated[str, Path(max_length=64)]
_ENDPOINTS = fingerprint("webhook endpoints")


class _Page(BaseModel):
    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=50, ge=1, le=200)
    cursor: str | None = None


class _OfEndpoint(_Page):
    saga_id: str = Field(default="", max_length=64)
    type: str = Field(default="", max_length=128)
    delivered: bool | None = None

    def wanted(self, endpoint: str | None) -> Wanted:
        return Wanted(endpoint=endpoint, saga_id=self.saga_id, type=self.type, delivered=self.delivered)


class _OfAny(_OfEndpoint):
    endpoint: str | None = Field(default=None, max_length=64, description="empty: told to a URL")


def endpoints(database: Database, clock: Clock) -> APIRouter:
    """The routes of endpoints."""
    routes = APIRouter(prefix="/api/v1/webhooks", tags=["webhooks"])
    known, history = Endpoints(database, clock), Deliveries(database)

    @routes.post("", status_code=201, operation_id="createWebhook")
    async def create(body: NewEndpoint, response: Response) -> Endpoint:
        created = await known.create(body)
        response.headers["Location"] = f"/api/v1/webhooks/{created.name}"
        return created

    @routes.get("", operation_id="listWebhooks")
    async def page(asked: Annotated[_Page, Query()]) -> EndpointPage:
        after = read_cursor(asked.cursor, _ENDPOINTS, 1)[0] if asked.cursor else ""
        found = await known.page(after, asked.limit + 1)
        items = found[: asked.limit]
        more = len(found) > asked.limit
        return EndpointPage(
            items=items, next_cursor=write_cursor([items[-1].name], _ENDPOINTS) if more else None
        )

    @routes.get("/{name}", operation_id="getWebhook")
    async def get(name: _Name) -> Endpoint:
        return await known.get(name)

    @routes.put("/{name}", operation_id="replaceWebhook")
    async def replace(name: _Name, body: EndpointSettings) -> Endpoint:
        return await known.replace(name, body)

    @routes.delete("/{name}", operation_id="deleteWebhook")
    async def delete(name: _Name) -> Endpoint:
        return await known.remove(name)

    @routes.get("/{name}/deliveries", operation_id="listWebhookDeliveriesOfEndpoint")
    async def told(name: _Name, asked: Annotated[_OfEndpoint, Query()]) -> DeliveryPage:
        return await history.page(asked.wanted(name), limit=asked.limit, cursor=asked.cursor)

    return routes


def deliveries(database: Database, webhooks: Webhooks) -> APIRouter:
    """The routes of what was told, to endpoints and to URLs."""
    routes = APIRouter(prefix="/api/v1/webhook-deliveries", tags=["webhooks"])
    history = Deliveries(database)

    @routes.get("", operation_id="listWebhookDeliveries")
    async def page(asked: Annotated[_OfAny, Query()]) -> DeliveryPage:
        return await history.page(asked.wanted(asked.endpoint), limit=asked.limit, cursor=asked.cursor)

    @routes.get("/{webhook_id}", operation_id="getWebhookDelivery")
    async def get(webhook_id: _WebhookId) -> DeliveryStory:
        return await history.get(webhook_id)

    @routes.post("/{webhook_id}/redeliver", operation_id="redeliverWebhook")
    async def redeliver(webhook_id: _WebhookId) -> DeliveryStory:
        """Tell it once more, now; the last of `history` says what came of it."""
        before = await history.get(webhook_id)
        try:
            await webhooks.redeliver(webhook_id)
        except (Refused, Unavailable) as error:
            after = await history.get(webhook_id)
            if after.attempts == before.attempts:
                # Nothing was tried: that is no story of an attempt.
                raise Conflict(f"{error.failure.code}: {error}") from error
            log.info("webhook.redelivery_failed", webhook_id=webhook_id, code=error.failure.code)
            return after
        return await history.get(webhook_id)

    return routes
