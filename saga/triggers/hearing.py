"""The event in a message of any kind: a CloudEvent in JSON, any other JSON, or text."""

from datetime import datetime, timedelta
from typing import Any

from pydantic import AwareDatetime, BaseModel, Field, ValidationError
from pydantic_core import from_json

from events.consume import Delivery
from events.names import MSG_ID
from saga.triggers.firing import Event

_BINARY_ID, _BINARY_SOURCE, _BINARY_TYPE = "ce-id", "ce-source", "ce-type"


class _CloudEvent(BaseModel):
    """CloudEvents 1.0, structured JSON: what of it we use, and what makes it one."""

    specversion: str = Field(pattern=r"^1\.")
    id: str = Field(min_length=1)
    source: str = Field(min_length=1)
    type: str = Field(min_length=1)
    subject: str = ""
    time: AwareDatetime | None = None
    data: Any = None
    correlationid: str = ""
    traceparent: str = ""


def event_in(delivery: Delivery, now: datetime) -> Event:
    """What a message tells. Its id is that of the CloudEvent, else the message id, else its place in the stream."""
    stored_at = now - timedelta(seconds=max(0.0, delivery.age_s))
    try:
        told = _CloudEvent.model_validate_json(delivery.payload)
    except ValidationError:
        return _plain(delivery, stored_at)
    return Event(
        id=told.id,
        source=told.source,
        type=told.type,
        subject=told.subject or delivery.subject,
        time=told.time or stored_at,
        data=told.data,
        correlation_id=told.correlationid,
        traceparent=told.traceparent,
    )


def _plain(delivery: Delivery, time: datetime) -> Event:
    headers = delivery.headers
    return Event(
        id=headers.get(_BINARY_ID) or headers.get(MSG_ID) or f"{delivery.stream}:{delivery.sequence}",
        source=headers.get(_BINARY_SOURCE, ""),
        type=headers.get(_BINARY_TYPE, ""),
        subject=delivery.subject,
        time=time,
        data=_data(delivery.payload),
    )


def _data(payload: bytes) -> Any:
    try:
        return from_json(payload, allow_inf_nan=False)
    except ValueError:
        return payload.decode(errors="replace")
