"""What becomes of a breaker's record by what is heard of it: pure, pybreaker's state machine run on a value.

pybreaker counts and decides between closed, open and half open. What it lacks is added here: probes hold
leases, results of an older generation count for nothing, and every change of state is an event of the record.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pybreaker

from contracts.breakers import (
    HISTORY,
    BreakerConfig,
    BreakerEvent,
    BreakerEventKind,
    BreakerRecord,
    BreakerState,
)

_TO_PYBREAKER = {
    BreakerState.CLOSED: pybreaker.STATE_CLOSED,
    BreakerState.OPEN: pybreaker.STATE_OPEN,
    BreakerState.HALF_OPEN: pybreaker.STATE_HALF_OPEN,
}
_FROM_PYBREAKER = {theirs: ours for ours, theirs in _TO_PYBREAKER.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A call ended. `worked` is None if nothing is known (it was cancelled); `probe` is its lease, if any."""

    at: datetime
    generation: int
    worked: bool | None
    probe: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A call wants to be a probe: it is one if its id is among the probes afterwards."""

    at: datetime
    probe: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Enlist:
    """A process uses the breaker."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    """A person closes it."""

    at: datetime
    by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Configure:
    """A person changes its settings."""

    at: datetime
    by: str
    reason: str
    config: BreakerConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """A person strikes it off; the next call through it enlists it again."""

    at: datetime
    by: str
    reason: str


type Heard = Ended | Probe | Enlist | Reset | Configure | Delete


def retry_after_s(record: BreakerRecord, default: BreakerConfig, now: datetime) -> float:
    """Seconds until the breaker may be tried; 0 if it may."""
    if record.state is not BreakerState.OPEN or record.opened_at is None:
        return 0.0
    timeout_s = (record.config or default).reset_timeout_s
    # Clocks differ between machines: nobody waits longer than the timeout.
    return min(timeout_s, max(0.0, timeout_s - (now - record.opened_at).total_seconds()))


def advance(record: BreakerRecord, default: BreakerConfig, heard: Heard) -> BreakerRecord:
    """The record after this; the same object if nothing changes."""
    config = record.config or default
    match heard:
        case Ended():
            return _ended(record, config, heard)
        case Probe():
            return _probe(record, config, heard)
        case Enlist():
            known = record.write and not record.deleted
            return record if known else record.model_copy(update={"deleted": False})
        case Reset():
            return _close(record, heard)
        case Configure():
            changed = record.model_copy(update={"config": heard.config})
            return _state(changed, record, heard, BreakerEventKind.CONFIGURED, config=heard.config)
        case Delete():
            changed = _close(record, heard, BreakerEventKind.DELETED)
            return changed.model_copy(update={"deleted": True, "config": None})


def _ended(record: BreakerRecord, config: BreakerConfig, heard: Ended) -> BreakerRecord:
    if heard.generation != record.generation:
        return record
    probes = {probe: until for probe, until in record.probes.items() if probe != heard.probe}
    if heard.worked is None:
        released = len(probes) != len(record.probes)
        return record.model_copy(update={"probes": probes}) if released else record
    if record.state is BreakerState.OPEN:
        return record
    if record.state is BreakerState.CLOSED and heard.worked and not record.failures:
        return record
    storage = _count(record, config, worked=heard.worked)
    state = _FROM_PYBREAKER[storage.state]
    changed = record.model_copy(
        update={
            "failures": storage.counter,
            "successes": storage.success_counter,
            "probes": probes,
        }
    )
    return changed if state is record.state else _move(changed, record, state, heard.at)


def _probe(record: BreakerRecord, config: BreakerConfig, heard: Probe) -> BreakerRecord:
    if record.state is BreakerState.CLOSED or retry_after_s(record, config, heard.at) > 0:
        return record
    until = heard.at + timedelta(seconds=config.probe_lease_s)
    if record.state is BreakerState.OPEN:
        half_open = record.model_copy(update={"successes": 0})
        moved = _move(half_open, record, BreakerState.HALF_OPEN, heard.at)
        return moved.model_copy(update={"probes": {heard.probe: until}})
    living = {probe: until for probe, until in record.probes.items() if until > heard.at}
    if heard.probe in living or len(living) >= config.half_open_max_calls:
        return record
    return record.model_copy(update={"probes": {**living, heard.probe: until}})


def _close(
    record: BreakerRecord, heard: Reset | Delete, kind: BreakerEventKind = BreakerEventKind.CLOSED
) -> BreakerRecord:
    cleared = record.model_copy(update={"failures": 0, "successes": 0})
    moved = _moved(cleared, BreakerState.CLOSED, heard.at)
    return _state(moved, record, heard, kind)


def _move(changed: BreakerRecord, before: BreakerRecord, state: BreakerState, at: datetime) -> BreakerRecord:
    moved = _moved(changed, state, at)
    event = _event(moved, before, BreakerEventKind(state.value), at)
    return _with(moved, event)


def _moved(record: BreakerRecord, state: BreakerState, at: datetime) -> BreakerRecord:
    return record.model_copy(
        update={
            "state": state,
            "opened_at": at if state is BreakerState.OPEN else None,
            "generation": record.generation + 1,
            "probes": {},
        }
    )


def _state(
    changed: BreakerRecord, before: BreakerRecord, heard: Reset | Configure | Delete, kind: BreakerEventKind,
    config: BreakerConfig | None = None,
) -> BreakerRecord:  # fmt: skip
    event = _event(changed, before, kind, heard.at)
    return _with(changed, event.model_copy(update={"by": heard.by, "reason": heard.reason, "config": config}))


def _event(
    record: BreakerRecord, before: BreakerRecord, kind: BreakerEventKind, at: datetime
) -> BreakerEvent:
    return BreakerEvent(
        name=record.name,
        revision=record.revision + 1,
        kind=kind,
        state=record.state,
        previous=before.state,
        failures=record.failures,
        time=at,
    )


def _with(record: BreakerRecord, event: BreakerEvent) -> BreakerRecord:
    history = (*record.history, event)[-HISTORY:]
    return record.model_copy(update={"revision": event.revision, "history": history})


class _Failed(Exception):
    """Stands for whatever failed, while pybreaker counts it."""


def _count(record: BreakerRecord, config: BreakerConfig, *, worked: bool) -> Any:
    storage = _storage_of(record)
    machine = pybreaker.CircuitBreaker(
        fail_max=config.failure_threshold,
        success_threshold=config.success_threshold,
        state_storage=storage,
        throw_new_error_on_trip=False,
    )

    def outcome() -> None:
        if not worked:
            raise _Failed

    try:
        machine.call(outcome)
    except _Failed:
        assert not worked
    return storage


def _storage_of(record: BreakerRecord) -> Any:
    storage = pybreaker.CircuitMemoryStorage(_TO_PYBREAKER[record.state])
    for _ in range(record.failures):
        storage.increment_counter()
    for _ in range(record.successes):
        storage.increment_success_counter()
    return storage
