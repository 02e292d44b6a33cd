"""The long-running commands: everything in one process, one domain, the log, a sandbox; and the bus by hand."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from contracts.actions import DOMAINS
from contracts.events import EventMessage
from contracts.facts import Fact, data_model, explain
from contracts.failure import InvalidContract, NotFound
from contracts.ids import new_saga_id
from events.announce import announce
from events.bus import Bus
from events.clock import utc_now
from events.definitions import Definitions
from events.embedded import server
from events.publish import Fence
from events.read import StreamMessage, last_sequence
from events.read import follow as follow_facts
from events.servers import without_secrets
from events.settings import BusSettings
from events.streams import declare
from saga.api.app import create_app, open_parts, routed
from saga.api.parts import Parts
from saga.api.server import serve_api
from saga.cli.output import say
from saga.client import SagaClient
from saga.domains import domain_actions, domain_api, domain_definitions, known_domain
from saga.service import ServiceSettings, serve, settle
from saga.topology import consumers_for
from saga.triggers.runner import TriggerRunner
from saga.workflows.catalogue import Catalogue

OPERATOR_URL = "SAGA_OPERATOR_URL"
NATS_URL = "NATS_URL"
_STEP_BACK = 19


def log_url(settings: ServiceSettings) -> str:
    """Where the saga log is kept: `SAGA_LOG_DATABASE_URL`, else a SQLite file below the data folder."""
    return os.environ.get("SAGA_LOG_DATABASE_URL") or settings.url_of("saga-log")


@dataclass(frozen=True, slots=True)
class System:
    """A running system: its parts, and where its API and its sandbox are."""

    parts: Parts
    api_url: str
    sandbox_url: str
    settings: ServiceSettings


@dataclass(frozen=True, slots=True)
class Outside:
    """What a demo has around the system: settings that lead there, and whatever it wants to ask afterwards."""

    environment: Mapping[str, str]
    world: Any = None


@asynccontextmanager
async def running(
    domains: Sequence[str],
    data: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    environment: Mapping[str, str],
) -> AsyncIterator[System]:
    """Server, participants of the domains, saga log, API and sandboxes, in this process."""
    settings = ServiceSettings(data=data)
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(server(environment, data / "nats"))
        sandbox_url = environment.get(OPERATOR_URL) or str(await stack.enter_async_context(_sandbox(data)))
        bus = await stack.enter_async_context(await Bus.connect(BusSettings(url=url)))
        await declare(bus)
        definitions = await stack.enter_async_context(Definitions.open(bus))
        shipped = [definition for domain in domains for definition in domain_definitions(domain)]
        await definitions.publish_all(shipped, consumers_for)
        parts = await stack.enter_async_context(open_parts(bus, definitions, log_url(settings), environment))
        await stack.enter_async_context(TriggerRunner(bus, parts.catalogue))
        actions = [action for domain in domains for action in domain_actions(domain)]
        told = {**environment, OPERATOR_URL: sandbox_url, NATS_URL: url}
        await stack.enter_async_context(serve(actions, bus, definitions, settings, environment=told))
        routers = await _routers(stack, domains, settings, told)
        api_url = await stack.enter_async_context(serve_api(create_app(parts, routers), host, port))
        settle()
        yield System(parts, api_url, sandbox_url, settings)


async def _routers(
    stack: AsyncExitStack, domains: Sequence[str], settings: ServiceSettings, environment: Mapping[str, str]
) -> list[Any]:
    """What these domains answer over HTTP themselves."""
    opened = [open_api for domain in domains if (open_api := domain_api(domain))]
    found = [await stack.enter_async_context(open_api(settings, environment)) for open_api in opened]
    return [router for routers in found for router in routers]


def _sandbox(data: Path, host: str = "127.0.0.1", port: int = 0) -> AbstractAsyncContextManager[str]:
    # By name at run time: this package may not depend on a service.
    module = import_module("services.sandboxes.mobile_money")
    serving: AbstractAsyncContextManager[str] = module.serve_sandbox(
        data / "mobile-money.db", host=host, port=port
    )
    return serving


async def up(domains: Sequence[str], host: str, port: int, data: Path) -> None:
    """Run everything until stopped."""
    wanted = [known_domain(domain) for domain in domains] or list(DOMAINS)
    async with running(wanted, data, host=host, port=port, environment=os.environ) as system:
        say(f"API        {system.api_url}/api/v1   (saga list --api {system.api_url})")
        say(f"bus        {without_secrets(system.parts.bus.settings.url)}")
        say(f"sandbox    {system.sandbox_url}")
        say(f"domains    {', '.join(wanted)}   data in {data}")
        say("stop with Ctrl-C")
        await asyncio.Event().wait()


async def serve_domain(domain: str, host: str, port: int | None) -> None:
    """A domain's participants, and with a port what it answers over HTTP itself, until stopped.

    Raises InvalidContract if there is a port, and the domain answers nothing.
    """
    actions, settings = domain_actions(domain), ServiceSettings()
    if port is not None and domain_api(domain) is None:
        raise InvalidContract(f"{domain} answers nothing over HTTP: leave --port out")
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(await Bus.connect(BusSettings()))
        await declare(bus)
        definitions = await stack.enter_async_context(Definitions.open(bus))
        await definitions.publish_all(domain_definitions(domain), consumers_for)
        await stack.enter_async_context(serve(actions, bus, definitions, settings))
        if port is not None:
            routers = await _routers(stack, [domain], settings, os.environ)
            url = await stack.enter_async_context(serve_api(routed(domain, routers), host, port))
            say(f"API        {url}/api/v1")
        settle()
        say(f"{domain}: {len(actions)} participants on {without_secrets(bus.settings.url)}")
        await asyncio.Event().wait()


async def serve_log(host: str, port: int) -> None:
    """The saga log and its API, until stopped."""
    # Nothing waits for the log, so on a busy machine it steps back and catches up later.
    os.nice(_STEP_BACK)
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(await Bus.connect(BusSettings()))
        await declare(bus)
        definitions = await stack.enter_async_context(Definitions.open(bus))
        parts = await stack.enter_async_context(open_parts(bus, definitions, log_url(ServiceSettings())))
        url = await stack.enter_async_context(serve_api(create_app(parts), host, port))
        settle()
        say(f"saga log on {url}, bus {without_secrets(bus.settings.url)}")
        await asyncio.Event().wait()


async def serve_triggers() -> None:
    """What listens and keeps the time for triggers, until stopped; any number of processes may."""
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(await Bus.connect(BusSettings()))
        await declare(bus)
        definitions = await stack.enter_async_context(Definitions.open(bus))
        client = SagaClient(bus, definitions)
        catalogue = await stack.enter_async_context(Catalogue.open(bus, definitions, client))
        await stack.enter_async_context(TriggerRunner(bus, catalogue))
        settle()
        say(f"triggers on {without_secrets(bus.settings.url)}")
        await asyncio.Event().wait()


async def serve_sandbox_until_stopped(name: str, host: str, port: int, data: Path) -> None:
    """A sandbox, until stopped. Raises NotFound."""
    if name != "mobile-money":
        raise NotFound(f"no sandbox {name!r}: there is mobile-money")
    async with _sandbox(data, host, port) as url:
        say(f"{name} sandbox on {url}")
        await asyncio.Event().wait()


async def tail(partition: int | None, after: int, *, follow: bool) -> None:
    """Write the messages of a partition (None: of all) as JSON lines; without `follow`, those there are now.

    Raises InvalidContract if there is no such partition, or if `after` does not say of which one it is.
    """
    settings = BusSettings()
    if partition is not None and not 0 <= partition < settings.partitions:
        raise InvalidContract(f"no partition {partition}: there are {settings.partitions}, from 0")
    if after and partition is None and settings.partitions > 1:
        raise InvalidContract("a sequence belongs to one partition: give --partition with --after")
    wanted = range(settings.partitions) if partition is None else [partition]
    async with await Bus.connect(settings) as bus:
        await asyncio.gather(*(_tail(bus, one, after, follow=follow) for one in wanted))


async def _tail(bus: Bus, partition: int, after: int, *, follow: bool) -> None:
    newest = await last_sequence(bus, partition)
    if not follow and newest <= after:
        return
    async with aclosing(follow_facts(bus, partition, after)) as batches:
        async for batch in batches:
            for message in batch:
                print(json.dumps({"partition": partition, **_shown(message)}))
            sys.stdout.flush()
            if not follow and batch[-1].sequence >= newest:
                return


def _shown(message: StreamMessage) -> dict[str, Any]:
    try:
        fact = json.loads(message.payload)
    except ValueError:
        fact = {"undecodable": message.payload.decode(errors="replace")}
    return {"sequence": message.sequence, "subject": message.subject, "fact": fact}


async def emit(event: str, key: str, data: dict[str, Any], event_id: str | None) -> None:
    """Tell an event, and write its id. Raises InvalidContract if it cannot be one."""
    try:
        message = EventMessage(
            id=event_id or new_saga_id(), source="/cli", type=event, subject=key, time=utc_now(), data=data
        )
    except ValidationError as error:
        raise InvalidContract(f"event {event}: {explain(error)}") from error
    async with await Bus.connect(BusSettings()) as bus:
        await declare(bus)
        new = await announce(bus, message)
    print(message.id)
    if not new:
        say(f"an event of the id {message.id} was told a short time ago: this one was not")


async def publish(file: str, definition: str | None) -> None:
    """State the facts of a JSON-lines file. Raises InvalidContract, naming the line, before any later line."""
    lines = sys.stdin.read().splitlines() if file == "-" else _lines(file)
    async with await Bus.connect(BusSettings()) as bus:
        await declare(bus)
        async with Definitions.open(bus) as definitions:
            client = SagaClient(bus, definitions)
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                try:
                    print(await _publish_line(bus, client, line, definition))
                except InvalidContract as error:
                    raise InvalidContract(f"line {number}: {error}") from error


def _lines(file: str) -> list[str]:
    try:
        return Path(file).read_text().splitlines()
    except OSError as error:
        raise NotFound(f"{file}: {error.strerror}") from error


async def _publish_line(bus: Bus, client: SagaClient, line: str, definition: str | None) -> str:
    if definition is not None:
        try:
            data = json.loads(line)
        except ValueError as error:
            raise InvalidContract(f"no JSON: {error}") from error
        if not isinstance(data, dict):
            raise InvalidContract("an input must be a JSON object")
        return (await client.start(definition, data)).saga_id
    fact = Fact.decode(line.encode())
    data_model(*fact.key).model_validate(fact.data)
    subject = bus.subjects.checked_fact(fact.saga, *fact.key, fact.sagaid)
    stored = await bus.publisher.state(subject, fact, Fence(subject))
    return f"{fact.id} {stored.sequence}"
