"""What the tests of the outbox share: an event, a crash that can be put at any point, and what the stream holds."""

from dataclasses import dataclass, field, replace
from typing import Any

from nats.js.errors import NotFoundError

from contracts.events import Event, EventMessage
from events.bus import Bus
from events.clock import utc_now
from events.database import Database
from events.names import MSG_ID
from events.outbox import Outbox
from events.outbox_relay import Relay, RelaySettings

QUICK = RelaySettings(lease_s=0.2, poll_s=0.2)


class Counted(Event, name="test.counted"):
    number: int


class Crash(BaseException):
    """The process ends here."""


@dataclass
class CrashingBus:
    """A bus whose publisher dies before or after the server has stored a batch."""

    bus: Bus
    before: set[int] = field(default_factory=set)
    after: set[int] = field(default_factory=set)
    batches: int = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.bus, name)

    @property
    def publisher(self) -> "CrashingBus":
        return self

    async def batch(self, messages: Any) -> Any:
        self.batches += 1
        if self.batches in self.before:
            raise Crash
        stored = await self.bus.publisher.batch(messages)
        if self.batches in self.after:
            raise Crash
        return stored


class ForgetfulBus(CrashingBus):
    """A bus whose server knows no message ids, as it is when their window has passed."""

    async def batch(self, messages: Any) -> Any:
        nameless = [
            replace(
                message, headers={name: value for name, value in message.headers.items() if name != MSG_ID}
            )
            for message in messages
        ]
        return await super().batch(nameless)


async def make_outbox(database: Database, bus: Bus) -> Outbox:
    outbox = Outbox(database, bus.subjects, utc_now, source="/test")
    await outbox.create()
    return outbox


def counted(number: int, key: str = "k") -> EventMessage:
    return EventMessage.of(Counted(number=number), id=f"e{number}", key=key, source="/test", time=utc_now())


async def add(outbox: Outbox, database: Database, *numbers: int) -> None:
    """One transaction with these events."""
    async with database.transaction() as session:
        for number in numbers:
            await outbox.add_event(session, counted(number))


async def relay_until_crash(bus: Any, outbox: Outbox) -> bool:
    """A relay of its own, in the end dead; whether it died before it was done."""
    try:
        await Relay(bus, outbox, QUICK).drain()
    except Crash:
        return True
    return False


async def published(bus: Bus) -> list[int]:
    """The numbers in the stream, in stream order."""
    found, sequence = [], 1
    info = await bus.jetstream.stream_info(bus.names.events)
    while sequence <= info.state.last_seq:
        try:
            message = await bus.jetstream.get_msg(bus.names.events, sequence)
        except NotFoundError:
            break
        if message.subject is not None and message.subject.startswith(f"{bus.subjects.events_root}."):
            found.append(int(EventMessage.decode(message.data or b"").data["number"]))
        sequence += 1
    return found
