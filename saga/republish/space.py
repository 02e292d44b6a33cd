"""The namespace that facts are played into: nothing of its own is in it, and nothing gets out of it.

It is marked by its isolation, which stands beside its breakers: whoever serves there, before the first replay or after
the last, lets nobody through a breaker that the isolation does not let out.
"""

from collections.abc import Collection, Iterable

from contracts.breakers import EVERY_BREAKER, Isolation, valid_breaker_name
from contracts.definition import SagaDefinition
from contracts.failure import Conflict, InvalidContract, NotFound
from events.breakers import BreakerBucket
from events.bus import Bus
from events.clock import Clock
from events.definitions import Definitions
from events.offers import OfferBucket
from events.read import last_sequence
from events.settings import BusSettings
from events.streams import ConsumerSpec, declare, first_made
from saga.discovery import discover
from saga.offers import by_action
from saga.topology import consumers_for


def target_of(settings: BusSettings, namespace: str, url: str | None) -> BusSettings:
    """The settings of the namespace to play into, on the same server or on that of `url`, which brings its own
    credentials. Raises InvalidContract."""
    if not namespace:
        raise InvalidContract(
            "--into needs the name of a namespace: the one without a name is no isolated one"
        )
    changed = {"namespace": namespace} | ({"url": url, "credentials": None} if url else {})
    return settings.model_copy(update=changed)


async def require_other(source: Bus, target: Bus) -> None:
    """Raises Conflict if both are one namespace of one server, though it may be reached in two ways."""
    if source.settings.namespace != target.settings.namespace:
        return
    made = await first_made(source)
    if made is not None and made == await first_made(target):
        raise Conflict(
            f"namespace {target.settings.namespace} is the one that is read: play into another (--into)"
        )


async def isolate(target: Bus, let_out: Collection[str], clock: Clock) -> None:
    """Make the namespace one that facts are played into, with its breakers shut but for those that are let out.

    Raises Conflict if it has facts of its own, InvalidContract (no name of a breaker).
    """
    for name in let_out:
        if name != EVERY_BREAKER:
            valid_breaker_name(name)
    if await _has_facts(target) and await BreakerBucket(target).read_isolation() is None:
        raise Conflict(
            f"namespace {target.settings.namespace} has facts of its own: play into one that is new (--into)"
        )
    await declare(target)
    bucket = BreakerBucket(target)
    before = await bucket.read_isolation()
    since = before.since if before else clock()
    await bucket.isolate(Isolation(since=since, let_out=tuple(sorted(let_out))))


async def _has_facts(target: Bus) -> bool:
    for partition in range(target.settings.partitions):
        try:
            if await last_sequence(target, partition):
                return True
        except NotFound:
            continue
    return False


async def served(target: Bus, definitions: Collection[SagaDefinition]) -> frozenset[str]:
    """The actions that somebody offers there. Raises ReadFailed."""
    offered = by_action(await OfferBucket(target).read())
    present = (await discover(target, definitions)).present
    return frozenset(offered) | {action for action, presence in present.items() if presence.alive}


async def publish(
    definitions: Definitions, wanted: Iterable[SagaDefinition], actions: Collection[str]
) -> None:
    """Make definitions known, heard by those who serve these actions; nobody else gets a consumer.

    Raises InvalidDefinition, Conflict (a version is there with another content).
    """

    def heard(bus: Bus, those: Iterable[SagaDefinition]) -> list[ConsumerSpec]:
        return [spec for spec in consumers_for(bus, those) if spec.action in actions]

    for definition in wanted:
        await definitions.publish(definition, heard)
