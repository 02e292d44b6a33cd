"""The same nine-step chain, written by hand in bare nats-py: what the runtime is measured against.

Pull consumers, a fence header on every publish, a PubAck awaited for every fact, an ack for every
delivery. No contracts, no retries, no compensation, no log.
"""

import asyncio
import json
from contextlib import suppress

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import TimeoutError as NatsTimeout
from nats.js import JetStreamContext, api

from benchmarks.chain import STEPS, Ended
from contracts.ids import new_saga_id

_STREAM = "HAND"
_FETCH = 100


class Baseline:
    """Starts chains and tells of their end."""

    def __init__(self, client: Client, ended: Ended) -> None:
        self._client = client
        self._js: JetStreamContext = client.jetstream()
        self._ended = ended
        self._tasks: list[asyncio.Task[None]] = []
        self._handling: set[asyncio.Task[None]] = set()

    @classmethod
    async def connect(cls, url: str, ended: Ended) -> "Baseline":
        return cls(await nats.connect(url), ended)

    async def __aenter__(self) -> "Baseline":
        await self._js.add_stream(
            api.StreamConfig(
                name=_STREAM, subjects=["hand.*.*.*.*.*"], allow_direct=True, duplicate_window=600
            )
        )
        for index in range(len(STEPS)):
            heard = (
                f"hand.0.chain.{STEPS[index - 1]}.completed.*" if index else "hand.0.chain._saga.started.*"
            )
            subscription = await self._js.pull_subscribe(
                heard,
                durable=STEPS[index],
                stream=_STREAM,
                config=api.ConsumerConfig(ack_wait=10, max_ack_pending=20_000),
            )
            self._tasks.append(asyncio.create_task(self._consume(subscription, index)))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.close()

    async def start(self) -> str:
        saga_id = new_saga_id()
        await self._publish(saga_id, "_saga", "started", {"value": 1})
        return saga_id

    async def _publish(self, saga_id: str, step: str, kind: str, data: dict[str, int]) -> None:
        fact = {
            "specversion": "1.0",
            "id": f"{saga_id}.{step}.{kind}",
            "source": f"/participants/{step}",
            "type": f"saga.{kind}",
            "subject": step,
            "sagaid": saga_id,
            "definition": "chain@1",
            "correlationid": saga_id,
            "data": data,
        }
        headers = {
            "Nats-Msg-Id": f"{saga_id}.{step}.{kind}",
            "Nats-Expected-Last-Subject-Sequence": "0",
            "Nats-Expected-Last-Subject-Sequence-Subject": f"hand.0.chain._saga.aborted.{saga_id}",
        }
        subject = f"hand.0.chain.{step}.{kind}.{saga_id}"
        await self._js.publish(subject, json.dumps(fact).encode(), headers=headers)

    async def _consume(self, subscription: JetStreamContext.PullSubscription, index: int) -> None:
        while True:
            with suppress(NatsTimeout):
                for message in await subscription.fetch(_FETCH, timeout=5):
                    task = asyncio.create_task(self._handle(message, index))
                    self._handling.add(task)
                    task.add_done_callback(self._handling.discard)

    async def _handle(self, message: Msg, index: int) -> None:
        fact = json.loads(message.data)
        await self._publish(fact["sagaid"], STEPS[index], "completed", {"value": fact["data"]["value"] + 1})
        await message.ack()
        if index == len(STEPS) - 1:
            self._ended(fact["sagaid"])
