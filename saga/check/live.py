"""Against the bus: is what was published served, and does what is to be published fit what is in flight?"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from contracts.checks import contract_of
from contracts.definition import SagaDefinition
from contracts.offers import Offer, OfferedAction
from contracts.schemas import compare
from contracts.subjects import SAGA_STEP
from events.bus import Bus
from events.offers import OfferBucket
from saga.check.findings import Finding, Placed
from saga.discovery import Discovered, EventsHeard, discover, events_heard
from saga.offers import by_action

_ANY = "*"


@dataclass(frozen=True, slots=True)
class OnTheBus:
    """What is published on a bus, who serves and offers it, and who hears the services' own events below
    `events_root`."""

    published: list[SagaDefinition]
    discovered: Discovered
    offers: list[Offer]
    events: EventsHeard
    events_root: str


async def read_bus(bus: Bus, published: list[SagaDefinition]) -> OnTheBus:
    """Raises NotFound if nothing was ever served on this bus, ReadFailed if it does not answer."""
    return OnTheBus(
        published=published,
        discovered=await discover(bus, published),
        offers=await OfferBucket(bus).read(),
        events=await events_heard(bus),
        events_root=bus.subjects.events_root,
    )


def check_published(definitions: Iterable[SagaDefinition], discovered: Discovered) -> Iterator[Finding]:
    """What the bus tells of the definitions that are published there."""
    known = list(definitions)
    for definition in known:
        for index, step in enumerate(definition.steps):
            there = discovered.present.get(step.action)
            pointer = f"/steps/{index}/action"
            if there is None:
                detail = f"nobody has ever served {step.action}: sagas wait at {step.name} for ever"
                yield Finding("step.unheard", definition.ref, pointer, detail)
            elif not there.alive:
                detail = f"nobody serves {step.action} now; {there.pending} messages wait"
                yield Finding("action.unserved", definition.ref, pointer, detail)
    yield from _unstated(known, discovered)


def check_offered(offers: Iterable[Offer]) -> Iterator[Finding]:
    """What processes say they offer, against each other and against the contracts that are known here."""
    for name, offered in by_action(offers).items():
        contract = contract_of(name)
        mine = OfferedAction.of(contract) if contract is not None else None
        hosts = ", ".join(sorted({f"{one.host} ({one.pid})" for one in offered.offers}))
        if not offered.same_types:
            detail = f"replicas of one version of {name} differ in input or output: {hosts}"
            yield Finding("action.other_types", name, "", detail)
        elif mine and any(
            one.version == mine.version and one.schema_hash != mine.schema_hash for one in offered.actions
        ):
            detail = f"{name} is offered with another input or output than its contract has here: {hosts}"
            yield Finding("action.other_types", name, "", detail)


def _unstated(known: Iterable[SagaDefinition], discovered: Discovered) -> Iterator[Finding]:
    """Facts that somebody hears and nobody can state: of sagas that there are not, or of steps they do not have."""
    steps: dict[str, set[str]] = defaultdict(lambda: {SAGA_STEP, _ANY})
    for definition in known:
        steps[definition.name] |= definition.by_name.keys()
    strange = set()
    for one in discovered.heard:
        if one.saga != _ANY and one.saga not in steps:
            strange.add((one.action, f"{one.saga}, which nobody has published"))
        elif one.saga != _ANY and one.step not in steps[one.saga]:
            strange.add((one.action, f"{one.saga}.{one.step}, a step that no published version has"))
    for action, what in sorted(strange):
        yield Finding("subject.unstated", action, "", f"{action} hears facts of {what}")


def check_against(
    local: Iterable[Placed[SagaDefinition]], published: Iterable[SagaDefinition]
) -> Iterator[Finding]:
    """What is to be published, against the versions that are."""
    known = list(published)
    for placed in local:
        mine = placed.content
        for other in known:
            if other.ref == mine.ref and other.content_hash != mine.content_hash:
                detail = f"{mine.ref} is published with another content: give it a new version"
                yield Finding("version.changed", placed.place, "/version", detail)
            elif other.name == mine.name and other.input_schema and mine.input_schema:
                for problem in compare(other.input_schema, mine.input_schema):
                    detail = f"{other.ref} takes input that this refuses: {problem}"
                    yield Finding("input.incompatible", placed.place, "/input_schema", detail)
