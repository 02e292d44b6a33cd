"""Tell an endpoint by a signed webhook, with the same id and bytes for every attempt. What is told stays told."""

import hashlib

from pydantic_core import to_json

from contracts.integrations import CallWebhook, HttpCall, WebhookDelivered
from saga.action import ActionContext, StepDatabase, action
from saga.service import service_app
from services.integrations.calls import breaker_name, outside, target
from services.integrations.tables import WebhookAttempt, WebhookDelivery, WebhookEndpoint
from services.integrations.webhooks import Webhooks

DATABASE = StepDatabase("webhook_call", tables=(WebhookDelivery, WebhookAttempt, WebhookEndpoint))


@action("integrations.webhook_call", database=DATABASE, external=True, resource=outside)
async def webhook_call(ctx: ActionContext, command: CallWebhook) -> WebhookDelivered:
    if ctx.database is None:
        raise AssertionError("a step with a database is given it open")
    given = str(target(HttpCall(method="POST", url=command.url))) if command.url else ""
    webhooks = Webhooks(ctx.database, ctx.resource, ctx.now)
    body = {"type": command.type, "timestamp": ctx.now().isoformat(), "data": command.data}
    delivery = await webhooks.noted(
        WebhookDelivery(
            webhook_id=f"msg_{hashlib.sha256(ctx.key.encode()).hexdigest()[:32]}",
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


app = service_app(webhook_call)
