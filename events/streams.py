"""The topology (`events.declared`) applied by one idempotent step that says what it changed. Services only bind."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from datetime import datetime
from itertools import batched
from typing import Any

from nats.js import api
from nats.js.errors import KeyWrongLastSequenceError, NotFoundError
from nats.js.kv import KeyValue

from contracts.failure import Conflict
from events.bus import Bus
from events.declared import LOCK_TTL_S, buckets_of, given_up, streams_of
from events.names import SCHEDULER, TIMEKEEPER, UNDERTAKER
from events.together import together

_LOCK_POLL_S = 0.05
_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that applying the topology did: `created` or `updated`, and what."""

    verb: str
    what: str


async def declare(bus: Bus) -> list[Change]:
    """Create or update all streams and buckets; the answer is empty if everything was as declared."""
    streams = await together(*(_apply_stream(bus, config) for config in streams_of(bus)))
    consumers = (
        (bus.names.timers, TIMEKEEPER, frozenset({f"{bus.names.timer_root}.due.>"})),
        (bus.names.schedules, SCHEDULER, frozenset({bus.names.schedule_due("*")})),
        (bus.names.advisories, UNDERTAKER, frozenset(given_up(bus))),
    )
    applied = await _apply_all(bus, consumers)
    buckets = await together(*(_create_bucket(bus, config) for config in buckets_of(bus)))
    return [change for change in (*streams, *applied, *buckets) if change]


async def first_made(bus: Bus) -> datetime | None:
    """When the first stream of facts was made, which tells it from one of the same name; None if there is none."""
    try:
        return (await bus.jetstream.stream_info(bus.names.facts(0))).created
    except NotFoundError:
        return None


async def _apply_stream(bus: Bus, wanted: api.StreamConfig) -> Change | None:
    try:
        present = (await bus.jetstream.stream_info(wanted.name or "")).config
    except NotFoundError:
        await bus.jetstream.add_stream(wanted)
        return Change("created", f"stream {wanted.name}")
    if not _differs(wanted, present):
        return None
    await bus.jetstream.update_stream(wanted)
    return Change("updated", f"stream {wanted.name}")


async def _create_bucket(bus: Bus, config: api.KeyValueConfig) -> Change | None:
    try:
        await bus.jetstream.key_value(config.bucket)
        return None
    except NotFoundError:
        await bus.jetstream.create_key_value(config)
        return Change("created", f"bucket {config.bucket}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerSpec:
    """The durable consumer of one action in one partition: what it listens to."""

    action: str
    partition: int
    filters: frozenset[str]


type _Wanted = tuple[str, str, frozenset[str]]
"""Of a consumer: its stream, its name, what it listens to"""


async def apply_consumers(bus: Bus, specs: Iterable[ConsumerSpec]) -> list[Change]:
    """Create the consumers, or widen the filters of those there are. Call it under `topology_lock`.

    A filter is never taken away here: sagas in flight may still need it.
    """
    return await _apply_all(bus, _of_actions(bus, specs))


async def apply_redrives(bus: Bus, consumers: Iterable[str]) -> list[Change]:
    """Create the consumers by which these consumers take back what they have buried."""
    return await _apply_all(bus, _of_redrives(bus, consumers))


async def consumers_stand(bus: Bus, specs: Iterable[ConsumerSpec], redrives: Iterable[str] = ()) -> bool:
    """Whether applying these consumers would change nothing. It only reads, so it needs no lock."""
    for some in batched([*_of_actions(bus, specs), *_of_redrives(bus, redrives)], _AT_ONCE):
        if any(await together(*(_consumer_change(bus, *one) for one in some))):
            return False
    return True


def _of_actions(bus: Bus, specs: Iterable[ConsumerSpec]) -> list[_Wanted]:
    return [
        (bus.names.facts(spec.partition), bus.names.consumer(spec.action), spec.filters) for spec in specs
    ]


def _of_redrives(bus: Bus, consumers: Iterable[str]) -> list[_Wanted]:
    return [(bus.names.dead_letters, name, frozenset({bus.names.ruling(name, "*")})) for name in consumers]


async def _apply_all(bus: Bus, wanted: Iterable[_Wanted]) -> list[Change]:
    changes: list[Change | None] = []
    for some in batched(wanted, _AT_ONCE):
        changes += await together(*(_apply_consumer(bus, *one) for one in some))
    return [change for change in changes if change]


async def _apply_consumer(bus: Bus, stream: str, name: str, filters: frozenset[str]) -> Change | None:
    change = await _consumer_change(bus, stream, name, filters)
    if change is None:
        return None
    verb, wanted = change
    await bus.jetstream.add_consumer(stream, wanted)
    return Change(verb, f"consumer {name} on {stream}")


async def _consumer_change(
    bus: Bus, stream: str, name: str, filters: frozenset[str]
) -> tuple[str, api.ConsumerConfig] | None:
    try:
        present = (await bus.jetstream.consumer_info(stream, name)).config
    except NotFoundError:
        return "created", _consumer(bus, name, filters)
    heard = frozenset(present.filter_subjects or ([present.filter_subject] if present.filter_subject else []))
    wanted = _consumer(bus, name, heard | filters)
    if not filters - heard and not _differs(wanted, present, but=("filter_subjects", "filter_subject")):
        return None
    return "updated", wanted


def _consumer(bus: Bus, name: str, filters: frozenset[str]) -> api.ConsumerConfig:
    return api.ConsumerConfig(
        name=name,
        durable_name=name,
        filter_subjects=sorted(filters),
        ack_policy=api.AckPolicy.EXPLICIT,
        ack_wait=bus.settings.ack_wait_s,
        # A retry is a delivery: the policy of the step counts attempts, not the server.
        max_deliver=-1,
        max_ack_pending=20_000,
        max_waiting=512,
    )


def _differs(wanted: Any, present: Any, but: tuple[str, ...] = ()) -> bool:
    return any(
        (value := getattr(wanted, field.name)) is not None
        and field.name not in but
        and value != getattr(present, field.name)
        for field in fields(wanted)
    )


@asynccontextmanager
async def topology_lock(bus: Bus) -> AsyncIterator[None]:
    """One changer of the topology at a time. The lock of a changer that died is free after 30 s.

    Raises Conflict if it is not free within twice that time.
    """
    bucket = await bus.jetstream.key_value(bus.names.locks)
    revision = await _acquire(bucket)
    try:
        yield
    finally:
        await bucket.delete("topology", last=revision)


async def _acquire(bucket: KeyValue) -> int:
    for _ in range(int(2 * LOCK_TTL_S / _LOCK_POLL_S)):
        try:
            return await bucket.create("topology", b"held")
        except KeyWrongLastSequenceError:
            await asyncio.sleep(_LOCK_POLL_S)
    raise Conflict(f"another process has held the topology lock for {2 * LOCK_TTL_S} s")
