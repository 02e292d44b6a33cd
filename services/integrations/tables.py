"""The tables of the generic steps. Each step touches only its own, in its own database."""

from datetime import datetime

from sqlalchemy import JSON, LargeBinary
from sqlmodel import Field, SQLModel

from events.columns import UtcText


class StoredRule(SQLModel, table=True):
    """data_transform: a transformation rule, immutable per version."""

    __tablename__ = "transformation_rules"

    name: str = Field(primary_key=True)
    version: str = Field(primary_key=True)
    stored_at: datetime = Field(sa_type=UtcText, index=True)
    rule: dict[str, object] = Field(sa_type=JSON)


class WebhookEndpoint(SQLModel, table=True):
    """webhook_call: an endpoint that was set up. `settings` are its `EndpointSettings`."""

    __tablename__ = "webhook_endpoints"

    name: str = Field(primary_key=True)
    settings: dict[str, object] = Field(sa_type=JSON)
    created_at: datetime = Field(sa_type=UtcText)
    updated_at: datetime = Field(sa_type=UtcText)


class WebhookDelivery(SQLModel, table=True):
    """webhook_call: what is to be told to whom. `body` are the bytes that are signed, the same every time.

    `endpoint` is empty if the step gave a URL; else `url` and `secrets` are the endpoint's at the last attempt.
    """

    __tablename__ = "webhook_deliveries"

    webhook_id: str = Field(primary_key=True)
    saga_id: str = Field(index=True)
    endpoint: str = Field(default="", index=True)
    type: str = ""
    url: str
    secrets: list[str] = Field(sa_type=JSON)
    body: bytes = Field(sa_type=LargeBinary)
    timeout_s: float
    created_at: datetime = Field(sa_type=UtcText, index=True)


class WebhookAttempt(SQLModel, table=True):
    """webhook_call: one attempt to deliver. `status` is null if there was no answer; then `error` says why."""

    __tablename__ = "webhook_attempts"

    id: int | None = Field(default=None, primary_key=True)
    webhook_id: str = Field(index=True)
    at: datetime = Field(sa_type=UtcText)
    duration_ms: float
    status: int | None = None
    error: str = ""
    response: str = Field(default="", description="the beginning of the answer's body")
    redelivery: bool = False
