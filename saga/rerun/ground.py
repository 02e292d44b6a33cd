"""The ground on which changed handlers are tried: their own databases and resources, and no way to the outside.

A handler runs in a transaction that is rolled back, on a database made for this (with the tables of its action, and
what they start with) or on a copy that is given. All breakers are shut, no saga can be started or moved, and an action
that acts outside of its transaction is only rehearsed. What a handler calls without any of these, it does call.
"""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from sqlalchemy import inspect
from sqlalchemy.exc import SQLAlchemyError

from contracts.failure import InvalidContract, NotFound, SagaError
from contracts.policies import NO_POLICIES, Policies
from contracts.subjects import Subjects
from events.clock import utc_now
from events.database import Database, make_engine
from events.outbox import MESSAGES, Outbox
from saga.action import Action, ActionContext, Environment
from saga.breaker import Breaker, BreakerOpen, Breakers
from saga.breaker_ledger import Ledger
from saga.client import SagaClient
from saga.execution import counts_against
from saga.service import Databases, ServiceSettings

_SHUT_S = 3600.0


class CannotTry(SagaError):
    """A handler cannot be tried here; the message says why."""

    code = "rerun.cannot_try"


@dataclass(kw_only=True)
class TrialContext(ActionContext):
    """A handler's context that keeps it in: `barred` says where it wanted to go."""

    barred: list[str] = field(default_factory=list)

    @property
    def sagas(self) -> SagaClient:
        self.barred.append("it starts or moves other sagas")
        raise InvalidContract(f"{self.action}: other sagas stay as they are while it is tried")


class ShutBreakers(Breakers):
    """Breakers that let nobody through; each try to pass one is noted."""

    def __init__(self, barred: list[str]) -> None:
        super().__init__(fails=counts_against)
        self._barred = barred

    def get(self, name: str) -> Breaker:
        return _Shut(name, self._ledger, self._barred)


class _Shut(Breaker):
    def __init__(self, name: str, ledger: Ledger, barred: list[str]) -> None:
        super().__init__(name, ledger, counts_against)
        self._barred = barred

    async def __aenter__(self) -> Self:
        self._barred.append(f"it goes outside, through the breaker {self.name}")
        raise BreakerOpen(self.name, _SHUT_S)


@dataclass(frozen=True, slots=True)
class Stand:
    """What an action is tried with. `action` has a rehearsal, or is one that only its transaction holds."""

    action: Action
    database: Database | None
    outbox: Outbox | None
    resource: Any


class Ground:
    """Open it for the changed actions. Without a `database_url` the databases are made, and gone when it closes.

    The URL may hold `{name}`, as that of a service may.
    """

    def __init__(
        self,
        actions: Mapping[str, Action],
        *,
        environment: Environment,
        database_url: str = "",
        policies: Policies = NO_POLICIES,
    ) -> None:
        self.actions = actions
        self.policies = policies
        self._environment = environment
        self._database_url = database_url
        self._stands: dict[str, Stand | CannotTry] = {}

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            folder = stack.enter_context(TemporaryDirectory(prefix="saga-what-if-"))
            self._settings = ServiceSettings(data=Path(folder), database_url=self._database_url)
            self._made = Databases(self._settings)
            stack.push_async_callback(self._made.close)
            self._resources = await stack.enter_async_context(AsyncExitStack())
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def stand(self, name: str) -> Stand:
        """What a changed action is tried with. Raises CannotTry."""
        if name not in self._stands:
            try:
                self._stands[name] = await self._open(self.actions[name])
            except CannotTry as error:
                self._stands[name] = error
        found = self._stands[name]
        if isinstance(found, CannotTry):
            raise found
        return found

    async def _open(self, action: Action) -> Stand:
        tried = _only_shown(action)
        try:
            made = not self._database_url
            database = await (self._made.open(action) if made else self._open_copy(action))
            resource = await self._resources.enter_async_context(action.open_resource(self._environment))
        except (SagaError, SQLAlchemyError, OSError) as error:
            raise CannotTry(f"what it needs cannot be opened: {error}") from error
        outbox = None
        if action.emits and database is not None:
            outbox = Outbox(database, Subjects(), utc_now, source=f"/what-if/{action.name}")
            if made:
                await outbox.create()
        return Stand(tried, database, outbox, resource)

    async def _open_copy(self, action: Action) -> Database | None:
        """The database that is given; nothing is created in it."""
        if action.database is None:
            return None
        database = Database(make_engine(self._settings.url_of(action.database.name)))
        self._stack.push_async_callback(database.close)
        wanted = {str(table.__tablename__) for table in action.database.tables}
        wanted |= {MESSAGES.name} if action.emits else set()
        async with database.reading() as connection:
            there = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
        if missing := wanted - set(there):
            raise NotFound(
                f"the database of {action.database.name} that was given has no {', '.join(sorted(missing))}"
            )
        return database


def _only_shown(action: Action) -> Action:
    """The action with its rehearsal; its handler is one if the transaction that is rolled back holds all it does."""
    if action.dry_run is not None:
        return action
    if action.external or (action.database is not None and not action.guarded):
        raise CannotTry("it acts outside of its transaction, and has no rehearsal")
    shown = copy(action)
    shown.rehearsal(action.handler)
    return shown
