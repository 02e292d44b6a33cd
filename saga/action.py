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
from types import ModuleType
from typing import Any, cast, get_type_hints

from pydantic import BaseModel, ValidationError
from sqlmodel import SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession

from contracts.actions import ActionContract
from contracts.events import Event
from contracts.facts import explain
from contracts.failure import InvalidContract
from contracts.policies import NO_POLICY, Policy
from saga.context import ActionContext
from saga.declared import declare
from saga.refusals import EffectUnknown, NotYet, Refused, Unavailable

type Environment = Mapping[str, str]
type ResourceFactory = Callable[[Environment], AbstractAsyncContextManager[Any]]
type Seed = Callable[[AsyncSession], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class StepDatabase:
    """The declaration of a service's own database: its name, its tables, and what it starts with."""

    name: str
    tables: tuple[type[SQLModel], ...] = ()
    seed: Seed | None = None


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
            reads_only=self.about.reads_only,
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
