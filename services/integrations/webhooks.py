"""Outgoing webhooks: signed by Standard Webhooks, every attempt noted, delivered again on demand.

The row of a delivery and its attempts commit on their own, so that the history tells also of a step that
failed. A crash between sending and noting loses the note, never the delivery.
"""

from dataclasses import dataclass
from datetime import datetime

import httpx2

from contracts.failure import NotFound
from events.clock import Clock, monotonic
from events.database import Database
from saga.action import EffectUnknown, Refused, Unavailable
from saga.signatures import InvalidSecret, signatures
from services.integrations.calls import EXCERPT, Outside, hide, retry_after_s, send
from services.integrations.endpoints import addressee
from services.integrations.outbound import Answer, Limits, Request
from services.integrations.tables import WebhookAttempt, WebhookDelivery

_MAX_RESPONSE_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Webhooks:
    """Delivers, and keeps the history."""

    database: Database
    outside: Outside
    clock: Clock

    async def noted(self, delivery: WebhookDelivery) -> WebhookDelivery:
        """The delivery as it was first noted: another try tells the same, an endpoint where it is now.

        Raises Refused if it is for an endpoint that is not to hear of it.
        """
        async with self.database.transaction() as session:
            known = await session.get(WebhookDelivery, delivery.webhook_id) or delivery
            if known.endpoint:
                endpoint = await addressee(session, known.endpoint, known.type)
                known.url, known.secrets = endpoint.url, list(endpoint.secrets)
            session.add(known)
        return known

    async def deliver(self, delivery: WebhookDelivery, *, redelivery: bool = False) -> int:
        """One attempt; the status that was answered. Raises Refused, Unavailable, EffectUnknown."""
        begun, now = monotonic(), self.clock()
        attempt = WebhookAttempt(
            webhook_id=delivery.webhook_id, at=now, duration_ms=0, error="cut off", redelivery=redelivery
        )
        try:
            hidden, answer = await self._sent(delivery, now)
            attempt.status, attempt.error = answer.status, ""
            attempt.response = hide(answer.body.decode(errors="replace"), hidden)[:EXCERPT]
        except (Refused, Unavailable) as error:
            attempt.error = f"{error.failure.code}: {error}"[:EXCERPT]
            raise
        finally:
            attempt.duration_ms = round((monotonic() - begun) * 1000, 3)
            async with self.database.transaction() as session:
                session.add(attempt)
        return _judged(answer, now)

    async def redeliver(self, webhook_id: str) -> int:
        """Tell it once more, with the same id and bytes. Raises NotFound, and as `noted` and `deliver`."""
        async with self.database.transaction() as session:
            delivery = await session.get(WebhookDelivery, webhook_id)
        if delivery is None:
            raise NotFound(f"no webhook delivery {webhook_id!r}")
        return await self.deliver(await self.noted(delivery), redelivery=True)

    async def _sent(self, delivery: WebhookDelivery, now: datetime) -> tuple[list[str], Answer]:
        url = httpx2.URL(delivery.url)
        secrets = [
            (await self.outside.secrets.get(name, url.host)).get_secret_value() for name in delivery.secrets
        ]
        try:
            signed = signatures(delivery.webhook_id, int(now.timestamp()), delivery.body, secrets)
        except InvalidSecret as error:
            raise Refused("secret.unusable", str(error)) from error
        request = Request(
            method="POST",
            url=url,
            headers={
                "Content-Type": "application/json",
                "webhook-id": delivery.webhook_id,
                "webhook-timestamp": str(int(now.timestamp())),
                "webhook-signature": signed,
            },
            body=delivery.body,
        )
        limits = Limits(timeout_s=delivery.timeout_s, max_bytes=_MAX_RESPONSE_BYTES)
        return secrets, await send(self.outside.client, request, limits)


def _judged(answer: Answer, now: datetime) -> int:
    if answer.status // 100 == 2:
        return answer.status
    message = f"{answer.url.host} answered {answer.status}"
    if answer.status == httpx2.codes.GONE:
        raise Refused("webhook.gone", f"{message}: it wants no more webhooks")
    raise EffectUnknown("webhook.status", message, retry_after_s=retry_after_s(answer, now))
