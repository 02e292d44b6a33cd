"""Endpoints that are told by webhook, and what they were told: as people set them up and look at them.

Secrets are named, never given. A step names an endpoint (`CallWebhook.endpoint`) and need not know its address.
"""

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from contracts.generic import Name, SecretName, Url

WantedType = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+)*(\.\*)?$", min_length=1, max_length=128)
]


class _Contract(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EndpointSettings(_Contract):
    """Whom to tell. With several secrets each signs: rotate by adding one."""

    url: Url
    secrets: tuple[SecretName, ...] = Field(min_length=1, max_length=4)
    event_types: tuple[WantedType, ...] = Field(
        default=(),
        max_length=100,
        description="what it wants to hear, as in `quote.chosen`, `quote.*`; empty: all",
    )
    enabled: bool = True
    description: str = Field(default="", max_length=500)

    def wants(self, event_type: str) -> bool:
        """Whether it is to hear of events of this type."""
        return not self.event_types or any(
            event_type.startswith(wanted[:-1]) if wanted.endswith(".*") else event_type == wanted
            for wanted in self.event_types
        )


class NewEndpoint(EndpointSettings):
    """An endpoint to be; its name stays."""

    name: Name


class Endpoint(NewEndpoint):
    """An endpoint as it stands."""

    created_at: AwareDatetime
    updated_at: AwareDatetime


class EndpointPage(_Contract):
    items: list[Endpoint]
    next_cursor: str | None


class DeliveryAttempt(_Contract):
    """One attempt. `status` is null if there was no answer; `error` then says why. Durations in milliseconds."""

    at: AwareDatetime
    duration_ms: float
    status: int | None
    error: str
    response: str
    redelivery: bool


class Delivery(_Contract):
    """What was told to whom. `pending`: no attempt has been noted; `delivered`: one was answered with 2xx.

    `endpoint` is empty if the step gave a URL.
    """

    webhook_id: str
    saga_id: str
    endpoint: str
    type: str
    url: str
    status: Literal["pending", "delivered", "failed"]
    attempts: int
    created_at: AwareDatetime


class DeliveryStory(Delivery):
    """A delivery with what was told and all attempts, oldest first."""

    body: JsonValue
    history: list[DeliveryAttempt]


class DeliveryPage(_Contract):
    items: list[Delivery]
    next_cursor: str | None
