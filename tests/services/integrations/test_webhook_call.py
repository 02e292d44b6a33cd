"""WEBHOOK_CALL: signed as the standard says, the same every time, with a history, delivered again on demand."""

import json
from typing import Any

import pytest
from fastapi.responses import Response
from sqlmodel import select

from contracts.failure import NotFound
from contracts.ids import new_saga_id
from contracts.integrations import CallWebhook
from saga.execution import Failed
from saga.signatures import signatures
from services.integrations.calls import outside
from services.integrations.steps.webhook_call import webhook_call
from services.integrations.tables import WebhookAttempt, WebhookDelivery
from services.integrations.webhooks import Webhooks
from tests.services.integrations.targets import Target, no_answer
from tests.services.steps import Steps


def to(target: Target, **fields: Any) -> CallWebhook:
    told = {
        "url": f"{target.url}/hooks?x=1",
        "type": "quote.chosen",
        "data": {"price": 40},
        "secrets": ["hook"],
    }
    return CallWebhook.model_validate(told | fields)


async def attempts(steps: Steps) -> list[WebhookAttempt]:
    return await steps.rows(webhook_call, select(WebhookAttempt).order_by("id"))


async def test_a_webhook_is_told_signed_and_noted(steps: Steps, target: Target) -> None:
    target.answers = [Response("fine", 202)]
    output = await steps.done(webhook_call, to(target), new_saga_id())
    (asked,) = target.asked
    assert json.loads(asked.body)["data"] == {"price": 40}
    assert json.loads(asked.body)["type"] == "quote.chosen"
    assert asked.headers["webhook-id"] == output.webhook_id
    at_s = int(asked.headers["webhook-timestamp"])
    secret = steps.environment["SAGA_SECRET_HOOK"]
    assert asked.headers["webhook-signature"] == signatures(output.webhook_id, at_s, asked.body, [secret])
    (attempt,) = await attempts(steps)
    assert (attempt.status, attempt.response, attempt.error, attempt.redelivery) == (202, "fine", "", False)
    assert attempt.duration_ms > 0
    (delivery,) = await steps.rows(webhook_call, select(WebhookDelivery))
    assert delivery.secrets == ["hook"]
    assert secret not in repr(delivery)


async def test_while_secrets_are_rotated_both_sign(steps: Steps, target: Target) -> None:
    await steps.done(webhook_call, to(target, secrets=["hook", "hook-new"]), new_saga_id())
    one, other = target.asked[0].headers["webhook-signature"].split(" ")
    assert one.startswith("v1,")
    assert other.startswith("v1,")
    assert one != other


async def test_every_attempt_tells_the_same_and_all_are_in_the_history(steps: Steps, target: Target) -> None:
    target.answers = [Response("later", 503, {"Retry-After": "9"}), Response(status_code=204)]
    saga_id = new_saga_id()
    end = await steps.do(webhook_call, to(target), saga_id)
    assert isinstance(end, Failed)
    assert (end.failure.code, end.failure.retryable, end.failure.retry_after_s) == (
        "webhook.status",
        True,
        9.0,
    )
    await steps.done(webhook_call, to(target), saga_id)
    await steps.done(webhook_call, to(target), saga_id)
    first, second = target.asked
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert [one.status for one in await attempts(steps)] == [503, 204]


async def test_no_answer_is_in_the_history_too(steps: Steps, target: Target) -> None:
    target.then = no_answer
    assert await steps.refused(webhook_call, to(target, timeout_s=0.2), new_saga_id()) == "http.no_answer"
    (attempt,) = await attempts(steps)
    assert attempt.status is None
    assert attempt.error.startswith("http.no_answer")


async def test_an_endpoint_that_is_gone_is_told_nothing_more(steps: Steps, target: Target) -> None:
    target.answers = [Response(status_code=410)]
    end = await steps.do(webhook_call, to(target), new_saga_id())
    assert isinstance(end, Failed)
    assert (end.failure.code, end.failure.retryable) == ("webhook.gone", False)


async def test_a_webhook_goes_to_no_private_target(steps: Steps, target: Target) -> None:
    steps.environment = {**steps.environment, "SAGA_HTTP_ALLOW": ""}
    assert await steps.refused(webhook_call, to(target), new_saga_id()) == "http.blocked"
    assert target.asked == []


async def test_a_delivery_can_be_repeated(steps: Steps, target: Target) -> None:
    output = await steps.done(webhook_call, to(target), new_saga_id())
    async with outside(steps.environment) as opened:
        webhooks = Webhooks(await steps.database(webhook_call), opened, steps.now)
        assert await webhooks.redeliver(output.webhook_id) == 200
        with pytest.raises(NotFound):
            await webhooks.redeliver("msg_0")
    assert target.asked[0].body == target.asked[1].body
    assert [one.redelivery for one in await attempts(steps)] == [False, True]
