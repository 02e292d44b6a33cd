"""What `saga what-if` judges: recorded sagas from the stream or a file, against what is changed."""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from contracts.actions import DOMAINS, domain_actions
from contracts.definition import SagaDefinition
from contracts.facts import Recorded
from contracts.failure import InvalidContract, NotFound
from events.bus import Bus
from events.definitions import Definitions
from events.settings import BusSettings
from saga.cli.recordings import is_file, read_definition, read_file, shipped_definition
from saga.exporting import Chosen, stories
from saga.policies import read_policies
from saga.rerun.ground import Ground
from saga.rerun.modules import load_actions
from saga.service import ServiceSettings
from saga.whatif import Change, Verdict, judge


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which sagas: one, or all that began since; from the stream, or from a file."""

    saga_id: str | None
    since: datetime | None
    file: str | None


async def judged(
    wanted: Wanted, definition: str | None, handlers: Sequence[str], database_url: str
) -> Verdict:
    """The verdict on the sagas that are wanted. Raises NotFound, InvalidContract, Conflict."""
    new = _definition(definition) if definition is not None else None
    actions = load_actions(handlers)
    undoable = {one.name for domain in DOMAINS for one in domain_actions(domain) if one.compensable}
    undoable -= actions.keys()
    undoable |= {name for name, action in actions.items() if action.compensable}
    if not actions:
        return await _judged(wanted, Change(definition=new, undoable=undoable))
    ground = Ground(
        actions,
        environment=os.environ,
        database_url=database_url,
        policies=read_policies(ServiceSettings().policies),
    )
    async with ground:
        return await _judged(wanted, Change(definition=new, ground=ground, undoable=undoable))


def _definition(what: str) -> SagaDefinition:
    if is_file(what):
        return read_definition(Path(what))
    found = shipped_definition(what)
    if found is None:
        raise NotFound(f"{what!r} is neither a JSON or YAML file nor shipped")
    return found


async def _judged(wanted: Wanted, change: Change) -> Verdict:
    return await (_of_file(wanted.file, wanted, change) if wanted.file else _of_stream(wanted, change))


async def _of_file(file: str, wanted: Wanted, change: Change) -> Verdict:
    recording = read_file(file, wanted.saga_id)
    chosen = Chosen(since=wanted.since)
    sagas = recording.sagas
    if wanted.saga_id is not None:
        sagas = {wanted.saga_id: recording.facts(wanted.saga_id)}

    async def told() -> AsyncIterator[tuple[str, Sequence[Recorded]]]:
        for saga_id, facts in sagas.items():
            if wanted.saga_id is not None:
                _require_concern(saga_id, facts, change, await known(facts[0].fact.definition))
            if wanted.saga_id is not None or wanted.since is None or chosen.starts(facts[0].fact):
                yield saga_id, facts

    async def known(ref: str) -> SagaDefinition | None:
        return recording.definitions.get(ref) or shipped_definition(ref)

    return await judge(change, told(), known)


async def _of_stream(wanted: Wanted, change: Change) -> Verdict:
    chosen = Chosen(saga_ids=(wanted.saga_id,) if wanted.saga_id else (), since=wanted.since)
    async with await Bus.connect(BusSettings()) as bus, Definitions.open(bus) as definitions:

        async def concerns(ref: str) -> bool:
            found = await definitions.fetch(ref)
            # What is not known is said to be so when it is judged.
            return found is None or change.concerns(found)

        async def told() -> AsyncIterator[tuple[str, Sequence[Recorded]]]:
            async with aclosing(stories(bus, chosen, concerns)) as found:
                async for saga_id, facts in found:
                    if wanted.saga_id is not None:
                        old = await definitions.fetch(facts[0].fact.definition)
                        _require_concern(saga_id, facts, change, old)
                    yield saga_id, facts

        return await judge(change, told(), definitions.fetch)


def _require_concern(
    saga_id: str, facts: Sequence[Recorded], change: Change, old: SagaDefinition | None
) -> None:
    of = facts[0].fact.saga
    if change.definition is not None and of != change.definition.name:
        raise InvalidContract(
            f"saga {saga_id} is of {of}, and the other definition is of {change.definition.name}"
        )
    if old is not None and not change.concerns(old):
        raise InvalidContract(f"saga {saga_id} is of {of}, which has no step with an action of the handlers")
