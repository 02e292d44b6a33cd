"""The faults. Each is a task that strikes while sagas are being started, and counts what really struck.

A run heals before it demands that everything comes to rest, and it fails if its fault did not strike: a kill
that hits nobody proves nothing.
"""

import asyncio
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

import httpx2
from nats.errors import Error as NatsError

from contracts.payments import Operator
from saga.topology import consumers_for
from services.payments.customizing import customize
from tests.faults.ground import ACK_WAIT_S, Ground
from tests.faults.load import Load

_BETWEEN_LEADERS_S = 4.0
_OUTAGE_S = 0.8
_WHOLE_S = 3.0
_CUT_S = 6.0

type Strike = Callable[["Field"], Awaitable[None]]


@dataclass(slots=True)
class Field:
    """Where a fault strikes. `struck` counts, by what happened."""

    ground: Ground
    load: Load
    random: Random
    struck: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault. `floor`: the share of sagas that must complete; `demands`: what must have struck."""

    name: str
    strike: Strike
    demands: tuple[str, ...]
    floor: float = 0.5
    replicas: int = 1
    twice: bool = False
    log_at_the_end: bool = False
    proxy: Mapping[str, float] = field(default_factory=dict)
    cluster: bool = False
    linked: bool = False


async def kill_participants(field: Field) -> None:
    """kill -9 of a random participant every 200 ms."""
    while True:
        await asyncio.sleep(0.2)
        victim = field.random.choice(field.ground.participants)
        field.struck["kills"] += victim.signal(signal.SIGKILL)


async def kill_log(field: Field) -> None:
    """kill -9 of the saga log, about every 0.7 s."""
    while True:
        await asyncio.sleep(0.2 + field.random.random())
        field.struck["log kills"] += field.ground.log.signal(signal.SIGKILL)


async def kill_server(field: Field) -> None:
    """kill -9 of nats-server every few seconds, and a restart on the same store."""
    await asyncio.sleep(0.5)
    while True:
        await asyncio.shield(_kill_and_start(field))
        await asyncio.sleep(2 + 3 * field.random.random())


async def _kill_and_start(field: Field) -> None:
    server = field.ground.server
    assert server is not None
    await server.kill()
    field.struck["server kills"] += 1
    await server.start()


async def nothing(field: Field) -> None:
    """The proxy does it all, or there is nothing to do."""
    await asyncio.Event().wait()


async def restart_participants(field: Field) -> None:
    """Stop a participant in good order every half second, so that its consumers are taken up anew."""
    while True:
        await asyncio.sleep(0.5)
        victim = field.random.choice(field.ground.participants)
        field.struck["restarts"] += victim.signal(signal.SIGTERM)


async def pause_participants(field: Field) -> None:
    """SIGSTOP of one replica of some steps for longer than `ack_wait`; some of its sagas are cancelled meanwhile,
    and undone by the other replica before it wakes."""
    steps = ("create_payment", "check_liquidity", "lock_exchange_rate", "settle_payment")
    while True:
        await asyncio.sleep(0.3)
        paused = [field.ground.services[step] for step in steps if field.random.random() < 0.6]
        paused = [service for service in paused if service.signal(signal.SIGSTOP)]
        field.struck["pauses"] += len(paused)
        try:
            await _cancel_some(field)
            await asyncio.sleep(ACK_WAIT_S * 1.7)
        finally:
            for service in paused:
                service.signal(signal.SIGCONT)


async def _cancel_some(field: Field) -> None:
    under_way = [saga_id for saga_id, saga in field.load.auditor.sagas.items() if not saga.at_rest]
    for saga_id in field.random.sample(under_way, min(8, len(under_way))):
        field.struck["cancelled"] += await field.load.cancel(saga_id)


async def operator_outage(field: Field) -> None:
    """All operators but one are out of service, again and again."""
    url, bus = field.ground.operator_url, field.ground.bus
    async with httpx2.AsyncClient(base_url=url, timeout=30, trust_env=False) as client:
        while True:
            await asyncio.sleep(1 + field.random.random())
            with suppress(NatsError):
                moves = await bus.jetstream.stream_info(bus.names.breaker_events)
                field.struck["moves of breakers"] = moves.state.messages
            spared = field.random.choice(list(Operator))
            for operator in Operator:
                if operator is not spared:
                    await client.put(f"/admin/{operator}", json={"outage_s": _OUTAGE_S})
                    field.struck["outages"] += 1


async def publish_definitions(field: Field) -> None:
    """New versions of the sagas that are running, with another order of steps."""
    version = 1
    while True:
        await asyncio.sleep(1)
        field.struck["sagas of new versions"] = sum(
            not saga.definition.endswith("@1") for saga in field.load.auditor.sagas.values()
        )
        version += 1
        for base in ("standard", "fast-track", "high-value"):
            config = {
                "name": f"payment-{base}", "version": str(version), "base": base, "parallel": version % 2 == 0,
            }  # fmt: skip
            made = customize(config).definition
            assert made is not None
            # A busy server may not answer in time; what was not published is not counted.
            with suppress(NatsError):
                await field.ground.definitions.publish(made, consumers_for)
                field.struck["definitions"] += 1


async def kill_leader(field: Field) -> None:
    """kill -9 of the node that leads the stream of facts, again as soon as there is another."""
    cluster, last = field.ground.cluster, ""
    assert cluster is not None
    while True:
        await asyncio.sleep(_BETWEEN_LEADERS_S)
        leader = await cluster.leader(field.ground.bus)
        if leader and (leader != last or field.random.random() < 0.5) and cluster.kill(leader):
            field.struck["leader kills"] += 1
            last = leader


async def cut_off_a_node(field: Field) -> None:
    """Cut one node off from the others and from everybody, silently, and let it back."""
    cluster = field.ground.cluster
    assert cluster is not None
    assert cluster.link is not None
    while True:
        await asyncio.sleep(_WHOLE_S)
        led = await cluster.leader(field.ground.bus) == cluster.far
        await cluster.link.cut()
        try:
            field.struck["partitions"] += 1
            field.struck["of the leader"] += led
            await asyncio.sleep(_CUT_S)
        finally:
            await asyncio.shield(cluster.link.mend())


FAULTS = (
    Fault(name="participants killed", strike=kill_participants, demands=("kills",)),
    Fault(name="saga log killed", strike=kill_log, demands=("log kills",)),
    Fault(name="nats-server killed", strike=kill_server, demands=("server kills",)),
    Fault(name="puback lost", strike=nothing, demands=("pubacks dropped",), proxy={"pubacks": 0.03}),
    Fault(
        name="duplicates", strike=restart_participants, demands=("acks dropped", "restarts", "resent"),
        proxy={"acks": 0.2}, twice=True,
    ),
    Fault(
        name="zombies", strike=pause_participants, demands=("pauses", "cancelled"), replicas=2, floor=0.3
    ),
    Fault(name="operators out", strike=operator_outage, demands=("outages", "moves of breakers"), floor=0.2),
    Fault(name="definition published", strike=publish_definitions, demands=("definitions", "sagas of new versions")),
    Fault(name="log down", strike=nothing, demands=(), log_at_the_end=True),
    Fault(name="cluster leader killed", strike=kill_leader, demands=("leader kills",), cluster=True),
    Fault(
        name="cluster node cut off", strike=cut_off_a_node, demands=("partitions",), cluster=True, linked=True
    ),
)  # fmt: skip
