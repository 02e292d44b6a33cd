"""A stream full of finished nine-step chains, as the runtime states them, written without running them."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from benchmarks.chain import STEPS
from contracts.definition import SagaDefinition
from contracts.facts import FactKind, state_fact
from contracts.ids import fact_id, new_saga_id
from contracts.subjects import SAGA_STEP
from events.bus import Bus

_TOGETHER = 1000
_FLUSH_EVERY = 5000
_PLACE = "0" * 36


async def fill(bus: Bus, definition: SagaDefinition, facts: int) -> list[str]:
    """At least so many facts, of sagas that were under way a thousand at a time; their ids."""
    templates = list(_templates(definition))
    saga_ids = [new_saga_id() for _ in range(-(-facts // len(templates)))]
    sent = 0
    for begin in range(0, len(saga_ids), _TOGETHER):
        for subject, payload in templates:
            for saga_id in saga_ids[begin : begin + _TOGETHER]:
                message = payload.replace(_PLACE.encode(), saga_id.encode())
                await bus.client.publish(subject + saga_id, message)
                sent += 1
                if sent % _FLUSH_EVERY == 0:
                    await _stored(bus, sent)
    await _stored(bus, sent)
    return saga_ids


async def _stored(bus: Bus, sent: int) -> None:
    """Wait until everything that was sent is in the stream."""
    while (await bus.jetstream.stream_info(bus.names.facts(0))).state.messages < sent:
        await asyncio.sleep(0.01)


def _templates(definition: SagaDefinition) -> Iterator[tuple[str, bytes]]:
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    cause = None
    stated: list[tuple[str, str, dict[str, object]]] = [
        (SAGA_STEP, FactKind.STARTED, {"input": {"value": 1}, "definition_hash": definition.content_hash}),
        *((step, FactKind.COMPLETED, _completed(at)) for at, step in enumerate(STEPS, 2)),
        (SAGA_STEP, FactKind.COMPLETED, {"sequence": 1, "duration_ms": 10.0}),
    ]
    for at, (step, kind, data) in enumerate(stated):
        fact = state_fact(
            about=None, definition=definition.ref, saga_id=_PLACE, step=step, kind=kind, data=data,
            source="/bench", time=begin + timedelta(milliseconds=at), fact_id=fact_id(_PLACE, step, kind),
        )  # fmt: skip
        fact.content["causationid"] = cause or ""
        cause = fact.id
        yield f"evt.0.{definition.name}.{step}.{kind}.", fact.encode()


def _completed(value: int) -> dict[str, object]:
    carried: dict[str, object] = {"input": {}, "steps": {}}
    return {"output": {"value": value}, "carried": carried, "attempt": 1, "duration_ms": 0.5}
