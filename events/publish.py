"""Publishing: every fact waits for its PubAck. This is the only place that publishes to a stream.

Crash and loss: a PubAck that does not come leaves it open whether the fact was stored. The message is
then sent again with the same message id until it is acknowledged or the time is over; the server stores
it once. `PublishFailed` means unknown, never "not stored".

One reply subscription serves all publishes in flight, which costs about a third of a request each.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from pydantic_core import from_json

from contracts.facts import Fact, NewFact
from contracts.failure import SagaError
from contracts.ids import new_saga_id
from events.clock import monotonic
from events.names import (
    BATCH_COMMIT,
    BATCH_DUPLICATE,
    BATCH_ID,
    BATCH_SEQUENCE,
    BUSY_SUBJECT,
    EXPECTED_SEQUENCE,
    EXPECTED_SUBJECT,
    MSG_ID,
    WRONG_LAST_SEQUENCE,
)

ATTEMPTS = 4
_RETRY_DELAY_S = 0.1
_SWEEP_S = 0.25


class PublishFailed(SagaError):
    """The server did not acknowledge in time, or refused; whether it stored the message is not known."""

    code = "bus.publish_failed"
    exit_code = 6


class Fenced(SagaError):
    """The server has refused the fact because of what is already stored: read before you go on."""

    code = "bus.fenced"


class StoredBefore(Fenced):
    """A message id of the batch is that of a message that was stored a short time ago."""

    code = "bus.stored_before"


@dataclass(slots=True)
class Fence:
    """Publish only if `subject` has no message yet (or its last one has `sequence`)."""

    subject: str
    sequence: int = 0

    def headers(self) -> dict[str, str]:
        return {EXPECTED_SEQUENCE: str(self.sequence), EXPECTED_SUBJECT: self.subject}


@dataclass(slots=True)
class Stored:
    """A PubAck. `duplicate`: the same message id had been stored before."""

    sequence: int
    duplicate: bool = False


@dataclass(slots=True)
class Outgoing:
    """One message of a batch."""

    subject: str
    payload: bytes
    headers: dict[str, str]


def outgoing(subject: str, fact: Fact | NewFact, fence: Fence | None = None) -> Outgoing:
    """The message of a fact: its id is the message id."""
    headers = {MSG_ID: fact.id}
    if fence is not None:
        headers.update(fence.headers())
    return Outgoing(subject, fact.encode(), headers)


class Publisher:
    """Acknowledged publishing over one connection."""

    def __init__(self, client: Client, *, timeout_s: float) -> None:
        self._client = client
        self._timeout_s = timeout_s
        self._inbox = client.new_inbox()
        self._tokens = count()
        self._waiting: dict[str, tuple[float, asyncio.Future[Msg]]] = {}
        self._subscription: Subscription | None = None
        self._sweeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._subscription = await self._client.subscribe(f"{self._inbox}.*", cb=self._acknowledged)
        self._sweeper = asyncio.create_task(self._sweep(), name="publisher")

    async def stop(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
        if self._subscription is not None and self._client.is_connected:
            await self._subscription.unsubscribe()
        for _, waiting in self._waiting.values():
            waiting.cancel()

    async def _sweep(self) -> None:
        # One timer for all publishes in flight: a timer each costs a tenth of a hop.
        while True:
            await asyncio.sleep(_SWEEP_S)
            now = monotonic()
            for deadline, waiting in list(self._waiting.values()):
                if deadline < now and not waiting.done():
                    waiting.set_exception(_Transient(f"no acknowledgement within {self._timeout_s} s"))

    async def state(self, subject: str, fact: Fact | NewFact, fence: Fence | None = None) -> Stored:
        """Publish a fact and wait until it is stored.

        Raises Fenced if the fence refuses it, PublishFailed if no acknowledgement came.
        """
        message = outgoing(subject, fact, fence)
        return await self.send(message.subject, message.payload, message.headers)

    async def send(self, subject: str, payload: bytes, headers: dict[str, str]) -> Stored:
        """Publish any message that carries a message id, again and again until it is acknowledged."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return _stored(await self._ask(subject, payload, headers))
            except _Transient as error:
                if attempt == ATTEMPTS:
                    raise PublishFailed(f"{subject}: {error} after {ATTEMPTS} attempts") from error
                await asyncio.sleep(_RETRY_DELAY_S * attempt)
        raise AssertionError("unreachable")

    async def batch(self, messages: Sequence[Outgoing]) -> Stored:
        """Store all messages of one stream, or none (ADR-50); fences see the state before the batch.

        Raises Fenced if a fence refuses it or a message id was used before: read before you go on.
        """
        if len(messages) == 1:
            return await self.send(messages[0].subject, messages[0].payload, messages[0].headers)
        batch = new_saga_id()
        for number, message in enumerate(messages[:-1], 1):
            headers = {**message.headers, BATCH_ID: batch, BATCH_SEQUENCE: str(number)}
            await self._client.publish(message.subject, message.payload, headers=headers)
        last = messages[-1]
        headers = {**last.headers, BATCH_ID: batch, BATCH_SEQUENCE: str(len(messages)), BATCH_COMMIT: "1"}
        try:
            return _stored(await self._ask(last.subject, last.payload, headers))
        except _Transient as error:
            raise PublishFailed(f"{last.subject}: {error}") from error

    async def _ask(self, subject: str, payload: bytes, headers: dict[str, str]) -> Msg:
        token = str(next(self._tokens))
        waiting: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        self._waiting[token] = (monotonic() + self._timeout_s, waiting)
        try:
            await self._client.publish(subject, payload, reply=f"{self._inbox}.{token}", headers=headers)
            return await waiting
        except NatsError as error:
            raise _Transient(str(error) or type(error).__name__) from error
        finally:
            self._waiting.pop(token, None)

    async def _acknowledged(self, message: Msg) -> None:
        found = self._waiting.get(message.subject.rpartition(".")[2])
        if found is not None and not found[1].done():
            found[1].set_result(message)


class _Transient(Exception):
    """Not known to be stored: send it again."""


def _stored(message: Msg) -> Stored:
    if not message.data:
        raise _Transient("no stream listens to this subject")
    answer = from_json(message.data)
    error = answer.get("error")
    if error is None:
        return Stored(answer["seq"], answer.get("duplicate", False))
    reason = f"{error.get('description', 'refused')} ({error.get('err_code')})"
    if error.get("err_code") == BATCH_DUPLICATE:
        raise StoredBefore(reason)
    if error.get("err_code") == WRONG_LAST_SEQUENCE:
        raise Fenced(reason)
    if error.get("err_code") == BUSY_SUBJECT or error.get("code") == 503:
        raise _Transient(reason)
    raise PublishFailed(reason)
