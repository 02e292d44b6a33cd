"""The connection: one NATS client, made by FastStream's broker, shared by everything in a process.

Reconnects for ever, with jitter. While the server is away publishes wait and then fail with
`PublishFailed`; nothing is reported as stored that was not acknowledged.
"""

import asyncio
from types import TracebackType
from typing import Any, Self

import structlog
from faststream.nats import NatsBroker
from faststream.nats.security import NatsCredentials
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoServersError
from nats.errors import TimeoutError as NatsTimeout
from nats.js import JetStreamContext

from contracts.failure import Unusable
from contracts.subjects import Subjects
from events.names import Names
from events.publish import Publisher
from events.servers import without_secrets
from events.settings import BusSettings

log = structlog.get_logger(__name__)

# A server that is gone without a word is given up after three of these; the client's own default is two minutes.
_PING_S = 5


class Bus:
    """An open connection. Use `async with await Bus.connect(settings)`."""

    def __init__(self, settings: BusSettings, broker: NatsBroker, client: Client) -> None:
        self.settings = settings
        self.broker = broker
        self.client = client
        self.jetstream: JetStreamContext = client.jetstream(timeout=settings.publish_timeout_s)
        self.subjects = Subjects(settings.namespace, settings.partitions)
        self.names = Names(settings.namespace)
        self.publisher = Publisher(client, timeout_s=settings.publish_timeout_s)
        self._owned = True

    @classmethod
    async def connect(cls, settings: BusSettings, broker: NatsBroker | None = None) -> Self:
        """Connect. A broker that is given is connected, but stays its owner's to stop.

        Raises Unusable if no server answers.
        """
        owned = broker is None
        broker = broker or make_broker(settings)
        try:
            async with asyncio.timeout(settings.connect_timeout_s):
                client = await broker.connect()
        except (NatsError, OSError, TimeoutError) as error:
            await _stop(broker)
            silent = isinstance(error, TimeoutError)
            reason = "it does not answer" if silent else str(error) or type(error).__name__
            raise Unusable(
                f"no NATS server at {without_secrets(settings.url)}: {reason}; start one, or set NATS_URL"
            ) from error
        bus = cls(settings, broker, client)
        bus._owned = owned
        await bus.publisher.start()
        return bus

    @property
    def connected(self) -> bool:
        return self.client.is_connected

    @property
    def reconnects(self) -> int:
        """How often the connection was lost and found again; requests under way were lost with it."""
        return int(self.client.stats["reconnects"])

    async def close(self) -> None:
        await self.publisher.stop()
        if self._owned:
            await _stop(self.broker)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def make_broker(settings: BusSettings, **options: Any) -> NatsBroker:
    """FastStream's broker with our connection rules."""

    async def reconnected() -> None:
        log.info("bus.reconnected", url=without_secrets(settings.url))

    async def disconnected() -> None:
        log.info("bus.disconnected", url=without_secrets(settings.url))

    async def failed(error: Exception) -> None:
        # Every vain try to reach a server that is away is one of these; the others are worth a look.
        away = isinstance(error, OSError | TimeoutError | NatsTimeout | NoServersError)
        (log.debug if away else log.warning)("bus.error", error=str(error) or type(error).__name__)

    if settings.credentials:
        options["security"] = NatsCredentials(settings.credentials)
    return NatsBroker(
        settings.url.split(","),
        ping_interval=_PING_S,
        logger=None,
        max_reconnect_attempts=-1,
        reconnect_time_wait=1,
        connect_timeout=2,
        pending_size=8 * 1024 * 1024,
        reconnected_cb=reconnected,
        disconnected_cb=disconnected,
        error_cb=failed,
        **options,
    )


async def _stop(broker: NatsBroker) -> None:
    try:
        await broker.stop()
    except NatsError as error:
        # FastStream drains the connection on stop, which NATS refuses while it is away.
        log.warning("bus.stopped_while_disconnected", error=str(error) or type(error).__name__)
