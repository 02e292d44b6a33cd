"""The ground of a fault run: nats-server, one process per payment step, the saga log, the operators.

All of them are processes of their own, as in production; this process only starts sagas and looks. Whatever
dies is started again at once, as a supervisor would. Facts and effects are synced to disk.
"""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType

import httpx2
from nats.errors import Error as NatsError

from events.bus import Bus
from events.definitions import Definitions
from events.embedded import EmbeddedServer, find_binary
from events.settings import BusSettings
from events.streams import declare
from saga.domains import domain_definitions
from saga.service import ServiceSettings
from saga.topology import consumers_for
from services.payments import STEP_MODULES
from tests.faults.cluster import NODES, Cluster
from tests.faults.service import Service
from tests.faults.zygote import Zygote

STEPS = tuple(module.rpartition(".")[2] for module in STEP_MODULES)
ACK_WAIT_S = 2.0
_STEP = "tests.faults.entries:step"
_SAGA = "tests.faults.entries:saga"
_PROXY = "tests.faults.proxy:main"
_POLL_S = 0.02
_TOPOLOGY_S = 60.0


@dataclass(slots=True)
class Ground:
    """What there is to be broken, and the driver's own connection, which nothing breaks but the server's end."""

    folder: Path
    server: EmbeddedServer | None
    zygote: Zygote
    bus: Bus
    definitions: Definitions
    settings: ServiceSettings
    operator_url: str
    environment: dict[str, str]
    cluster: Cluster | None = None
    services: dict[str, Service] = field(default_factory=dict)

    @property
    def participants(self) -> list[Service]:
        return [service for service in self.services.values() if service.entry not in (_SAGA, _PROXY)]

    @property
    def log(self) -> Service:
        return self.services["log"]

    def keep(
        self,
        name: str,
        *argv: str,
        entry: str = _SAGA,
        replica: int = 0,
        once: Mapping[str, str] = MappingProxyType({}),
    ) -> Service:
        """Start a service and keep it alive."""
        title = f"{name}-{replica}" if replica else name
        service = Service(
            title,
            entry,
            argv or (name,),
            dict(self.environment),
            self.folder / f"{title}.out",
            dict(once),
        )
        self.services[title] = service
        service.keeper = asyncio.create_task(service.keep(self.zygote), name=f"keeper of {title}")
        return service

    def keep_log(self) -> Service:
        return self.keep("log", "serve", "log", "--port", "0")

    async def keep_proxy(self, drop: Mapping[str, float], seed: int) -> str:
        """The URL of a proxy that loses these shares of messages."""
        port = _free_port()
        shares = [f"{name}={share}" for name, share in drop.items()]
        server = self.environment["NATS_URL"].removeprefix("nats://")
        arguments = (str(port), server, str(seed), str(self._told), *shares)
        self.keep("proxy", *arguments, entry=_PROXY)
        await _listening(port)
        return f"nats://127.0.0.1:{port}"

    async def dropped(self) -> dict[str, int]:
        """How many messages the proxy has lost, by kind."""
        if not self._told.exists():
            return {}
        return {f"{kind} dropped": count for kind, count in json.loads(self._told.read_text()).items()}

    @property
    def _told(self) -> Path:
        return self.folder / "dropped.json"

    async def end(self, service: Service, *, title: str = "") -> None:
        """Stop keeping it."""
        await service.end()
        self.services.pop(title or service.name, None)

    async def statement(self) -> list[dict[str, object]]:
        """What the operators have paid and taken back."""
        async with httpx2.AsyncClient(base_url=self.operator_url, timeout=30, trust_env=False) as client:
            found: list[dict[str, object]] = (await client.get("/statement")).json()
            return found


@asynccontextmanager
async def standing(
    folder: Path,
    zygote: Zygote,
    *,
    cluster: Cluster | None = None,
    replicas: int = 1,
    entry: str = _STEP,
    with_log: bool = True,
    drop: Mapping[str, float] = MappingProxyType({}),
    seed: int = 0,
    ack_wait_s: float = ACK_WAIT_S,
) -> AsyncIterator[Ground]:
    """The ground, until the end of the block, on one server or on a cluster. `replicas`: processes per step."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = ServiceSettings(data=folder / "data")
    async with AsyncExitStack() as stack:
        server = None
        if cluster is None:
            server = EmbeddedServer(find_binary(os.environ), folder / "nats", sync_interval="always")
            await stack.enter_async_context(server)
        url, copies = (cluster.url, NODES) if cluster else (server.url if server else "", 1)
        told = BusSettings(url=url, ack_wait_s=ack_wait_s, publish_timeout_s=2.0, replicas=copies)
        bus = await stack.enter_async_context(await Bus.connect(told))
        await _patiently(lambda: declare(bus))
        definitions = await stack.enter_async_context(Definitions.open(bus))
        for definition in domain_definitions("payments"):
            await _patiently(partial(definitions.publish, definition, consumers_for))
        port = _free_port()
        ground = Ground(
            folder, server, zygote, bus, definitions, settings, f"http://127.0.0.1:{port}",
            _environment(told, settings, port), cluster,
        )  # fmt: skip
        stack.push_async_callback(_end_all, ground)
        ground.keep("operators", "sandbox", "mobile-money", "--port", str(port), "--data", str(settings.data))
        await _answering(ground.operator_url)
        if with_log:
            ground.keep_log()
        if drop:
            ground.environment["NATS_URL"] = await ground.keep_proxy(drop, seed)
        for step in STEPS:
            for replica in range(replicas):
                ground.keep(step, entry=entry, replica=replica)
        yield ground


async def _patiently(apply: Callable[[], Awaitable[object]]) -> None:
    """Apply a topology, again while a cluster that has just begun is still choosing its leaders."""
    async with asyncio.timeout(_TOPOLOGY_S):
        while True:
            try:
                await apply()
                return
            except (NatsError, TimeoutError):
                await asyncio.sleep(_POLL_S)


def _environment(bus: BusSettings, settings: ServiceSettings, port: int) -> dict[str, str]:
    return {
        "NATS_URL": bus.url,
        "SAGA_BUS_ACK_WAIT_S": str(bus.ack_wait_s),
        "SAGA_BUS_PUBLISH_TIMEOUT_S": "1",
        "SAGA_BUS_REPLICAS": str(bus.replicas),
        # An open breaker asks again soon, so that a run is as long as its outages and not as its waits.
        "SAGA_BREAKER_RESET_TIMEOUT_S": "0.5",
        "SAGA_DATA": str(settings.data),
        "SAGA_OPERATOR_URL": f"http://127.0.0.1:{port}",
        "SAGA_LOG_LEVEL": os.environ.get("SAGA_LOG_LEVEL", "WARNING"),
    }


async def _end_all(ground: Ground) -> None:
    await asyncio.gather(*(service.end() for service in list(ground.services.values())))


def _free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


async def _listening(port: int) -> None:
    """Wait until another process listens on a port."""
    async with asyncio.timeout(30):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(_POLL_S)
                continue
            writer.close()
            return


async def _answering(url: str) -> None:
    """Wait until an HTTP server of another process answers."""
    async with httpx2.AsyncClient(base_url=url, trust_env=False) as client, asyncio.timeout(30):
        while True:
            try:
                await client.get("/statement")
                return
            except httpx2.HTTPError:
                await asyncio.sleep(_POLL_S)
