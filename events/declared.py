"""The streams and buckets there are, as data. Streams of facts refuse deletes and purges: what is stated stays."""

from collections.abc import Sequence
from typing import Any

from nats.js import api

from contracts.facts import MAX_FACT_BYTES
from contracts.offers import OFFER_TTL_S
from events.bus import Bus

LOCK_TTL_S = 30
_DUPLICATE_WINDOW_S = 600
_FIRINGS_KEPT = 1_000
# Room for headers beside the largest fact.
_MAX_MESSAGE_BYTES = MAX_FACT_BYTES + 16 * 1024

_STATED: dict[str, Any] = {"allow_direct": True, "deny_delete": True, "deny_purge": True}
# A timer replaces the one before it, which needs rollups; neither age nor number may end one.
_SCHEDULED: dict[str, Any] = {"allow_direct": True, "allow_msg_schedules": True, "allow_rollup_hdrs": True}


def streams_of(bus: Bus) -> list[api.StreamConfig]:
    """Every stream of the namespace."""
    names, subjects, kept_s = bus.names, bus.subjects, bus.settings.max_age_s
    return [
        *(_facts(bus, partition) for partition in range(bus.settings.partitions)),
        _stream(
            bus, names.dead_letters, [f"{names.dead_letter_root}.>"], max_age=kept_s, allow_direct=True
        ),
        _stream(bus, names.timers, [f"{names.timer_root}.at.>", f"{names.timer_root}.due.>"], **_SCHEDULED),
        _stream(bus, names.advisories, given_up(bus), retention=api.RetentionPolicy.WORK_QUEUE),
        # Events and the outbox's marker are stored together or not at all.
        _stream(
            bus, names.events, [f"{subjects.events_root}.*.*.*", f"{names.outbox_root}.*"],
            max_age=kept_s, max_msg_size=_MAX_MESSAGE_BYTES, allow_atomic=True, **_STATED,
        ),
        _stream(bus, names.breaker_events, [f"{names.breaker_root}.>"], max_age=kept_s, **_STATED),
        _stream(
            bus, names.firings, [names.firing("*")], max_age=kept_s, max_msgs_per_subject=_FIRINGS_KEPT,
            allow_direct=True, deny_delete=True,
        ),
        # A trigger has one time ahead of it, and one that is due.
        _stream(
            bus, names.schedules, [names.schedule_armed("*"), names.schedule_due("*")],
            max_msgs_per_subject=1, **_SCHEDULED,
        ),
        # Kept for ever: a trail without its beginning proves nothing.
        _stream(bus, names.trail, [f"{names.trail_root}.*"], **_STATED),
    ]  # fmt: skip


def buckets_of(bus: Bus) -> list[api.KeyValueConfig]:
    """Every bucket of the namespace."""
    names = bus.names
    plain = (
        names.definitions, names.breakers, names.triggers, names.redrives, names.sessions, names.limits,
        names.workflows, names.workflow_versions,
    )  # fmt: skip
    return [
        *(_bucket(bus, name) for name in plain),
        _bucket(bus, names.locks, LOCK_TTL_S),
        _bucket(bus, names.offers, OFFER_TTL_S),
    ]


def given_up(bus: Bus) -> list[str]:
    """The subjects on which the server tells that a consumer of one of our messages has given up."""
    facts = [bus.names.facts(partition) for partition in range(bus.settings.partitions)]
    return [bus.names.given_up(stream) for stream in (*facts, bus.names.dead_letters, bus.names.timers)]


def _facts(bus: Bus, partition: int) -> api.StreamConfig:
    return _stream(
        bus, bus.names.facts(partition), [bus.subjects.partition(partition)],
        max_age=bus.settings.max_age_s, max_msg_size=_MAX_MESSAGE_BYTES, max_consumers=5000, allow_atomic=True,
        **_STATED,
    )  # fmt: skip


def _stream(bus: Bus, name: str, subjects: Sequence[str], **more: Any) -> api.StreamConfig:
    return api.StreamConfig(
        name=name,
        subjects=list(subjects),
        num_replicas=bus.settings.replicas,
        duplicate_window=_DUPLICATE_WINDOW_S,
        **more,
    )


def _bucket(bus: Bus, name: str, ttl_s: float | None = None) -> api.KeyValueConfig:
    return api.KeyValueConfig(bucket=name, history=1, ttl=ttl_s, replicas=bus.settings.replicas, direct=True)
