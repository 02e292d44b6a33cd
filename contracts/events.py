"""A service's own events: what happened in its domain, for whoever wants to know, in or outside a saga.

    class ReceiptIssued(Event, name="payments.payment_confirmed"):
        receipt_number: str

Facts steer sagas; these do not. They travel as CloudEvents 1.0 (structured JSON) on
`[<namespace>.]app.<domain>.<event>.<key>`. Events of one service are stored in the order of its commits.
"""

from datetime import datetime
from typing import Any, ClassVar, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from contracts.facts import MAX_FACT_BYTES, explain
from contracts.failure import InvalidContract
from contracts.subjects import valid_token


class Event(BaseModel):
    """Base of an event's data. `name` is `<domain>.<what happened>`. Raises InvalidContract if it is not."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    event_name: ClassVar[str]

    def __init_subclass__(cls, *, name: str, **options: Any) -> None:
        super().__init_subclass__(**options)
        domain, dot, event = name.partition(".")
        if not dot:
            raise InvalidContract(f"event {name!r} must be named <domain>.<what happened>")
        valid_token(domain, "domain")
        valid_token(event, "event")
        cls.event_name = name


class EventMessage(BaseModel):
    """The envelope: `type` is the event's name, `subject` its key, `id` is also the message id."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    specversion: Literal["1.0"] = "1.0"
    id: str = Field(min_length=1, max_length=256)
    source: str = Field(min_length=1)
    type: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*\.[A-Za-z0-9][A-Za-z0-9_-]*$")
    subject: str = Field(min_length=1, max_length=64, description="the event's key")
    time: AwareDatetime
    datacontenttype: Literal["application/json"] = "application/json"
    sagaid: str = ""
    correlationid: str = ""
    causationid: str = ""
    traceparent: str = ""
    data: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def of(
        cls, event: Event, *, id: str, key: str, source: str, time: datetime, **more: str
    ) -> "EventMessage":
        """The envelope of an event. Raises InvalidContract if the key is no subject token."""
        return cls(
            id=id,
            source=source,
            type=event.event_name,
            subject=valid_token(key, "key"),
            time=time,
            data=event.model_dump(mode="json"),
            **more,
        )

    def encode(self) -> bytes:
        """The message. Raises InvalidContract if it is larger than 256 KiB."""
        payload = self.model_dump_json().encode()
        if len(payload) > MAX_FACT_BYTES:
            raise InvalidContract(
                f"event {self.type} of {len(payload)} bytes is larger than the limit of {MAX_FACT_BYTES}: "
                "keep large data outside and carry a reference"
            )
        return payload

    @classmethod
    def decode(cls, payload: bytes) -> "EventMessage":
        """The envelope in a message. Raises InvalidContract with the place and the reason."""
        try:
            return cls.model_validate_json(payload)
        except ValidationError as error:
            raise InvalidContract(f"not an event: {explain(error)}") from error
