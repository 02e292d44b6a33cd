"""One started workflow: what becomes of it, read from its facts in the stream, and what can be said about it.

A handle holds no state of the saga. Any number of them, in any process, tell the same; after a lost connection
they read on.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from typing import Any

import structlog

from contracts.definition import SagaDefinition
from contracts.facts import Fact, Recorded
from contracts.failure import InvalidContract, SagaError
from contracts.subjects import partition_of
from events.bus import Bus
from events.read import StreamMessage, read_saga, watch
from saga import registry
from saga.client import SagaClient
from saga.sdk.results import WorkflowResult, result_of
from saga.state import SagaStatus, advance, initial
from saga.timeline import Moment, timeline

log = structlog.get_logger(__name__)


class NotEnded(SagaError):
    """The workflow had not ended when the time given for it was over; it goes on."""

    code = "workflow.not_ended"
    exit_code = 7


class WorkflowHandle:
    """`await handle.result()` waits for the end."""

    def __init__(
        self, bus: Bus, client: SagaClient, definition: SagaDefinition, saga_id: str, user_id: str
    ) -> None:
        self.saga_id = saga_id
        self.definition = definition
        self._bus = bus
        self._client = client
        self._by = user_id or "client"

    async def status(self) -> WorkflowResult:
        """The workflow as it is now. Raises ReadFailed if the bus is away."""
        facts = await read_saga(self._bus, self.saga_id, self.definition.name)
        return result_of(self.definition, facts, registry.find)

    async def result(self, *, timeout_s: float | None = None) -> WorkflowResult:
        """The workflow as it ended, or as it waits for a person. Raises NotEnded after `timeout_s` seconds."""
        try:
            async with asyncio.timeout(timeout_s), aclosing(self._facts()) as facts:
                found = [recorded async for recorded in facts]
        except TimeoutError as error:
            raise NotEnded(
                f"{self.definition.ref} {self.saga_id} has not ended within {timeout_s} s"
            ) from error
        return result_of(self.definition, found, registry.find)

    async def events(self) -> AsyncIterator[Moment]:
        """Everything that happens to the workflow, from its start to its end: each fact once, in order."""
        told: list[Recorded] = []
        async with aclosing(self._facts()) as facts:
            async for recorded in facts:
                told.append(recorded)
                yield timeline(told)[-1]

    async def cancel(self, reason: str, *, by: str = "") -> None:
        """Turn the workflow round: what was done is undone. `by` is the user who started it unless given.

        Raises Conflict if it has ended, is turned round already, or has passed its pivot.
        """
        await self._client.cancel(self.saga_id, reason=reason, by=by or self._by)

    async def signal(self, step: str, payload: dict[str, Any] | None = None, *, by: str = "") -> None:
        """Give a step the signal it waits for, or will wait for. Raises NotFound, Conflict (it has ended)."""
        await self._client.signal(self.saga_id, step, payload or {}, by=by or self._by)

    async def _facts(self) -> AsyncGenerator[Recorded]:
        """The facts up to the one that ends the saga, or that leaves it to a person."""
        state, caught_up = initial(self.definition), False
        partition = partition_of(self.saga_id, self._bus.settings.partitions)
        subject = self._bus.subjects.all_of(self.definition.name, self.saga_id)
        async with aclosing(watch(self._bus, partition, [subject])) as batches:
            async for batch in batches:
                for recorded in _decoded(batch):
                    state = advance(self.definition, state, recorded)
                    yield recorded
                caught_up = caught_up or not batch
                # Of what lies behind only the whole counts: a saga may have waited for a person, and no longer.
                if caught_up and (state.ended or state.status is SagaStatus.WAITING):
                    return


def _decoded(batch: Sequence[StreamMessage]) -> Iterator[Recorded]:
    for message in batch:
        try:
            yield Recorded(message.sequence, Fact.decode(message.payload))
        except InvalidContract as error:
            log.warning(
                "handle.no_fact", subject=message.subject, sequence=message.sequence, reason=str(error)
            )


__all__ = ["NotEnded", "WorkflowHandle"]
