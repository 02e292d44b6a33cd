"""What a handler gets beside its input."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, NoReturn

import structlog
from sqlmodel.ext.asyncio.session import AsyncSession

from contracts.directives import NO_DIRECTIVES, Directives
from contracts.events import Event, EventMessage
from contracts.failure import InvalidContract
from contracts.ids import new_saga_id
from events.clock import Clock
from events.database import Database
from events.outbox import Outbox
from saga.breaker import Breaker, Breakers
from saga.client import SagaClient
from saga.waits import Waits


@dataclass(kw_only=True)
class ActionContext:
    """One attempt of one step, and what its handler may use.

    `key` is the same for every attempt of this step of this saga. `attempt` counts from 1.
    `deadline` is when this attempt is cancelled.
    """

    saga_id: str
    step: str
    action: str
    definition: str
    attempt: int
    deadline: datetime | None
    clock: Clock
    breakers: Breakers
    correlation_id: str = ""
    traceparent: str = ""
    directives: Directives = NO_DIRECTIVES
    session: AsyncSession | None = None
    database: Database | None = None
    outbox: Outbox | None = None
    emits: tuple[type[Event], ...] = ()
    resource: Any = None
    waits: Waits | None = None
    client: SagaClient | None = None

    @property
    def key(self) -> str:
        return f"{self.saga_id}.{self.step}"

    @property
    def user_id(self) -> str:
        """For whom the saga runs, as its starter says; empty if it does not say."""
        return self.directives.user

    def now(self) -> datetime:
        return self.clock()

    @property
    def db(self) -> AsyncSession:
        """The guard's open transaction. Raises InvalidContract if the action has none."""
        if self.session is None:
            raise InvalidContract(
                f"{self.action} has no transaction: declare database=..., and not external=True"
            )
        return self.session

    async def emit(
        self, event: Event, *, key: str | None = None, session: AsyncSession | None = None
    ) -> None:
        """Publish one of the action's own events if and when its transaction commits.

        `key` is the last token of its subject, the saga's id unless told otherwise. An action with
        `external=True` gives the `session` of a transaction of its own; its handler may run again, so it
        emits where it writes its row for the first time. Raises InvalidContract.
        """
        if self.outbox is None or type(event) not in self.emits:
            raise InvalidContract(
                f"{self.action} does not emit {event.event_name}: declare database=... and emits=(...)"
            )
        message = EventMessage.of(
            event,
            id=new_saga_id(),
            key=key or self.saga_id,
            source=self.outbox.source,
            time=self.now(),
            sagaid=self.saga_id,
            correlationid=self.correlation_id,
            causationid=self.key,
            traceparent=self.traceparent,
        )
        await self.outbox.add_event(session or self.db, message)

    async def sleep(self, seconds: float) -> None:
        """Wait without holding a process; the handler begins anew after it (see `saga.waits`)."""
        await self.wait_until(self.now() + timedelta(seconds=seconds))

    async def wait_until(self, instant: datetime) -> None:
        """As `sleep`, until an instant."""
        self._waits.until(instant)

    async def signal(self, timeout_s: float | None = None) -> dict[str, Any] | None:
        """Wait for a signal to this step and give its payload, or None if none came in time.

        A signal that came before the step waited for it counts.
        """
        return self._waits.for_signal(timeout_s)

    async def wait_again(self, timeout_s: float) -> NoReturn:
        """Leave the handler until the next signal, or until the time is over; it then begins anew.

        For handlers that keep what they wait for in their own database: they cannot tell what has ended the wait.
        """
        self._waits.again(timeout_s)
        raise AssertionError("a wait leaves the handler")

    @property
    def sagas(self) -> SagaClient:
        """Starts other sagas, and intervenes in them. Raises InvalidContract outside of a participant."""
        if self.client is None:
            raise InvalidContract(f"{self.action}: only a participant can start other sagas")
        return self.client

    @property
    def _waits(self) -> Waits:
        if self.waits is None:
            raise InvalidContract(f"{self.action}: only a step on its way forward can wait")
        return self.waits

    def breaker(self, name: str) -> Breaker:
        """The circuit breaker of that name: `async with ctx.breaker("operator.mpesa"): ...`"""
        return self.breakers.get(name)

    @cached_property
    def log(self) -> Any:
        return structlog.get_logger(self.action).bind(
            saga_id=self.saga_id, step=self.step, attempt=self.attempt, definition=self.definition
        )
