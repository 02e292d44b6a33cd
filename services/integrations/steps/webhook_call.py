"""Tell an endpoint by a signed webhook, with the same id and bytes for every attempt. What is told stays told."""

import hashlib

from pydantic_core import to_json

from contracts.integrations import CallWebhook, HttpCall, WebhookDelivered
from events.database import Database
from saga.action import ActionContext, StepDatabase, action
from saga.service import service_app
from services.integrations.calls import breaker_name, outside, target
from services.integrations.endpoints import addressee
from services.integrations.tables import WebhookAttempt, WebhookDelivery, WebhookEndpoint
from services.integrations.webhooks import Webhooks

DATABASE = StepDatabase("webhook_call", tables=(WebhookDelivery, WebhookAttempt, WebhookEndpoint))


@action("integrations.webhook_call", database=DATABASE, external=True, resource=outside)
async def webhook_call(ctx: ActionContext, command: CallWebhook) -> WebhookDelivered:
    given = _given(command)
    webhooks = Webhooks(_database(ctx), ctx.resource, ctx.now)
    body = {"type": command.type, "timestamp": ctx.now().isoformat(), "data": command.data}
    delivery = await webhooks.noted(
        WebhookDelivery(
            webhook_id=_webhook_id(ctx),
            saga_id=ctx.saga_id,
            endpoint=command.endpoint,
            type=command.type,
            url=given,
            secrets=list(command.secrets),
            body=to_json(body),
            timeout_s=command.timeout_s,
            created_at=ctx.now(),
        )
    )
    url = target(HttpCall(method="POST", url=delivery.url))
    async with ctx.breaker(breaker_name(url.netloc.decode("ascii"))):
        status = await webhooks.deliver(delivery)
    return WebhookDelivered(webhook_id=delivery.webhook_id, status=status)


@webhook_call.rehearsal
async def tell_nobody(ctx: ActionContext, command: CallWebhook) -> WebhookDelivered:
    """As an endpoint answers that takes what it is told, if it is one that would be told."""
    _given(command)
    if command.endpoint:
        async with _database(ctx).transaction() as session:
            await addressee(session, command.endpoint, command.type)
    return WebhookDelivered(webhook_id=_webhook_id(ctx), status=200)


def _given(command: CallWebhook) -> str:
    return str(target(HttpCall(method="POST", url=command.url))) if command.url else ""


def _webhook_id(ctx: ActionContext) -> str:
    return f"msg_{hashlib.sha256(ctx.key.encode()).hexdigest()[:32]}"


def _database(ctx: ActionContext) -> Database:
    if ctx.database is None:
        raise AssertionError("a step with a database is given it open")
    return ctx.database


app = service_app(webhook_call)
