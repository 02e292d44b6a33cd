"""Telling an event to whoever listens. A service that has a database tells it through its outbox instead, so that
what is told has happened.
"""

from contracts.events import EventMessage
from events.bus import Bus
from events.names import MSG_ID


async def announce(bus: Bus, message: EventMessage) -> bool:
    """Publish an event; False if one of its id was published a short time ago. Raises PublishFailed."""
    subject = bus.subjects.event(message.type, message.subject)
    stored = await bus.publisher.send(subject, message.encode(), {MSG_ID: message.id})
    return not stored.duplicate
