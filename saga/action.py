"""Actions: what a service can do. An async function with a typed input and output, and perhaps its undo.

    @action("payments.lock_exchange_rate", database=DATABASE)
    async def lock_exchange_rate(ctx: ActionContext, command: LockExchangeRate) -> RateLocked: ...

    @lock_exchange_rate.compensation
    async def release(ctx: ActionContext, command: LockExchangeRate, output: RateLocked | None) -> None: ...

With a `database` the handler runs inside the guard's transaction (`ctx.db`): its effect happens once,
whatever is delivered twice. With `external=True` the effect is outside the database, so no transaction is
held during the call; the outside world must honour `ctx.key`. With `guard=False` there is neither: the handler
and its undo may come in any order, more than once, and keep their own account in `ctx.database`. The events an
action says it `emits` are published after the commit of the transaction they were emitted in (`events.outbox`).

A dry run runs an action's `rehearsal` instead. How attempts are timed, repeated, limited and who may make them is the
`policy`'s to say (`contracts.policies`).

A handler says no with `Refused` (had no effect, will not change) or `Unavailable` (had no effect, may work
later), or that it cannot tell with `EffectUnknown`. Every other exception counts as `step.unexpected` with an
unknown effect.
"""

import inspect
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from copy import copy
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from types import ModuleType
from typing import Any, NoReturn, cast, get_type_hints

import structlog
from pydantic import BaseModel, ValidationError
from sqlmodel import SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession

from contracts.actions import ActionContract
from contracts.directives import NO_DIRECTIVES, Directives
from contracts.events import Event, EventMessage
from contracts.facts import explain
from contracts.failure import Failure, InvalidContract, SagaError
from contracts.ids import new_saga_id
from contracts.policies import NO_POLICY, Policy
from events.clock import Clock
from events.database import Database
from events.outbox import Outbox
from saga.breaker import Breaker, Breakers
from saga.client import SagaClient
from saga.declared import declare
from saga.waits import Waits

type Environment = Mapping[str, str]
type ResourceFactory = Callable[[Environment], AbstractAsyncContextManager[Any]]
type Seed = Callable[[AsyncSession], Awaitable[None]]


class Refused(SagaError):
    """A business refusal: there was no effect, and trying again would not help.

    It is tried again all the same if its code is among the step's `retryable_errors`.
    """

    code = "action.refused"

    def __init__(self, code: str, message: str, *, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.failure = Failure(
            code=code, message=message, retryable=False, effect="none", details=details or {}
        )


class Unavailable(SagaError):
    """Something the action needs does not work now; there was certainly no effect. Tried again by policy."""

    code = "action.unavailable"

    def __init__(
        self, code: str, message: str, *, details: dict[str, Any] | None = None,
        retry_after_s: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.failure = Failure(
            code=code, message=message, retryable=True, effect="none", details=details or {},
            retry_after_s=retry_after_s,
        )  # fmt: skip


class EffectUnknown(Unavailable):
    """There is no telling whether there was an effect: it is undone if the saga turns round.

    Tried again by policy, unless `retryable` says that this would not help.
    """

    code = "action.effect_unknown"

    def __init__(
        self, code: str, message: str, *, details: dict[str, Any] | None = None,
        retry_after_s: float | None = None, retryable: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(code, message, details=details, retry_after_s=retry_after_s)
        self.failure = self.failure.model_copy(update={"effect": "unknown", "retryable": retryable})


class NotYet(SagaError):
    """What the handler (or undo) has begun is not at its end: call it again in `delay_s` seconds.

    No attempt is spent. The delivery is kept, so this is for seconds; a handler waits longer by `ctx.signal`.
    """

    code = "action.not_yet"

    def __init__(self, delay_s: float) -> None:
        super().__init__(f"not at its end: again in {delay_s} s")
        self.delay_s = delay_s


@dataclass(frozen=True, slots=True)
class StepDatabase:
    """The declaration of a service's own database: its name, its tables, and what it starts with."""

    name: str
    tables: tuple[type[SQLModel], ...] = ()
    seed: Seed | None = None


@dataclass(kw_only=True)
class ActionContext:
    """What a handler gets beside its input.

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


type Handler = Callable[[ActionContext, Any], Awaitable[Any]]
type Undo = Callable[[ActionContext, Any, Any], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What an action says of itself in the registry, besides its types and its docstring."""

    version: str = "1"
    category: str = ""
    permissions: tuple[str, ...] = ()
    examples: tuple[Mapping[str, Any], ...] = ()
    reads_only: bool = False
    policy: Policy = NO_POLICY


class Action:
    """A registered action. Calling it calls the handler, so that it can be tested like a function."""

    def __init__(
        self, name: str, handler: Handler, *, database: StepDatabase | None, external: bool,
        guard: bool,
        resource: ResourceFactory | None, emits: tuple[type[Event], ...] = (), about: About | None = None,
    ) -> None:  # fmt: skip
        self.name = name
        self.handler = handler
        self.database = database
        self.external = external
        self.guarded = guard and database is not None
        self.resource = resource
        self.emits = emits
        if emits and database is None:
            raise InvalidContract(f"action {name} emits events, so it needs database=...")
        self.undo: Undo | None = None
        self.dry_run: Handler | None = handler if about and about.reads_only else None
        self.input, self.output = _types(name, handler)
        self.about = about or About()
        _check_examples(name, self.input, self.about.examples)
        self.__doc__ = handler.__doc__
        self.__name__ = getattr(handler, "__name__", name)

    async def __call__(self, ctx: ActionContext, command: BaseModel) -> Any:
        return await self.handler(ctx, command)

    def compensation(self, undo: Undo) -> Undo:
        """Register the undo. It may be called for a step of which it is not known whether it had an effect."""
        self.undo = undo
        return undo

    def rehearsal(self, handler: Handler) -> Handler:
        """Register what is run in a dry run instead of the handler: it does nothing, and says what would come of it.

        A dry run of an action without one, and that does not only read, is refused (`step.no_rehearsal`).
        """
        self.dry_run = handler
        return handler

    @property
    def compensable(self) -> bool:
        return self.undo is not None

    def behind(self, breaker: str) -> "Action":
        """The action with every attempt to do it behind a circuit breaker."""
        handler = self.handler

        async def guarded(ctx: ActionContext, command: Any) -> Any:
            async with ctx.breaker(breaker):
                return await handler(ctx, command)

        shielded = copy(self)
        shielded.handler = guarded
        return shielded

    @property
    def contract(self) -> ActionContract:
        return ActionContract(
            name=self.name,
            input=self.input,
            output=self.output,
            compensable=self.compensable,
            emits=self.emits,
            description=inspect.getdoc(self.handler) or "",
            version=self.about.version,
            category=self.about.category,
            permissions=self.about.permissions,
            examples=self.about.examples,
            policy=self.about.policy,
        )

    @asynccontextmanager
    async def open_resource(self, environment: Environment) -> AsyncIterator[Any]:
        """The action's resource for the life of a participant; None if it needs none."""
        if self.resource is None:
            yield None
            return
        async with self.resource(environment) as resource:
            yield resource


def action(
    name: str,
    *,
    database: StepDatabase | None = None,
    external: bool = False,
    guard: bool = True,
    resource: ResourceFactory | None = None,
    emits: tuple[type[Event], ...] = (),
    version: str = "1",
    category: str = "",
    permissions: tuple[str, ...] = (),
    examples: tuple[Mapping[str, Any], ...] = (),
    reads_only: bool = False,
    policy: Policy = NO_POLICY,
) -> Callable[[Handler], Action]:
    """Make an async function an action, and enter it into the registry.

    `reads_only`: it has no effect, so a dry run runs it as it is.
    Raises InvalidContract if its types are not pydantic models, or an example is none of its inputs.
    """
    about = About(
        version=version, category=category, permissions=permissions, examples=examples, reads_only=reads_only,
        policy=policy,
    )  # fmt: skip

    def register(handler: Handler) -> Action:
        made = Action(
            name, handler, database=database, external=external, guard=guard, resource=resource, emits=emits,
            about=about,
        )  # fmt: skip
        declare(made)
        return made

    return register


def _check_examples(name: str, model: type[BaseModel], examples: tuple[Mapping[str, Any], ...]) -> None:
    for number, example in enumerate(examples, 1):
        try:
            model.model_validate(example)
        except ValidationError as error:
            raise InvalidContract(f"action {name}, example {number}: {explain(error)}") from error


def _types(name: str, handler: Handler) -> tuple[type[BaseModel], type[BaseModel]]:
    hints = get_type_hints(handler)
    returned = hints.pop("return", None)
    given = list(hints.values())
    if len(given) != 2 or not _is_model(given[1]) or not _is_model(returned):
        raise InvalidContract(
            f"action {name}: expected `async def handler(ctx: ActionContext, command: Input) -> Output` "
            "with pydantic models as Input and Output"
        )
    return cast(type[BaseModel], given[1]), cast(type[BaseModel], returned)


def _is_model(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, BaseModel)


class _Callable(ModuleType):
    """`from saga import action` gives this module once it has been imported, for it bears the decorator's name."""

    def __call__(self, *given: Any, **options: Any) -> Callable[[Handler], Action]:
        return action(*given, **options)


sys.modules[__name__].__class__ = _Callable

__all__ = [
    "About", "Action", "ActionContext", "EffectUnknown", "NotYet", "Refused", "StepDatabase", "Unavailable",
    "action",
]  # fmt: skip
