"""A cluster of three: streams in three copies, the stream's leader killed again and again, a node cut off.

The nodes listen on loopback. For a partition one of them lives in a network namespace of its own, behind a
link that can be taken down; that needs Linux, `ip` and the right to use it, and is skipped elsewhere.
"""

import asyncio
import json
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from nats.errors import Error as NatsError

from contracts.failure import Unusable
from events.bus import Bus
from events.embedded import check_server, find_binary
from tests.faults.service import Service
from tests.faults.zygote import Zygote

NODES = 3
_SERVER = "tests.faults.entries:server"
_POLL_S = 0.1
_READY_S = 40.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node is: its addresses, and the network namespace it lives in."""

    name: str
    host: str
    client_port: int
    route_port: int
    namespace: str = ""

    @property
    def url(self) -> str:
        return f"nats://{self.host}:{self.client_port}"


@dataclass(slots=True)
class Cluster:
    """Three nodes that live."""

    places: tuple[Place, ...]
    nodes: dict[str, Service] = field(default_factory=dict)
    link: "Link | None" = None

    @property
    def url(self) -> str:
        return ",".join(place.url for place in self.places)

    @property
    def far(self) -> str:
        """The node behind the link."""
        return self.places[-1].name

    async def leader(self, bus: Bus) -> str | None:
        """The node that leads the stream of facts; None while there is none, or nobody says so."""
        with suppress(NatsError, TimeoutError):
            info = await bus.jetstream.stream_info(bus.names.facts(0))
            return info.cluster.leader if info.cluster else None
        return None

    def kill(self, node: str) -> bool:
        return self.nodes[node].signal(signal.SIGKILL)


@asynccontextmanager
async def clustered(folder: Path, zygote: Zygote, *, link: "Link | None" = None) -> AsyncIterator[Cluster]:
    """A cluster that answers, until the end of the block. With a link, one node is behind it."""
    places = _places(link)
    cluster = Cluster(places, link=link)
    async with AsyncExitStack() as stack:
        for place in places:
            home = folder / place.name
            home.mkdir(parents=True)
            (home / "server.conf").write_text(_config(place, places, home))
            arguments = (str(find_binary(os.environ)), str(home / "server.conf"), place.namespace)
            node = Service(place.name, _SERVER, arguments, {}, home / "server.out")
            cluster.nodes[place.name] = node
            node.keeper = asyncio.create_task(node.keep(zygote), name=place.name)
            stack.push_async_callback(node.end)
        await _answering(cluster)
        yield cluster


def _places(link: "Link | None") -> tuple[Place, ...]:
    near = link.near if link else "127.0.0.1"
    places = [Place(f"n{number}", near, _free_port(near), _free_port(near)) for number in (1, 2)]
    if link is None:
        return (*places, Place("n3", near, _free_port(near), _free_port(near)))
    return (*places, Place("n3", link.far, 4222, 6222, link.namespace))


def _config(place: Place, places: Sequence[Place], home: Path) -> str:
    routes = ", ".join(json.dumps(f"nats://{other.host}:{other.route_port}") for other in places)
    return "\n".join(
        [
            f"server_name: {place.name}",
            f'listen: "{place.host}:{place.client_port}"',
            f"log_file: {json.dumps(str(home / 'server.log'))}",
            f"jetstream {{ store_dir: {json.dumps(str(home / 'jetstream'))}, sync_interval: always }}",
            f'cluster {{ name: faults, listen: "{place.host}:{place.route_port}", routes: [{routes}] }}',
            "",
        ]
    )


async def _answering(cluster: Cluster) -> None:
    """Wait until every node has JetStream, so that streams of three copies have three places."""
    async with asyncio.timeout(_READY_S):
        for place in cluster.places:
            while True:
                try:
                    await check_server(place.url)
                    break
                except Unusable:
                    await asyncio.sleep(_POLL_S)


def _free_port(host: str) -> int:
    with socket.socket() as bound:
        bound.bind((host, 0))
        return int(bound.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Link:
    """A network namespace behind a pair of virtual interfaces."""

    namespace: str
    near: str
    far: str

    async def cut(self) -> None:
        """Nothing gets through, and nobody is told."""
        await _ip("-n", self.namespace, "link", "set", _inner(self.namespace), "down")

    async def mend(self) -> None:
        await _ip("-n", self.namespace, "link", "set", _inner(self.namespace), "up")


class NoNetwork(Exception):
    """This machine cannot be partitioned; the message says why."""


@asynccontextmanager
async def linked() -> AsyncIterator[Link]:
    """A link to a namespace of its own. Raises NoNetwork where that cannot be had."""
    if shutil.which("ip") is None:
        raise NoNetwork("there is no command ip")
    number = os.getpid() % 250
    link = Link(f"saga{os.getpid()}", f"10.213.{number}.1", f"10.213.{number}.2")
    outer, inner = _outer(link.namespace), _inner(link.namespace)
    async with AsyncExitStack() as stack:
        await _ip("netns", "add", link.namespace)
        stack.push_async_callback(_ip, "netns", "delete", link.namespace)
        await _ip("link", "add", outer, "type", "veth", "peer", "name", inner, "netns", link.namespace)
        await _ip("address", "add", f"{link.near}/30", "dev", outer)
        await _ip("link", "set", outer, "up")
        await _ip("-n", link.namespace, "address", "add", f"{link.far}/30", "dev", inner)
        for device in ("lo", inner):
            await _ip("-n", link.namespace, "link", "set", device, "up")
        yield link


def _outer(namespace: str) -> str:
    return f"{namespace[:12]}-a"


def _inner(namespace: str) -> str:
    return f"{namespace[:12]}-b"


async def _ip(*arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(
        "ip", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    if process.returncode:
        raise NoNetwork(f"ip {' '.join(arguments)}: {said.decode().strip()}")
