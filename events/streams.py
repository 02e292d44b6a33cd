"""The topology, declared as data and applied by one idempotent step that says what it changed.

Services only bind. Streams of facts refuse deletes, purges and rollups: what was stated stays stated.
"""

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

from contracts.facts import MAX_FACT_BYTES
from contracts.failure import Conflict
from contracts.offers import OFFER_TTL_S
from events.bus import Bus
from events.names import SCHEDULER, TIMEKEEPER, UNDERTAKER
from events.together import together

_DUPLICATE_WINDOW_S = 600
FIRINGS_KEPT = 1_000
"""Of every trigger's history"""
_LOCK_TTL_S = 30
_LOCK_POLL_S = 0.05
_AT_ONCE = 32
# Room for headers beside the largest fact.
_MAX_MESSAGE_BYTES = MAX_FACT_BYTES + 16 * 1024


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that applying the topology did: `created` or `updated`, and what."""

    verb: str
    what: str


async def declare(bus: Bus) -> list[Change]:
    """Create or update all streams and buckets; the answer is empty if everything was as declared."""
    wanted = [_facts(bus, partition) for partition in range(bus.settings.partitions)]
    wanted += [_dead_letters(bus), _timers(bus)]
    given_up = [bus.names.given_up(config.name or "") for config in wanted]
    wanted += [
        _advisories(bus, given_up),
        _events(bus),
        _breaker_events(bus),
        _firings(bus),
        _schedules(bus),
        _trail(bus),
    ]
    streams = await together(*(_apply_stream(bus, config) for config in wanted))
    consumers = (
        (bus.names.timers, TIMEKEEPER, frozenset({f"{bus.names.timer_root}.due.>"})),
        (bus.names.schedules, SCHEDULER, frozenset({bus.names.schedule_due("*")})),
        (bus.names.advisories, UNDERTAKER, frozenset(given_up)),
    )
    applied = await _apply_all(bus, consumers)
    buckets = await together(*(_create_bucket(bus, config) for config in _buckets(bus)))
    return [change for change in (*streams, *applied, *buckets) if change]


def _buckets(bus: Bus) -> list[api.KeyValueConfig]:
    return [
        _definitions(bus),
        _breakers(bus),
        _triggers(bus),
        _redrives(bus),
        _locks(bus),
        _offers(bus),
        _sessions(bus),
        _limits(bus),
        *_workflows(bus),
    ]


async def first_made(bus: Bus) -> datetime | None:
    """When the first stream of facts was made, which tells it from one of the same name; None if there is none."""
    try:
        return (await bus.jetstream.stream_info(bus.names.facts(0))).created
    except NotFoundError:
        return None


def _facts(bus: Bus, partition: int) -> api.StreamConfig:
    return api.StreamConfig(
        name=bus.names.facts(partition),
        subjects=[bus.subjects.partition(partition)],
        max_age=bus.settings.max_age_s,
        max_msg_size=_MAX_MESSAGE_BYTES,
        duplicate_window=_DUPLICATE_WINDOW_S,
        num_replicas=bus.settings.replicas,
        max_consumers=5000,
        allow_direct=True,
        allow_atomic=True,
        deny_delete=True,
        deny_purge=True,
    )


def _dead_letters(bus: Bus) -> api.StreamConfig:
    return api.StreamConfig(
        name=bus.names.dead_letters,
        subjects=[f"{bus.names.dead_letter_root}.>"],
        max_age=bus.settings.max_age_s,
        num_replicas=bus.settings.replicas,
        duplicate_window=_DUPLICATE_WINDOW_S,
        allow_direct=True,
    )


def _advisories(bus: Bus, subjects: list[str]) -> api.StreamConfig:
    return api.StreamConfig(
        name=bus.names.advisories,
        subjects=subjects,
        retention=api.RetentionPolicy.WORK_QUEUE,
        num_replicas=bus.settings.replicas,
        duplicate_window=_DUPLICATE_WINDOW_S,
    )


def _timers(bus: Bus) -> api.StreamConfig:
    return api.StreamConfig(
        name=bus.names.timers,
        subjects=[f"{bus.names.timer_root}.at.>", f"{bus.names.timer_root}.due.>"],
        # Neither age nor number may end a timer.
        num_replicas=bus.settings.replicas,
        duplicate_window=_DUPLICATE_WINDOW_S,
        allow_direct=True,
        allow_msg_schedules=True,
        # Comes with the schedules: a timer replaces the one before it.
        allow_rollup_hdrs=True,
    )


def _events(bus: Bus) -> api.StreamConfig:
    return api.StreamConfig(
        name=bus.names.events,
        subjects=[f"{bus.subjects.events_root}.*.*.*", f"{bus.names.outbox_root}.*"],
        max_age=bus.settings.max_age_s,
        max_msg_size=_MAX_MESSAGE_BYTES,
        duplicate_window=_DUPLICATE_WINDOW_S,
        num_replicas=bus.settings.replicas,
        allow_direct=True,
        # Events and the outbox's marker are stored together or not at all.
        allow_atomic=True,
        deny_delete=True,
        deny_purge=True,
    )


def _breaker_events(bus: Bus) -> api.StreamConfig:
    return api.StreamConfig(
        name=bus.names.breaker_events,
        subjects=[f"{bus.names.breaker_root}.>"],
        max_age=bus.settings.max_age_s,
        duplicate_window=_DUPLICATE_WINDOW_S,
        num_replicas=bus.settings.replicas,
        allow_direct=True,
        deny_delete=True,
        deny_purge=True,
    )


def _breakers(bus: Bus) -> api.KeyValueConfig:
    return api.KeyValueConfig(
        bucket=bus.names.breakers, history=1, replicas=bus.settings.replicas, direct=True
    )


def _firings(bus: Bus) -> api.StreamConfig:
    return api.StreamConfig(
        name=bus.names.firings,
        subjects=[bus.names.firing("*")],
        max_age=bus.settings.max_age_s,
        max_msgs_per_subject=FIRINGS_KEPT,
        duplicate_window=_DUPLICATE_WINDOW_S,
        num_replicas=bus.settings.replicas,
        allow_direct=True,
        deny_delete=True,
    )


def _schedules(bus: Bus) -> api.StreamConfig:
    return api.StreamConfig(
        name=bus.names.schedules,
        subjects=[bus.names.schedule_armed("*"), bus.names.schedule_due("*")],
        # A trigger has one time ahead of it, and one that is due.
        max_msgs_per_subject=1,
        num_replicas=bus.settings.replicas,
        duplicate_window=_DUPLICATE_WINDOW_S,
        allow_direct=True,
        allow_msg_schedules=True,
        allow_rollup_hdrs=True,
    )


def _triggers(bus: Bus) -> api.KeyValueConfig:
    return api.KeyValueConfig(
        bucket=bus.names.triggers, history=1, replicas=bus.settings.replicas, direct=True
    )


def _redrives(bus: Bus) -> api.KeyValueConfig:
    return api.KeyValueConfig(
        bucket=bus.names.redrives, history=1, replicas=bus.settings.replicas, direct=True
    )


def _definitions(bus: Bus) -> api.KeyValueConfig:
    return api.KeyValueConfig(
        bucket=bus.names.definitions, history=1, replicas=bus.settings.replicas, direct=True
    )


def _workflows(bus: Bus) -> list[api.KeyValueConfig]:
    return [
        api.KeyValueConfig(bucket=bucket, history=1, replicas=bus.settings.replicas, direct=True)
        for bucket in (bus.names.workflows, bus.names.workflow_versions)
    ]


def _offers(bus: Bus) -> api.KeyValueConfig:
    return api.KeyValueConfig(
        bucket=bus.names.offers, history=1, ttl=OFFER_TTL_S, replicas=bus.settings.replicas, direct=True
    )


def _limits(bus: Bus) -> api.KeyValueConfig:
    return api.KeyValueConfig(bucket=bus.names.limits, history=1, replicas=bus.settings.replicas, direct=True)


def _sessions(bus: Bus) -> api.KeyValueConfig:
    return api.KeyValueConfig(
        bucket=bus.names.sessions, history=1, replicas=bus.settings.replicas, direct=True
    )


def _trail(bus: Bus) -> api.StreamConfig:
    return api.StreamConfig(
        name=bus.names.trail,
        subjects=[f"{bus.names.trail_root}.*"],
        # Kept for ever: a trail without its beginning proves nothing.
        duplicate_window=_DUPLICATE_WINDOW_S,
        num_replicas=bus.settings.replicas,
        allow_direct=True,
        deny_delete=True,
        deny_purge=True,
    )


def _locks(bus: Bus) -> api.KeyValueConfig:
    return api.KeyValueConfig(
        bucket=bus.names.locks, history=1, ttl=_LOCK_TTL_S, replicas=bus.settings.replicas, direct=True
    )


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
    for _ in range(int(2 * _LOCK_TTL_S / _LOCK_POLL_S)):
        try:
            return await bucket.create("topology", b"held")
        except KeyWrongLastSequenceError:
            await asyncio.sleep(_LOCK_POLL_S)
    raise Conflict(f"another process has held the topology lock for {2 * _LOCK_TTL_S} s")
