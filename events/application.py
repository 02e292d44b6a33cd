"""FastStream applications: their lifecycle, and the AsyncAPI document of what a service hears and states.

FastStream runs the process, its signals, its health and its documentation. The deliveries themselves are
taken by `events.consume`, so the subscribers declared here are descriptions and never started.
"""

import asyncio
import inspect
import json
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from typing import Any

from faststream import AckPolicy, FastStream
from faststream.nats import JStream, NatsBroker
from faststream.specification import AsyncAPI

from contracts.actions import ActionContract
from contracts.facts import Fact, FactKind
from contracts.subjects import Subjects
from events.bus import Bus, make_broker
from events.names import Names
from events.settings import BusSettings

_STARTED_S = 10.0

type FastStreamApp = FastStream
type Running = Callable[[Bus], AbstractAsyncContextManager[None]]


def make_app(
    contracts: Sequence[ActionContract], settings: BusSettings, title: str, running: Running
) -> FastStream:
    """An application that keeps `running` open between its start and its stop."""
    broker = make_broker(settings)
    stack = AsyncExitStack()
    app = FastStream(broker, specification=_specification(contracts, settings, title))

    started = asyncio.Event()

    @app.after_startup
    async def start() -> None:
        try:
            bus = await Bus.connect(settings, broker)
            stack.push_async_callback(bus.close)
            await stack.enter_async_context(running(bus))
        finally:
            started.set()

    @app.on_shutdown
    async def stop() -> None:
        # FastStream stops what is still starting: half a service cannot be closed, and its process would hang.
        with suppress(TimeoutError):
            async with asyncio.timeout(_STARTED_S):
                await started.wait()
        await stack.aclose()

    return app


def asyncapi(contracts: Sequence[ActionContract], settings: BusSettings, title: str) -> dict[str, Any]:
    """The AsyncAPI 3.0 document of these actions, as FastStream writes it."""
    document = _specification(contracts, settings, title)
    return dict(json.loads(document.to_specification().to_json()))


def _specification(contracts: Sequence[ActionContract], settings: BusSettings, title: str) -> AsyncAPI:
    # A broker of its own, because the descriptions must not be started with the application's broker.
    broker = NatsBroker(settings.url)
    for contract in contracts:
        _describe(broker, contract, Names(settings.namespace), Subjects(settings.namespace))
    return AsyncAPI(broker, title=title, version="1", description="A participant of choreographed sagas.")


def _describe(broker: NatsBroker, contract: ActionContract, names: Names, subjects: Subjects) -> None:
    """What a participant hears (facts of other steps, the abort) and what it states, in any saga."""
    hears = broker.subscriber(
        f"{subjects.root}.*.*.*.completed.*",
        stream=JStream(names.facts(0), declare=False),
        durable=names.consumer(contract.name),
        pull_sub=True,
        ack_policy=AckPolicy.MANUAL,
        title=f"{contract.name}:hears",
        description=f"Facts that make {contract.name} due in the sagas that use it, and their aborts.",
    )

    async def hear(fact: Fact) -> None:
        raise AssertionError("a description is never started")

    hears(hear)
    for kind, schema in ((FactKind.COMPLETED, contract.output), (FactKind.STARTED, contract.input)):
        if kind is FactKind.STARTED and not contract.compensable:
            continue
        broker.publisher(
            f"{subjects.root}.*.*.{contract.name.partition('.')[2]}.{kind}.*",
            title=f"{contract.name}:{kind}",
            description=contract.description or f"{contract.name} states {kind}; the data holds this schema.",
            schema=schema,
        )
    for event in contract.emits:
        broker.publisher(
            f"{subjects.events_root}.{event.event_name}.*",
            title=f"{contract.name}:{event.event_name}",
            description=inspect.getdoc(event) or f"{contract.name} emits {event.event_name}.",
            schema=event,
        )
