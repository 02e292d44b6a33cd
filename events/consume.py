"""The hot loop: one durable pull consumer, shared by all replicas, with bounded concurrency.

FastStream's per-message path costs more than twice a hand-written one, so deliveries are taken here:
a standing pull request is topped up while deliveries are being handled, each in a task of its own.

Crash: a delivery that is not acknowledged is given to another replica after `ack_wait`. While a handler
lives its delivery is kept alive by a sign of life three times in that time. A lost connection loses the
standing request; the watchdog notices (reconnect, or a missed server heartbeat) and asks again.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from events.bus import Bus
from events.clock import monotonic

log = structlog.get_logger(__name__)

_EXPIRES_S = 30.0
_IDLE_HEARTBEAT_S = 5.0
_WATCHDOG_S = 0.5
_NAK_ON_STOP_S = 0.1


class Delivery:
    """One message handed to this process. Exactly one of `ack`, `nak` ends it."""

    __slots__ = (
        "_bus",
        "age_s",
        "deliveries",
        "ended",
        "headers",
        "payload",
        "received_at",
        "reply",
        "sequence",
        "stream",
        "subject",
    )

    def __init__(self, bus: Bus, message: Msg, now_ns: int) -> None:
        tokens = message.reply.split(".")
        shift = len(tokens) - 9 if len(tokens) > 9 else 0
        self._bus = bus
        self.subject: str = message.subject
        self.payload: bytes = message.data
        self.headers: dict[str, str] = message.headers or {}
        self.reply: str = message.reply
        self.stream = tokens[2 + shift]
        self.deliveries = int(tokens[4 + shift])
        self.sequence = int(tokens[5 + shift])
        self.age_s = (now_ns - int(tokens[7 + shift])) / 1e9
        self.received_at = monotonic()
        self.ended = False

    async def ack(self) -> None:
        await self._end(b"+ACK")

    async def nak(self, delay_s: float) -> None:
        """Deliver it again after a delay; never without one, which would burn deliveries in milliseconds."""
        await self._end(b"-NAK " + json.dumps({"delay": max(1, int(delay_s * 1e9))}).encode())

    async def keep_alive(self) -> None:
        if not self.ended:
            await self._bus.client.publish(self.reply, b"+WPI")

    async def _end(self, answer: bytes) -> None:
        self.ended = True
        await self._bus.client.publish(self.reply, answer)


type Handler = Callable[[Delivery], Awaitable[None]]


class PullConsumer:
    """Gives every delivery of a durable consumer to `handle`, at most `max_in_flight` at once."""

    def __init__(
        self, bus: Bus, stream: str, durable: str, handle: Handler, now_ns: Callable[[], int]
    ) -> None:
        self._bus = bus
        self._name = f"{stream}/{durable}"
        self._request_subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}"
        self._handle = handle
        self._now_ns = now_ns
        self._inbox = bus.client.new_inbox()
        self._limit = bus.settings.max_in_flight
        self._outstanding = 0
        self._asking = False
        self._last_heard = monotonic()
        self._in_flight: dict[asyncio.Task[None], Delivery] = {}
        self._subscription: Subscription | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def in_flight(self) -> int:
        return len(self._in_flight)

    @property
    def silent_s(self) -> float:
        """Seconds since the server was last heard: more than a few heartbeats means the loop is dead."""
        return monotonic() - self._last_heard

    async def start(self) -> None:
        self._subscription = await self._bus.client.subscribe(self._inbox, cb=self._receive)
        await self._ask()
        self._keeper = asyncio.create_task(self._keep(), name=f"keeper {self._name}")

    async def stop(self, grace_s: float = 10.0) -> None:
        """Take nothing more, let handlers finish for `grace_s` seconds, give back what is left."""
        self._stopping = True
        if self._keeper is not None:
            self._keeper.cancel()
        if self._subscription is not None and self._bus.connected:
            with suppress(NatsError):
                await self._subscription.unsubscribe()
        if self._in_flight:
            _, left = await asyncio.wait(self._in_flight, timeout=grace_s)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    async def _ask(self) -> None:
        wanted = self._limit - len(self._in_flight) - self._outstanding
        # Topping up one by one would double the traffic; an empty standing request must be renewed at once.
        if wanted <= 0 or (self._outstanding and wanted < self._limit // 2):
            return
        self._outstanding += wanted
        request = {
            "batch": wanted,
            "expires": int(_EXPIRES_S * 1e9),
            "idle_heartbeat": int(_IDLE_HEARTBEAT_S * 1e9),
        }
        try:
            await self._bus.client.publish(
                self._request_subject, json.dumps(request).encode(), reply=self._inbox
            )
        except NatsError as error:
            self._outstanding = 0
            log.warning("consume.request_failed", consumer=self._name, error=str(error))

    async def _receive(self, message: Msg) -> None:
        self._last_heard = monotonic()
        if not message.reply:
            await self._status(message)
            return
        self._outstanding = max(0, self._outstanding - 1)
        delivery = Delivery(self._bus, message, self._now_ns())
        if self._stopping:
            await delivery.nak(_NAK_ON_STOP_S)
            return
        task = asyncio.create_task(self._guarded(delivery))
        self._in_flight[task] = delivery
        task.add_done_callback(self._done)
        if self._outstanding <= self._limit // 2:
            await self._ask()

    def _done(self, task: asyncio.Task[None]) -> None:
        del self._in_flight[task]
        if self._stopping or self._outstanding > self._limit // 2 or self._asking:
            return
        self._asking = True
        asyncio.get_running_loop().call_soon(self._ask_soon)

    def _ask_soon(self) -> None:
        self._asking = False
        if not self._stopping:
            task = asyncio.ensure_future(self._ask())
            task.add_done_callback(_report)

    async def _status(self, message: Msg) -> None:
        headers: dict[str, Any] = message.headers or {}
        status = headers.get("Status")
        if status == "100":
            return
        # 408 expired, 409 cut short, 404 none: what is left of the request will not be delivered.
        self._outstanding = max(
            0, self._outstanding - int(headers.get("Nats-Pending-Messages", self._outstanding))
        )
        if status == "503":
            # No definition uses the action yet; asked again by and by.
            log.debug("consume.no_consumer", consumer=self._name)
        elif status not in ("404", "408"):
            log.info("consume.request_ended", consumer=self._name, reason=headers.get("Description", status))
        if status != "503":
            await self._ask()

    async def _guarded(self, delivery: Delivery) -> None:
        try:
            await self._handle(delivery)
        except asyncio.CancelledError:
            if not delivery.ended:
                with suppress(NatsError):
                    await delivery.nak(_NAK_ON_STOP_S)
            raise
        except Exception as error:
            delay_s = min(30.0, 0.2 * 2 ** min(delivery.deliveries - 1, 10))
            log.exception(
                "consume.handler_failed", consumer=self._name, subject=delivery.subject,
                deliveries=delivery.deliveries, again_in_s=delay_s, error=str(error),
            )  # fmt: skip
            if not delivery.ended:
                with suppress(NatsError):
                    await delivery.nak(delay_s)

    async def _keep(self) -> None:
        reconnects = self._bus.reconnects
        sign_of_life_s = self._bus.settings.ack_wait_s / 3
        next_sign = monotonic() + sign_of_life_s
        while True:
            await asyncio.sleep(min(_WATCHDOG_S, sign_of_life_s))
            try:
                if self._bus.reconnects != reconnects or self.silent_s > 3 * _IDLE_HEARTBEAT_S:
                    reconnects = self._bus.reconnects
                    self._outstanding = 0
                    self._last_heard = monotonic()
                if self._outstanding == 0:
                    await self._ask()
                if monotonic() >= next_sign:
                    next_sign = monotonic() + sign_of_life_s
                    for delivery in list(self._in_flight.values()):
                        if monotonic() - delivery.received_at >= sign_of_life_s / 2:
                            await delivery.keep_alive()
            except NatsError as error:
                log.warning("consume.keeper", consumer=self._name, error=str(error) or type(error).__name__)


def _report(task: asyncio.Future[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("consume.ask_failed", error=str(error))
