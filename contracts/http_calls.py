"""Calls over HTTP and webhooks, as steps of workflows describe them.

Secrets are named, never given: what a step is told and what it states is read by everybody on the bus.
"""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, JsonValue, StringConstraints, field_validator, model_validator

from contracts.generic import Contract, Name, Pointer, Scalar, SecretName, Url
from contracts.references import compile_template

MAX_RESPONSE_BYTES = 131_072
_SECRET_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization"})
_FRAMING_HEADERS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "te", "upgrade", "accept-encoding"}
)

HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,63}$")]
HeaderValue = Annotated[str, StringConstraints(pattern=r"^[\t\x20-\x7e]*$", max_length=4096)]
Status = Annotated[int, Field(ge=100, le=599)]


class BearerAuth(Contract):
    """`Authorization: Bearer <secret>`."""

    kind: Literal["bearer"] = "bearer"
    secret: SecretName


class BasicAuth(Contract):
    """`Authorization: Basic <username:secret>`."""

    kind: Literal["basic"] = "basic"
    username: str = Field(max_length=255, pattern=r"^[^:\r\n]*$")
    secret: SecretName


class HeaderAuth(Contract):
    """The secret in a header of that name."""

    kind: Literal["header"] = "header"
    header: HeaderName
    secret: SecretName


Auth = Annotated[BearerAuth | BasicAuth | HeaderAuth, Field(discriminator="kind")]


class HttpCall(Contract):
    """A request. `{name}` in the path of the URL is filled, percent-encoded, from `path`."""

    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    url: Url
    path: dict[Name, str | int] = Field(default_factory=dict)
    query: dict[str, Scalar | list[Scalar]] = Field(default_factory=dict)
    headers: dict[HeaderName, HeaderValue] = Field(default_factory=dict, max_length=50)
    body: JsonValue = Field(default=None, description="sent as JSON; a text as it is; null: no body")
    auth: Auth | None = None

    @field_validator("headers")
    @classmethod
    def _no_secrets(cls, headers: dict[str, str]) -> dict[str, str]:
        for name in headers:
            if name.lower() in _SECRET_HEADERS:
                raise ValueError(f"{name} would be readable by everybody: use auth with a secret's name")
            if name.lower() in _FRAMING_HEADERS:
                raise ValueError(f"{name} is set by the request itself")
        return headers


class HttpRequest(HttpCall):
    """Call a service over HTTP. Durations in seconds."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "method": "POST",
                    "url": "https://carrier.example/quotes/{lead}",
                    "path": {"lead": "L-17"},
                    "body": {"zip": "8001"},
                    "auth": {"kind": "bearer", "secret": "carrier-token"},
                    "extract": {"price": "/quote/price"},
                    "undo": {
                        "method": "DELETE",
                        "url": "https://carrier.example/quotes/${output.extracted.id}",
                    },
                }
            ]
        }
    )

    service: str | None = Field(
        default=None, max_length=128, description="whose circuit breaker; host and port if not given"
    )
    open_breaker: Literal["wait", "fail"] = Field(
        default="wait", description="while that breaker is open: wait for it, or fail at once"
    )
    expect: tuple[Status, ...] = Field(default=(), description="statuses that are a success; none: every 2xx")
    retry_on: tuple[Status, ...] = (408, 425, 429, 500, 502, 503, 504)
    extract: dict[Name, Pointer] = Field(
        default_factory=dict, max_length=100, description="JSON pointers into the body that was answered"
    )
    timeout_s: float = Field(default=10.0, gt=0, le=60, description="from connecting to the last byte")
    max_response_bytes: int = Field(default=65_536, ge=0, le=MAX_RESPONSE_BYTES, description="decoded")
    redirects: int = Field(default=0, ge=0, le=5, description="how many are followed")
    idempotency_header: HeaderName = "Idempotency-Key"
    undo: HttpCall | None = Field(
        default=None, description="the request that undoes it; refers to its answer as ${output...}"
    )

    @field_validator("undo")
    @classmethod
    def _can_be_filled(cls, undo: HttpCall | None) -> HttpCall | None:
        if undo is not None:
            compile_template(undo.model_dump(mode="json"), {"output"})
        return undo


class HttpResponse(Contract):
    """What was answered. `body` is JSON data if it was JSON, else text. Only headers without secrets."""

    status: int
    headers: dict[str, str]
    body: JsonValue
    extracted: dict[str, JsonValue]


class CallWebhook(Contract):
    """Tell a URL, or an endpoint that was set up by name, signed by Standard Webhooks.

    A URL comes with the secrets that sign (each does: rotate by adding one), an endpoint has its own.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "url": "https://customer.example/hooks",
                    "type": "quote.chosen",
                    "data": {"price": 40},
                    "secrets": ["customer-hook"],
                }
            ]
        }
    )

    url: Url = ""
    endpoint: Name | Literal[""] = ""
    type: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+)*$", max_length=128)]
    data: JsonValue
    secrets: tuple[SecretName, ...] = Field(default=(), min_length=1, max_length=4)
    timeout_s: float = Field(default=10.0, gt=0, le=30)

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        if bool(self.url) == bool(self.endpoint):
            raise ValueError("expected one of url and endpoint")
        if bool(self.secrets) != bool(self.url):
            raise ValueError("secrets belong to url, and url needs them; an endpoint has its own")
        return self


class WebhookDelivered(Contract):
    """`webhook_id` is the same for every attempt and redelivery."""

    webhook_id: str
    status: int
