"""Generic steps for workflows over HTTP: call, transform, validate, choose a branch, tell by webhook.

Secrets are named, never given: what a step is told and what it states is read by everybody on the bus.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    field_validator,
    model_validator,
)

from contracts import children
from contracts.actions import ActionContract
from contracts.references import compile_template

MAX_EXPRESSION = 2_048
MAX_RESPONSE_BYTES = 131_072
_SECRET_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization"})
_FRAMING_HEADERS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "te", "upgrade", "accept-encoding"}
)

SecretName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,63}$")]
HeaderValue = Annotated[str, StringConstraints(pattern=r"^[\t\x20-\x7e]*$", max_length=4096)]
Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\s@/?#]+([/?#]\S*)?$", max_length=2048)]
Pointer = Annotated[str, StringConstraints(pattern=r"^(/[\s\S]*)?$", max_length=512)]
Expression = Annotated[str, StringConstraints(min_length=1, max_length=MAX_EXPRESSION)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$")]
Version = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$")]
Status = Annotated[int, Field(ge=100, le=599)]
Scalar = str | int | float | bool


class _Contract(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BearerAuth(_Contract):
    """`Authorization: Bearer <secret>`."""

    kind: Literal["bearer"] = "bearer"
    secret: SecretName


class BasicAuth(_Contract):
    """`Authorization: Basic <username:secret>`."""

    kind: Literal["basic"] = "basic"
    username: str = Field(max_length=255, pattern=r"^[^:\r\n]*$")
    secret: SecretName


class HeaderAuth(_Contract):
    """The secret in a header of that name."""

    kind: Literal["header"] = "header"
    header: HeaderName
    secret: SecretName


Auth = Annotated[BearerAuth | BasicAuth | HeaderAuth, Field(discriminator="kind")]


class HttpCall(_Contract):
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


class HttpResponse(_Contract):
    """What was answered. `body` is JSON data if it was JSON, else text. Only headers without secrets."""

    status: int
    headers: dict[str, str]
    body: JsonValue
    extracted: dict[str, JsonValue]


class CallWebhook(_Contract):
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


class WebhookDelivered(_Contract):
    """`webhook_id` is the same for every attempt and redelivery."""

    webhook_id: str
    status: int


class Comparison(_Contract):
    """`field` (a JSON pointer into the data) compared with `value`."""

    field: Pointer
    is_: Literal["eq", "ne", "lt", "le", "gt", "ge", "in", "contains", "starts_with", "ends_with", "matches",
                 "exists", "missing"] = Field(alias="is")  # fmt: skip
    value: JsonValue = None


class AllOf(_Contract):
    all: tuple["Condition", ...] = Field(min_length=1, max_length=50)


class AnyOf(_Contract):
    any: tuple["Condition", ...] = Field(min_length=1, max_length=50)


class Not(_Contract):
    not_: "Condition" = Field(alias="not")


Condition = Expression | Comparison | AllOf | AnyOf | Not
"""CEL over `data`, or a tree of comparisons"""


class Branch(_Contract):
    name: Name
    when: Condition


class ChooseBranch(_Contract):
    """The first branch whose condition holds; `otherwise` if there is none."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "data": {"amount": 900, "country": "CH"},
                    "branches": [
                        {"name": "manual", "when": {"field": "/amount", "is": "gt", "value": 1000}},
                        {"name": "local", "when": "data.country in ['CH', 'LI']"},
                    ],
                    "otherwise": "standard",
                }
            ]
        }
    )

    data: JsonValue
    branches: tuple[Branch, ...] = Field(min_length=1, max_length=50)
    otherwise: Name | None = None


class BranchChosen(_Contract):
    """`when: 'steps.<name>.branch == "..."'` makes a later step part of a branch."""

    branch: str


class Check(_Contract):
    """A rule: a condition over `data` that must hold, or `message` is said of what `pointer` points to."""

    name: Name
    holds: Condition
    message: str = Field(min_length=1, max_length=500)
    pointer: Pointer = ""


class Validate(_Contract):
    """Check data by a JSON Schema and rules; every error is found. `report` lets the saga go on."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "data": {"age": 17, "email": "a@example.com"},
                    "schema": {"type": "object", "required": ["name"]},
                    "rules": [{"name": "adult", "holds": "data.age >= 18", "message": "too young",
                               "pointer": "/age"}],
                    "on_invalid": "report",
                }
            ]
        }
    )  # fmt: skip

    data: JsonValue
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    rules: tuple[Check, ...] = Field(default=(), max_length=100)
    on_invalid: Literal["fail", "report"] = "fail"

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.schema_ is None and not self.rules:
            raise ValueError("nothing to validate by: expected schema, rules or both")
        return self


class DataError(_Contract):
    pointer: str
    code: str = Field(description="the keyword of the schema, or the name of the rule")
    message: str


class Validated(_Contract):
    """`errors` has at most 100; `total` says how many there are."""

    valid: bool
    errors: tuple[DataError, ...] = ()
    total: int = 0


class MapItems(_Contract):
    """Every item becomes what the expression over `item` (and `data`) yields."""

    op: Literal["map"]
    to: Expression


class RenameFields(_Contract):
    """Old name to new name, of an object or of every object of a list."""

    op: Literal["rename"]
    fields: dict[str, str] = Field(min_length=1, max_length=100)


class CalculateFields(_Contract):
    """New fields by expressions over `item`: of an object or of every object of a list."""

    op: Literal["calculate"]
    fields: dict[str, Expression] = Field(min_length=1, max_length=100)


class FormatFields(_Contract):
    """New text fields with `${item.x}` inside (in a definition: `$${item.x}`)."""

    op: Literal["format"]
    fields: dict[str, str] = Field(min_length=1, max_length=100)


class MergeWith(_Contract):
    """Objects field by field (what is given wins), lists one after the other."""

    op: Literal["merge"]
    given: JsonValue = Field(alias="with")


class FilterItems(_Contract):
    """Keep the items for which the expression over `item` holds."""

    op: Literal["filter"]
    where: Expression


class SortItems(_Contract):
    """By fields, in order; a `-` before a field is descending. Missing and null come last."""

    op: Literal["sort"]
    by: tuple[str, ...] = Field(min_length=1, max_length=10)


class Aggregate(_Contract):
    of: Literal["count", "sum", "min", "max", "average"]
    field: str = ""


class GroupItems(_Contract):
    """A list of `{<by>: value, "items": [...]}` in order of appearance, with aggregates for each group."""

    op: Literal["group"]
    by: str
    aggregates: dict[Name, Aggregate] = Field(default_factory=dict, max_length=20)
    keep_items: bool = True


Operation = Annotated[
    MapItems
    | RenameFields
    | CalculateFields
    | FormatFields
    | MergeWith
    | FilterItems
    | SortItems
    | GroupItems,
    Field(discriminator="op"),
]


class RuleReference(_Contract):
    """A stored transformation rule; without a version the one that was stored last."""

    name: Name
    version: Version | None = None


class TransformationRule(_Contract):
    """A reusable chain of operations, immutable per version."""

    name: Name
    version: Version = "1"
    description: str = Field(default="", max_length=500)
    operations: tuple[Operation, ...] = Field(min_length=1, max_length=50)


class TransformData(_Contract):
    """Put data through operations, one after the other: those of a stored rule, or those given."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "data": [{"carrier": "a", "price": 90}, {"carrier": "b", "price": 40}],
                    "operations": [{"op": "sort", "by": ["price"]}],
                }
            ]
        }
    )

    data: JsonValue
    rule: RuleReference | None = None
    operations: tuple[Operation, ...] = Field(default=(), max_length=50)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.rule is None) == (not self.operations):
            raise ValueError("expected either rule or operations")
        return self


class DataTransformed(_Contract):
    """`rule` is the stored rule that was used, as `name@version`."""

    result: JsonValue
    rule: str | None = None


ACTIONS = (
    ActionContract(
        name="integrations.http_request", input=HttpRequest, output=HttpResponse, compensable=True,
        description="Call a service over HTTP.",
    ),
    ActionContract(
        name="integrations.data_transform", input=TransformData, output=DataTransformed,
        description="Put data through a chain of operations.", reads_only=True,
    ),
    ActionContract(
        name="integrations.validation", input=Validate, output=Validated,
        description="Check data by a JSON Schema and rules.", reads_only=True,
    ),
    ActionContract(
        name="integrations.conditional", input=ChooseBranch, output=BranchChosen,
        description="Choose a branch.", reads_only=True,
    ),
    ActionContract(
        name="integrations.webhook_call", input=CallWebhook, output=WebhookDelivered,
        description="Tell an endpoint, signed.",
    ),
    *children.ACTIONS,
)  # fmt: skip
