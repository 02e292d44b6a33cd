"""The load: payments started with a window, followed through the stream until every one is at rest.

The driver waits for facts and for nothing else. What it hears it judges at once, with the same auditor as
`saga audit`; so a run knows of a broken invariant when it happens.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from random import Random

from contracts.failure import Conflict
from contracts.payments import PaymentRequest
from events.clock import monotonic
from events.publish import PublishFailed
from events.read import ReadFailed, follow
from saga.audit import Audited, Auditor, learn
from saga.client import SagaClient, StartedSaga, StartOptions
from services.payments.presets import choose
from services.payments.sample.generate import Generator
from services.sandboxes.profiles import BLOCKED, FLAKY, LOST_ANSWER, UNDELIVERABLE
from tests.faults.ground import Ground

WINDOW = 48
_START_AGAIN_S = 0.2
# One payment in three fails, most of them late: the wave back is what faults are after.
_MIX = (
    *[("", 20, 900)] * 12,
    ("", 10_500, 14_000),
    (FLAKY, 20, 900),
    (LOST_ANSWER, 20, 900),
    *[(BLOCKED, 20, 900)] * 2,
    *[(UNDELIVERABLE, 20, 900)] * 4,
)


def payments(seed: int) -> Callable[[], PaymentRequest]:
    """A source of payments; the same seed gives the same ones."""
    generator, random = Generator(seed), Random(seed)

    def one() -> PaymentRequest:
        ending, low, high = random.choice(_MIX)
        return PaymentRequest.model_validate(generator.request(low_usd=low, high_usd=high, ending=ending))

    return one


@dataclass
class Load:
    """Starts payments and follows them. `started`: by saga id, whose start was acknowledged."""

    ground: Ground
    seed: int
    twice: bool = False
    started: dict[str, float] = field(default_factory=dict)
    resent: int = 0
    on_started: Callable[[str, int], None] | None = None

    def __post_init__(self) -> None:
        self.client = SagaClient(self.ground.bus, self.ground.definitions)
        self.auditor = Auditor(self.ground.definitions.get)
        self.heard_at = monotonic()
        self._payment = payments(self.seed)
        self._places = asyncio.Semaphore(WINDOW)
        self._changed = asyncio.Condition()
        self._at_rest: set[str] = set()

    @property
    def at_rest(self) -> int:
        return len(self._at_rest & self.started.keys())

    def is_at_rest(self, saga_id: str) -> bool:
        return saga_id in self._at_rest

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Hear the stream until the end of the block; if that fails, so does the block."""
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self._follow(), name="following")
            yield
            task.cancel()

    async def _follow(self) -> None:
        async with aclosing(follow(self.ground.bus, 0, 0, pause_s=0.02)) as batches:
            async for batch in batches:
                for message in batch:
                    await learn(self.ground.definitions, message)
                    self._hear(self.auditor.hear(0, message), message.subject.rpartition(".")[2])
                self.heard_at = monotonic()
                async with self._changed:
                    self._changed.notify_all()

    def _hear(self, saga: Audited | None, saga_id: str) -> None:
        if saga is not None and saga.at_rest and saga_id not in self._at_rest:
            self._at_rest.add(saga_id)
            self._places.release()

    async def start(self, count: int) -> None:
        """Start so many payments, as many at a time as the window allows."""
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                await self._places.acquire()
                request = self._payment()
                group.create_task(self._start(number, request))

    async def _start(self, number: int, request: PaymentRequest) -> None:
        first = await self.start_one(number, request)
        if self.twice:
            second = await self.start_one(number, request)
            assert (second.saga_id, second.created) == (first.saga_id, False)
            self.resent += 1

    async def start_one(self, number: int, request: PaymentRequest, definition: str = "") -> StartedSaga:
        """Start a payment, again and again until it is acknowledged, by the same key."""
        options = StartOptions(idempotency_key=f"payment-{self.seed}-{number}")
        definition = definition or choose(request).name
        while True:
            try:
                saga = await self.client.start(definition, request.model_dump(mode="json"), options)
            except (PublishFailed, ReadFailed):
                await asyncio.sleep(_START_AGAIN_S)
                continue
            self.started[saga.saga_id] = monotonic()
            if self.on_started is not None:
                self.on_started(saga.saga_id, number)
            return saga

    async def cancel(self, saga_id: str) -> bool:
        """Turn a saga round; False if it is too late for that, or the bus is away."""
        try:
            await self.client.cancel(saga_id, reason="a fault run", by="the driver")
        except (Conflict, PublishFailed, ReadFailed):
            return False
        return True

    async def until(self, holds: Callable[[], bool], *, quiet_s: float) -> bool:
        """Wait until something holds, looked at after every burst of facts; False if nothing was heard for so
        long."""
        since = monotonic()
        while not holds():
            left = max(since, self.heard_at) + quiet_s - monotonic()
            if left <= 0:
                return False
            with suppress(TimeoutError):
                async with asyncio.timeout(left), self._changed:
                    await self._changed.wait()
        return True

    async def all_at_rest(self, *, quiet_s: float) -> bool:
        """Wait until every payment that was started is at rest; False if nothing moves any more."""
        return await self.until(lambda: self.started.keys() <= self._at_rest, quiet_s=quiet_s)
