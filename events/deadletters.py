"""Dead letters: messages nobody could answer, kept with the reason and with how to send them again."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime

from events.bus import Bus
from events.names import MSG_ID

CODE_UNDECODABLE = "fact.undecodable"
CODE_UNKNOWN_DEFINITION = "fact.unknown_definition"
CODE_WRONG_SUBJECT = "fact.wrong_subject"
CODE_EXHAUSTED = "fact.exhausted"

_MAX_REASON = 2048
_PREFIX = "Saga-Dead-"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A message that ended here. `payload` is the message as it came, byte for byte."""

    sequence: int
    consumer: str
    stream: str
    stream_sequence: int
    subject: str
    code: str
    reason: str
    deliveries: int
    stored_at: datetime
    payload: bytes


async def bury(
    bus: Bus, *, consumer: str, stream: str, sequence: int, subject: str, payload: bytes, deliveries: int, code: str,
    reason: str,
) -> None:  # fmt: skip
    """Store a dead letter and wait until it is stored; the same message of a consumer is buried once."""
    headers = {
        MSG_ID: f"{stream}.{sequence}.{consumer}",
        f"{_PREFIX}Subject": subject,
        f"{_PREFIX}Stream": stream,
        f"{_PREFIX}Sequence": str(sequence),
        f"{_PREFIX}Consumer": consumer,
        f"{_PREFIX}Code": code,
        f"{_PREFIX}Deliveries": str(deliveries),
        # A header cannot hold line breaks or anything but ASCII safely; JSON text holds all of it.
        f"{_PREFIX}Reason": json.dumps(reason[:_MAX_REASON]),
    }
    await bus.publisher.send(f"{bus.names.dead_letter_root}.{consumer}", payload, headers)


async def read_dead_letters(bus: Bus, *, limit: int = 100) -> list[DeadLetter]:
    """The newest dead letters, oldest first, at most `limit`."""
    info = await bus.jetstream.stream_info(bus.names.dead_letters)
    first = max(1, info.state.first_seq, info.state.last_seq - limit + 1)
    found = []
    for sequence in range(first, info.state.last_seq + 1):
        message = await bus.jetstream.get_msg(bus.names.dead_letters, seq=sequence)
        headers = message.headers or {}
        found.append(
            DeadLetter(
                sequence=sequence,
                consumer=headers[f"{_PREFIX}Consumer"],
                stream=headers[f"{_PREFIX}Stream"],
                stream_sequence=int(headers[f"{_PREFIX}Sequence"]),
                subject=headers[f"{_PREFIX}Subject"],
                code=headers[f"{_PREFIX}Code"],
                reason=json.loads(headers[f"{_PREFIX}Reason"]),
                deliveries=int(headers[f"{_PREFIX}Deliveries"]),
                stored_at=message.time or datetime.fromtimestamp(0, UTC),
                payload=message.data or b"",
            )
        )
    return found
