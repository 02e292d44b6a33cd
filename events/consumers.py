"""How the durable consumers of facts stand: what waits for them, and whether anybody asks."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

from events.bus import Bus
from events.read import answered

_PAGE = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerState:
    """One action's consumer in one partition.

    `waiting`: facts not delivered yet; `in_hand`: delivered, not answered; `redelivered`: of those, not for the
    first time; `asking`: standing requests of processes that would take some; `last_delivery` is the server's time.
    """

    name: str
    partition: int
    waiting: int
    in_hand: int
    redelivered: int
    asking: int
    last_delivery: datetime | None


async def consumer_states(bus: Bus) -> AsyncIterator[ConsumerState]:
    """The consumers of facts of all partitions, as the server has them now. Raises ReadFailed."""
    for partition in range(bus.settings.partitions):
        stream, offset, full = bus.names.facts(partition), 0, True
        while full:
            with answered(stream):
                found = await bus.jetstream.consumers_info(stream, offset)
            for info in found:
                # One without a durable name reads along, as the log does.
                if info.config.durable_name:
                    yield ConsumerState(
                        name=info.name,
                        partition=partition,
                        waiting=info.num_pending or 0,
                        in_hand=info.num_ack_pending or 0,
                        redelivered=info.num_redelivered or 0,
                        asking=info.num_waiting or 0,
                        last_delivery=info.delivered.last_active if info.delivered else None,
                    )
            offset, full = offset + len(found), len(found) == _PAGE
