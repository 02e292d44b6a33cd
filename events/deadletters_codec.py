"""What a dead letter is, and how it and the word on it travel.

Everything but the message itself is JSON in one header each: JSON text is ASCII without line breaks, which
subjects, reasons and foreign headers need not be.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Literal, Self

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contracts.failure import InvalidContract
from events.consume import Delivery

log = structlog.get_logger(__name__)

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
        """The letter in a stored message; `payload` None if the server left it out.

        Raises InvalidContract for a message of somebody else's.
        """
        death = death_in(headers)
        if death is None:
            raise InvalidContract(f"message {sequence} has no header {LETTER_HEADER} that can be read")
        return cls(
            sequence=sequence,
            death=death,
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
    """The word that a message carries, if it carries one that can be read."""
    return _in_header(Ruling, headers, RULING_HEADER)


def death_in(headers: Mapping[str, str] | None) -> Death | None:
    """What a message says of a dead letter, if it does and can be read."""
    return _in_header(Death, headers, LETTER_HEADER)


def _in_header[Told: BaseModel](
    model: type[Told], headers: Mapping[str, str] | None, name: str
) -> Told | None:
    try:
        return model.model_validate_json((headers or {}).get(name, ""))
    except ValidationError:
        return None


def redelivered(delivery: Delivery) -> Delivery | None:
    """A redrive as what it is: one more delivery of the message that was buried. None for anything else: a
    letter that was dropped, or what a stranger has sent.

    Its age makes sure that whoever hears it looks at the saga before doing anything.
    """
    ruling, death = ruling_in(delivery.headers), death_in(delivery.headers)
    if ruling is None or death is None:
        log.error("redrive.unreadable", subject=delivery.subject, sequence=delivery.sequence)
        return None
    if ruling.verb is not State.REDRIVEN:
        return None
    origin = death.origin
    delivery.stream, delivery.sequence, delivery.subject = origin.stream, origin.sequence, origin.subject
    delivery.headers = origin.headers
    delivery.age_s = float("inf")
    return delivery
