"""Runs a step's handler and its undo as the runtime does: under the guard, on the service's real database."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from contracts.breakers import BreakerConfig
from contracts.directives import Directives
from contracts.subjects import Subjects
from events.clock import utc_now
from events.database import Database
from events.inbox import EffectKey, Inbox
from events.outbox import Outbox
from saga.action import Action, ActionContext
from saga.breaker import Breakers
from saga.execution import Attempt, Done, Failed, attempt_to_do, attempt_to_undo, counts_against
from saga.service import Databases, ServiceSettings

TIMEOUT_S = 20.0


@dataclass
class Steps:
    """The step services of one data folder. `skew` moves their clock; `user_id` is for whom the sagas run."""

    settings: ServiceSettings
    databases: Databases
    environment: Mapping[str, str]
    resources: AsyncExitStack
    breakers: Breakers
    skew: timedelta = timedelta()
    user_id: str = ""

    def now(self) -> datetime:
        return utc_now() + self.skew

    async def do(self, action: Action, command: BaseModel, saga_id: str, attempt: int = 1) -> Attempt:
        """One attempt; a refusal is noted by the guard, as the participant does."""
        context, inbox = await self._context(action, saga_id, attempt)
        end = await attempt_to_do(action, context, command, inbox, TIMEOUT_S)
        if isinstance(end, Failed) and not end.failure.retryable and inbox is not None:
            await inbox.refuse(EffectKey(saga_id, context.step), end.failure)
        return end

    async def undo(
        self, action: Action, command: BaseModel, saga_id: str, output: dict[str, Any] | None = None
    ) -> Attempt:
        context, inbox = await self._context(action, saga_id, 1)
        return await attempt_to_undo(action, context, command, output, inbox, TIMEOUT_S)

    async def done(self, action: Action, command: BaseModel, saga_id: str) -> Any:
        """Do it, expecting that it works; its output."""
        end = await self.do(action, command, saga_id)
        assert isinstance(end, Done), end
        return action.output.model_validate(end.output)

    async def refused(self, action: Action, command: BaseModel, saga_id: str, attempt: int = 1) -> str:
        """Do it, expecting that it fails; the code."""
        end = await self.do(action, command, saga_id, attempt)
        assert isinstance(end, Failed), end
        return end.failure.code

    async def database(self, action: Action) -> Database:
        database = await self.databases.open(action)
        assert database is not None
        return database

    async def rows(self, action: Action, query: Any) -> list[Any]:
        database = await self.database(action)
        async with database.transaction() as session:
            return list((await session.exec(query)).all())

    async def _context(
        self, action: Action, saga_id: str, attempt: int
    ) -> tuple[ActionContext, Inbox | None]:
        database = await self.databases.open(action)
        outbox = None
        if action.emits and database is not None:
            outbox = Outbox(database, Subjects(), self.now, source="/services/payments")
            await outbox.create()
        resource = await self.resources.enter_async_context(action.open_resource(self.environment))
        context = ActionContext(
            saga_id=saga_id,
            step=action.name.partition(".")[2],
            action=action.name,
            definition="payment-standard@1",
            attempt=attempt,
            deadline=None,
            clock=self.now,
            breakers=self.breakers,
            directives=Directives(user=self.user_id),
            database=database,
            outbox=outbox,
            emits=action.emits,
            resource=resource,
        )
        return context, Inbox(database, self.now) if database else None


@asynccontextmanager
async def open_steps(
    data: Path, operator_url: str = "http://127.0.0.1:9", database_url: str = ""
) -> AsyncIterator[Steps]:
    """The step services with their data in a folder or database, and the operators at a URL."""
    settings = ServiceSettings(data=data, database_url=database_url)
    async with AsyncExitStack() as stack:
        databases = Databases(settings)
        stack.push_async_callback(databases.close)
        yield Steps(
            settings=settings,
            databases=databases,
            environment={"SAGA_OPERATOR_URL": operator_url},
            resources=await stack.enter_async_context(AsyncExitStack()),
            breakers=Breakers(BreakerConfig(failure_threshold=50), fails=counts_against),
        )
