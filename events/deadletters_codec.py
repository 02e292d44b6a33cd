"""What a dead letter is, and how it and the word on it travel.

Everything but the message itself is JSON in one header each: JSON text is ASCII without line breaks, which
subjects, reasons and foreign headers need not be.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from events.consume import Delivery

LETTER_HEADER = "Saga-Dead-Letter"
RULING_HEADER = "Saga-Dead-Letter-Ruling"
_SIZE = "Nats-Msg-Size"
_MAX_REASON = 2048


class State(StrEnum):
    """What has become of a dead letter. The last two are final."""

    OPEN = "open"
    REDRIVEN = "redriven"
    DROPPED = "dropped"


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    def to_header(self) -> str:
        return self.model_dump_json(ensure_ascii=True)


class Origin(_Value):
    """Where a message came from: the consumer that could not answer it, and its place in its stream."""

    consumer: str
    stream: str
    sequence: int
    subject: str
    deliveries: int
    headers: dict[str, str] = Field(default_factory=dict)

    @classmethod
    def of(cls, consumer: str, delivery: Delivery) -> Self:
        return cls(
            consumer=consumer,
            stream=delivery.stream,
            sequence=delivery.sequence,
            subject=delivery.subject,
            deliveries=delivery.deliveries,
            headers=dict(delivery.headers),
        )


class Death(_Value):
    """Why a message ended. `earlier` is the dead letter it was before it was redriven, 0 if it was none."""

    origin: Origin
    code: str
    reason: str
    saga_id: str = ""
    earlier: int = 0

    @classmethod
    def because(cls, origin: Origin, code: str, reason: str, *, saga_id: str, earlier: int) -> Self:
        return cls(origin=origin, code=code, reason=reason[:_MAX_REASON], saga_id=saga_id, earlier=earlier)


class Ruling(_Value):
    """What somebody decided about a dead letter. `id` tells one try from another's."""

    id: str
    letter: int
    verb: Literal[State.REDRIVEN, State.DROPPED]
    by: str
    reason: str
    at: datetime


class DeadLetter(_Value):
    """A message that ended here. `payload` is the message as it came, byte for byte; None where only its
    `size` in bytes was asked for."""

    sequence: int
    death: Death
    buried_at: datetime
    size: int
    payload: bytes | None = None
    ruling: Ruling | None = None

    @classmethod
    def read(
        cls, sequence: int, headers: Mapping[str, str], stored_at: datetime, payload: bytes | None
    ) -> Self:
        """The letter in a stored message; `payload` None if the server left it out."""
        return cls(
            sequence=sequence,
            death=Death.model_validate_json(headers[LETTER_HEADER]),
            buried_at=stored_at,
            size=int(headers[_SIZE]) if payload is None else len(payload),
            payload=payload,
        )

    @property
    def state(self) -> State:
        return self.ruling.verb if self.ruling else State.OPEN

    @property
    def code(self) -> str:
        return self.death.code

    @property
    def reason(self) -> str:
        return self.death.reason

    @property
    def consumer(self) -> str:
        return self.death.origin.consumer

    def ruled(self, ruling: Ruling | None) -> Self:
        return self.model_copy(update={"ruling": ruling})


def ruling_in(headers: Mapping[str, str] | None) -> Ruling | None:
    """The word that a message carries, if it carries one."""
    text = (headers or {}).get(RULING_HEADER)
    return Ruling.model_validate_json(text) if text else None


def redelivered(delivery: Delivery) -> Delivery | None:
    """A redrive as what it is: one more delivery of the message that was buried. None for a dropped letter.

    Its age makes sure that whoever hears it looks at the saga before doing anything.
    """
    ruling = ruling_in(delivery.headers)
    if ruling is None or ruling.verb is not State.REDRIVEN:
        return None
    origin = Death.model_validate_json(delivery.headers[LETTER_HEADER]).origin
    delivery.stream, delivery.sequence, delivery.subject = origin.stream, origin.sequence, origin.subject
    delivery.headers = origin.headers
    delivery.age_s = float("inf")
    return delivery
