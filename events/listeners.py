"""Who listens on the bus: the durable consumers of the streams of facts, as the server knows them."""

from dataclasses import dataclass

from nats.js import api
from nats.js.errors import NotFoundError

from contracts.failure import NotFound
from events.bus import Bus
from events.read import answered

_PAGE = 256


@dataclass(frozen=True, slots=True)
class Listener:
    """A consumer: what it hears, how many requests for work wait for messages, how many messages wait for it."""

    consumer: str
    partition: int
    filters: tuple[str, ...]
    requests: int
    pending: int
    in_flight: int

    @property
    def alive(self) -> bool:
        """Whether a replica asks for work, or has some."""
        return bool(self.requests or self.in_flight)


async def listeners(bus: Bus) -> list[Listener]:
    """All of them. Raises NotFound if nothing was ever served on this bus, ReadFailed if it does not answer."""
    found = []
    for partition in range(bus.settings.partitions):
        stream = bus.names.facts(partition)
        with answered(stream):
            try:
                found += await _of_stream(bus, stream, partition)
            except NotFoundError as error:
                raise NotFound(
                    f"no stream {stream}: nothing was ever served on this bus (saga up, saga serve)"
                ) from error
    return found


async def event_filters(bus: Bus) -> set[str]:
    """What consumers hear of the services' own events: their filters, `>` for one without. Raises ReadFailed."""
    stream = bus.names.events
    with answered(stream):
        try:
            infos = await _consumers(bus, stream)
        except NotFoundError:
            return set()
    return {subject for info in infos for subject in _filters(info) or [">"]}


async def _consumers(bus: Bus, stream: str) -> list[api.ConsumerInfo]:
    infos = page = await bus.jetstream.consumers_info(stream, offset=0)
    while len(page) == _PAGE:
        page = await bus.jetstream.consumers_info(stream, offset=len(infos))
        infos = infos + page
    return infos


def _filters(info: api.ConsumerInfo) -> list[str]:
    return list(info.config.filter_subjects or filter(None, [info.config.filter_subject]))


async def _of_stream(bus: Bus, stream: str, partition: int) -> list[Listener]:
    return [
        Listener(
            consumer=info.config.durable_name,
            partition=partition,
            filters=tuple(sorted(_filters(info))),
            requests=info.num_waiting or 0,
            pending=info.num_pending or 0,
            in_flight=info.num_ack_pending or 0,
        )
        for info in await _consumers(bus, stream)
        # Others read along for a while.
        if info.config.durable_name is not None
    ]
