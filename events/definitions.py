"""The saga definitions everybody shares: a KV bucket, watched, so that new ones arrive while running.

A version is immutable: publishing it again with the same content is nothing, with another it is refused.
Order: the consumers that will hear a new version are there before the version is, so that no saga of it
can start unheard.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Self

import structlog
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeout
from nats.js.errors import BucketNotFoundError, KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KeyValue
from pydantic import ValidationError

from contracts.checks import check_contracts
from contracts.definition import SagaDefinition
from contracts.facts import explain
from contracts.failure import Conflict, NotFound
from events.bus import Bus
from events.streams import Change, ConsumerSpec, apply_consumers, consumers_stand, topology_lock
from events.together import together

log = structlog.get_logger(__name__)

type Specs = Callable[[Bus, Iterable[SagaDefinition]], list[ConsumerSpec]]
_REOPEN_S = 0.5


class Definitions:
    """A watch-fed copy of the bucket. Open with `async with Definitions.open(bus) as definitions`."""

    def __init__(self, bus: Bus, bucket: KeyValue) -> None:
        self._bus = bus
        self._bucket = bucket
        self._by_ref: dict[str, SagaDefinition] = {}
        self._latest: dict[str, SagaDefinition] = {}
        self._ready = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def open(cls, bus: Bus) -> AsyncIterator[Self]:
        """The definitions there are now, and from then on those that arrive.

        Raises NotFound if nothing was ever served on this bus.
        """
        try:
            bucket = await bus.jetstream.key_value(bus.names.definitions)
        except BucketNotFoundError as error:
            raise NotFound(
                f"no bucket {bus.names.definitions}: nothing was ever served on this bus (saga up, saga serve)"
            ) from error
        definitions = cls(bus, bucket)
        watching = asyncio.create_task(definitions._watch(), name="definitions")
        try:
            await definitions._ready.wait()
            yield definitions
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching

    def get(self, ref: str) -> SagaDefinition | None:
        """The definition `name@version`, if this process has heard of it."""
        return self._by_ref.get(ref)

    def latest(self, name: str) -> SagaDefinition | None:
        """The version of that name that was published last."""
        return self._latest.get(name)

    def all(self) -> list[SagaDefinition]:
        return list(self._by_ref.values())

    async def fetch(self, ref: str) -> SagaDefinition | None:
        """As `get`, but asks the server if the watch has not told of it yet."""
        if known := self._by_ref.get(ref):
            return known
        try:
            entry = await self._bucket.get(_key(ref))
        except KeyNotFoundError:
            return None
        return self._learn(entry.value or b"")

    async def publish(self, definition: SagaDefinition, specs: Specs) -> list[Change]:
        """Apply the consumers the definition needs, then make it known.

        Raises InvalidDefinition if it does not fit the actions' contracts, Conflict if the version exists
        with another content.
        """
        return await self.publish_all([definition], specs)

    async def publish_all(self, definitions: Sequence[SagaDefinition], specs: Specs) -> list[Change]:
        """As `publish`: the consumers of all, then one definition after the other. If one raises, none is known."""
        known = await together(*(self.fetch(definition.ref) for definition in definitions))
        # A restart changes nothing, and must not wait for the lock of a process that was killed.
        if all(map(_same, known, definitions)) and await consumers_stand(
            self._bus, specs(self._bus, definitions)
        ):
            return []
        for definition in definitions:
            check_contracts(definition)
        async with topology_lock(self._bus):
            present = await together(*(self.fetch(definition.ref) for definition in definitions))
            for there, definition in zip(present, definitions, strict=True):
                if there is not None and not _same(there, definition):
                    raise Conflict(
                        f"{definition.ref} exists with another content: publish it as a new version"
                    )
            changes = await apply_consumers(self._bus, specs(self._bus, definitions))
            for there, definition in zip(present, definitions, strict=True):
                if there is None:
                    changes.append(await self._create(definition))
        return changes

    async def _create(self, definition: SagaDefinition) -> Change:
        written = definition.written().encode()
        with suppress(KeyWrongLastSequenceError):
            await self._bucket.create(_key(definition.ref), written)
        self._learn(written)
        return Change("created", f"definition {definition.ref}")

    async def _watch(self) -> None:
        while True:
            try:
                await self._watch_once()
            except NatsError as error:
                log.warning("definitions.watch_lost", error=str(error) or type(error).__name__)
            await asyncio.sleep(_REOPEN_S)

    async def _watch_once(self) -> None:
        # The watcher's own word that this was all may come before what there was: so that is counted.
        left = (await self._bucket.status()).values
        watcher: Any = await self._bucket.watchall()
        try:
            while True:
                if left <= 0:
                    self._ready.set()
                try:
                    entry = await watcher.updates(timeout=60)
                except NatsTimeout:
                    continue
                if entry is not None:
                    left -= 1
                    if entry.value:
                        self._learn(entry.value)
        finally:
            with suppress(NatsError):
                await watcher.stop()

    def _learn(self, payload: bytes) -> SagaDefinition | None:
        try:
            definition = SagaDefinition.model_validate_json(payload)
        except ValidationError as error:
            log.error("definitions.invalid", reason=explain(error))
            return None
        if definition.ref not in self._by_ref:
            self._by_ref[definition.ref] = definition
            self._latest[definition.name] = definition
        return definition


def _same(known: SagaDefinition | None, definition: SagaDefinition) -> bool:
    return known is not None and known.content_hash == definition.content_hash


def _key(ref: str) -> str:
    # Names hold no dot, versions may: the first dot is the border.
    return ref.replace("@", ".", 1)
