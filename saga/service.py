"""A service: one or more actions as a FastStream application, or several of them in one process.

`service_app(action)` is what `faststream run services.payments.steps.validate_payment:app` starts.
`serve` runs the same participants inside a process that already has a bus.
"""

import gc
import os
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from contracts.breakers import BreakerConfig
from events.advisories import Undertaker
from events.application import FastStreamApp, make_app
from events.bus import Bus
from events.clock import Chance, Clock, chance, utc_now
from events.database import Database, make_engine
from events.definitions import Definitions
from events.inbox import GUARD
from events.names import TIMEKEEPER
from events.settings import BusSettings
from events.streams import (
    ConsumerSpec,
    apply_consumers,
    apply_redrives,
    consumers_stand,
    declare,
    topology_lock,
)
from events.together import together
from saga import failpoints
from saga.action import Action, Environment
from saga.breaker import shared_breakers
from saga.execution import counts_against
from saga.hooks import Hook, OpenHook
from saga.hooks.manager import installed, open_hooks
from saga.offers import Announcing
from saga.outboxes import Outboxes
from saga.participant import Participant
from saga.policies import read_policies
from saga.timekeeper import Timekeeper
from saga.topology import consumers_for
from saga.turn import PARK_AFTER_S
from saga.watched import WatchedSagas


class ServiceSettings(BaseSettings):
    """Settings of a service. Durations in seconds.

    `database_url` may hold `{name}`, which becomes the name of the step's database; without it every
    service has its own SQLite file below `data`.
    """

    model_config = SettingsConfigDict(env_prefix="SAGA_", frozen=True)

    data: Path = Path(".saga")
    database_url: str = ""
    grace_s: float = Field(default=10.0, ge=0)
    policies: Path | None = Field(default=None, description="file of the operator's policies")
    hooks: str = Field(
        default="", description="around every step: metrics, audit, session, trace, module:name"
    )
    park_after_s: float = Field(
        default=PARK_AFTER_S, gt=0, description="longer delays are kept by the server"
    )
    breaker_failure_threshold: int = Field(default=5, ge=1, le=10_000)
    breaker_reset_timeout_s: float = Field(default=5.0, gt=0, le=86_400)
    breaker_half_open_max_calls: int = Field(default=1, ge=1, le=100)
    breaker_success_threshold: int = Field(default=1, ge=1, le=10_000)
    breaker_probe_lease_s: float = Field(default=30.0, gt=0, le=3_600)

    @property
    def breaker_config(self) -> BreakerConfig:
        """The settings of breakers that nobody has configured."""
        given = self.model_dump(include={f"breaker_{name}" for name in BreakerConfig.model_fields})
        return BreakerConfig(**{name.removeprefix("breaker_"): value for name, value in given.items()})

    def url_of(self, database: str) -> str:
        if self.database_url:
            return self.database_url.replace("{name}", database)
        return f"sqlite+aiosqlite:///{self.data / f'{database}.db'}"


class Databases:
    """The open databases of one process, by name; steps that share a declaration share the database."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._open: dict[str, Database] = {}

    async def open(self, action: Action) -> Database | None:
        """The action's database with its tables and the guard's, seeded if it was empty."""
        declared = action.database
        if declared is None:
            return None
        if declared.name not in self._open:
            self._settings.data.mkdir(parents=True, exist_ok=True)
            database = Database(make_engine(self._settings.url_of(declared.name)))
            tables = [GUARD, *(table.__table__ for table in declared.tables)]  # type: ignore[attr-defined]
            try:
                await database.create(tables, declared.seed)
            except BaseException:
                await database.close()
                raise
            self._open[declared.name] = database
        return self._open[declared.name]

    async def open_all(self, actions: Iterable[Action]) -> None:
        """Open the databases of all these actions at the same time: most of it is waiting for the disk."""
        one_of_each = {action.database.name: action for action in actions if action.database}
        await together(*(self.open(action) for action in one_of_each.values()))

    async def close(self) -> None:
        for database in self._open.values():
            await database.close()


@asynccontextmanager
async def serve(
    actions: Sequence[Action],
    bus: Bus,
    definitions: Definitions,
    settings: ServiceSettings,
    *,
    environment: Environment | None = None,
    hooks: Sequence[Hook | OpenHook] = (),
    clock: Clock = utc_now,
    chance: Chance = chance,
) -> AsyncIterator[list[Participant]]:
    """The participants of these actions, taking deliveries until the block ends.

    `hooks` are run around their steps, beside those of the settings. Raises NotFound for a hook there is not.
    """
    failpoints.arm(os.environ if environment is None else environment)
    await _apply_consumers_of({action.name for action in actions}, bus, definitions)
    opening = open_participants(
        actions, bus, definitions, settings, environment=environment, hooks=hooks, clock=clock, chance=chance
    )
    async with opening as participants, Undertaker(bus, clock):
        for participant in participants:
            await participant.start()
        async with Announcing(bus, actions, clock):
            yield participants


@asynccontextmanager
async def open_participants(
    actions: Sequence[Action],
    bus: Bus,
    definitions: Definitions,
    settings: ServiceSettings,
    *,
    environment: Environment | None = None,
    hooks: Sequence[Hook | OpenHook] = (),
    clock: Clock = utc_now,
    chance: Chance = chance,
) -> AsyncIterator[list[Participant]]:
    """The participants of these actions with all they need to act; they take no deliveries of their own accord.

    Raises NotFound for a hook there is not.
    """
    databases = Databases(settings)
    participants: list[Participant] = []
    async with AsyncExitStack() as stack:
        stack.push_async_callback(databases.close)
        watched = await stack.enter_async_context(WatchedSagas(bus))
        breakers = await stack.enter_async_context(
            shared_breakers(bus, settings.breaker_config, fails=counts_against, clock=clock)
        )
        outboxes = await stack.enter_async_context(Outboxes(bus, clock))
        await stack.enter_async_context(Timekeeper(bus, definitions, clock))
        await databases.open_all(actions)
        policies = read_policies(settings.policies)
        opened = await open_hooks(stack, [*installed(settings.hooks), *hooks], bus, clock)
        for action in actions:
            participant = Participant(
                action,
                bus,
                definitions,
                breakers=breakers,
                watched=watched,
                park_after_s=settings.park_after_s,
                environment=os.environ if environment is None else environment,
                open_database=databases.open,
                open_outbox=outboxes.open,
                hooks=opened,
                policies=policies,
                clock=clock,
                chance=chance,
            )
            stack.push_async_callback(participant.stop, settings.grace_s)
            participants.append(await participant.open())
        yield participants


async def _apply_consumers_of(actions: set[str], bus: Bus, definitions: Definitions) -> None:
    def wanted() -> list[ConsumerSpec]:
        return [spec for spec in consumers_for(bus, definitions.all()) if spec.action in actions]

    redrives = [TIMEKEEPER, *map(bus.names.consumer, sorted(actions))]
    # A restart changes nothing, and must not wait for the lock of a process that was killed.
    if await consumers_stand(bus, wanted(), redrives):
        return
    async with topology_lock(bus):
        await apply_consumers(bus, wanted())
        await apply_redrives(bus, redrives)


def settle() -> None:
    """Once, when a process has started: what it has loaded stays, so the garbage collector need not look at it
    again and again. That saves a long-running process about a tenth of its time."""
    gc.freeze()


def service_app(*actions: Action, hooks: Sequence[Hook | OpenHook] = ()) -> FastStreamApp:
    """A FastStream application that offers these actions; settings come from the environment."""

    @asynccontextmanager
    async def running(bus: Bus) -> AsyncIterator[None]:
        await declare(bus)
        async with (
            Definitions.open(bus) as definitions,
            serve(actions, bus, definitions, ServiceSettings(), hooks=hooks),
        ):
            settle()
            yield

    title = ", ".join(action.name for action in actions)
    return make_app([action.contract for action in actions], BusSettings(), title, running)
