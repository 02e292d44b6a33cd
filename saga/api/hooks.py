"""`/api/v1/hooks/{trigger}`: webhooks that come in, signed by Standard Webhooks.

A webhook that comes again finds the saga it has started. One whose time is too far from ours is refused, so that
nobody can send it once more when the saga is forgotten.
"""

from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Header, Path, Request
from pydantic_core import from_json

from contracts.definition import Token
from contracts.failure import Conflict, NotFound, Unusable
from contracts.triggers import WebhookTrigger
from events.clock import utc_now
from saga.api.parts import Parts
from saga.api.triggers import FiringAnswer, kept_body
from saga.refusals import Refused
from saga.secrets import Secrets
from saga.signatures import InvalidSignature, check_signature
from saga.triggers.firing import Event

log = structlog.get_logger(__name__)

_Name = Annotated[Token, Path()]
_Id = Annotated[str, Header(alias="webhook-id", min_length=1, max_length=256)]
_Timestamp = Annotated[int, Header(alias="webhook-timestamp", description="seconds since 1970")]
_Signature = Annotated[str, Header(alias="webhook-signature", min_length=1, max_length=2_048)]


def router(parts: Parts) -> APIRouter:
    """The route over these parts."""
    routes = APIRouter(prefix="/api/v1/hooks", tags=["triggers"])

    @routes.post("/{name}", status_code=202, operation_id="receiveWebhook")
    async def receive(
        name: _Name, request: Request, webhook_id: _Id, timestamp: _Timestamp, signature: _Signature
    ) -> FiringAnswer:
        trigger = (await parts.triggers.get(name)).record.trigger
        if not isinstance(trigger, WebhookTrigger):
            raise NotFound(f"no trigger {name} for webhooks")
        body, now = await request.body(), utc_now()
        try:
            _check_time(timestamp, now.timestamp(), trigger.tolerance_s)
            secrets = await _secrets(trigger, parts.secrets)
            check_signature(webhook_id, timestamp, body, signature, secrets)
        except InvalidSignature as error:
            log.warning("hooks.refused", trigger=name, webhook_id=webhook_id, reason=str(error))
            raise
        if not trigger.enabled:
            raise Conflict(f"trigger {name} is disabled")
        data = _data(body)
        event = Event(id=webhook_id, source="webhook", type=_type(data), subject=name, time=now, data=data)
        return FiringAnswer.of(await parts.firer.fire(trigger, event, body=kept_body(body)))

    return routes


def _check_time(timestamp_s: int, now_s: float, tolerance_s: float) -> None:
    if abs(now_s - timestamp_s) > tolerance_s:
        raise InvalidSignature(f"its timestamp is more than {tolerance_s:g} s from now")


async def _secrets(trigger: WebhookTrigger, secrets: Secrets) -> list[str]:
    try:
        return [(await secrets.get(name, None)).get_secret_value() for name in trigger.secrets]
    except Refused as error:
        raise Unusable(f"trigger {trigger.name} cannot check signatures: {error}") from error


def _data(body: bytes) -> Any:
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError:
        return body.decode(errors="replace")


def _type(data: Any) -> str:
    told = data.get("type") if isinstance(data, dict) else None
    return told if isinstance(told, str) else ""
