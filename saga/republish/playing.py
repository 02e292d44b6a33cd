"""Many sagas played side by side, each in its order; what is there already is passed over."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from contracts.children import LABELS
from contracts.facts import STARTED_KEY
from contracts.ids import new_saga_id
from events.bus import Bus
from events.clock import Clock, utc_now
from events.definitions import Definitions
from saga.exporting import require_valid
from saga.recording import Recording
from saga.republish import space
from saga.republish.changes import Changes
from saga.republish.hearing import Hearing, Saga
from saga.republish.pace import Pace
from saga.republish.plan import Plan, plan
from saga.republish.player import Player, Status, Told, missing

_READ_AT_ONCE = 32

type Tell = Callable[[int, int], None]
"""Called with how many sagas are done, and of how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """How to play. `factor`: how many times as fast as it was, None for as fast as can be, with `at_once` sagas side by
    side. `let_out`: breakers that stay as they are. `patience_s`: how long a service may be silent. `again`: sagas that
    are there are played under new ids."""

    factor: float | None = None
    patience_s: float = 10.0
    effects: bool = False
    let_out: tuple[str, ...] = ()
    again: bool = False
    at_once: int = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All sagas, in the order of their starts. `served`: the actions that somebody offers in the namespace."""

    served: tuple[str, ...]
    sagas: tuple[Told, ...]

    def count(self, status: Status) -> int:
        return sum(told.status is status for told in self.sagas)


async def republish(
    target: Bus,
    recording: Recording,
    wish: Wish,
    *,
    tell: Tell = lambda done, total: None,
    make_pace: Callable[[float | None, datetime], Pace] = Pace,
    clock: Clock = utc_now,
) -> Report:
    """Play what is recorded into a namespace that is empty, or that facts were played into before.

    Nothing is played unless everything is valid. Raises Conflict (the namespace has facts of its own; a definition is
    there with another content), InvalidContract (a fact, its directives or its definition), PublishFailed or
    ReadFailed (the bus).
    """
    await space.isolate(target, wish.let_out, clock)
    plans, served = await _plans(target, recording)
    passed = {saga_id: Status.CUT_OFF for saga_id in recording.sagas if saga_id not in plans}
    passed |= dict.fromkeys(_take_out(plans, children_of_services(plans)), Status.LEFT)
    async with Hearing(target) as hearing:
        sagas = await _attend(hearing, plans)
        changes = await _changes(hearing, plans, sagas, wish)
        left = {saga_id: missing(plans[saga_id], changes, saga) for saga_id, saga in sagas.items()}
        done = [saga_id for saga_id, facts in left.items() if not facts]
        passed |= dict.fromkeys(_take_out(plans, done), Status.THERE)
        told = {saga_id: _passed_over(recording, saga_id, status) for saga_id, status in passed.items()}
        if plans:
            pace = make_pace(wish.factor, min(left[saga_id][0].fact.time for saga_id in plans))
            player = Player(
                target=target, changes=changes, pace=pace, patience_s=wish.patience_s, clock=clock
            )
            told |= await _play(player, plans, sagas, wish.at_once, tell)
    return Report(
        served=tuple(sorted(served)), sagas=tuple(told[saga_id] for saga_id in _in_order(recording))
    )


async def _plans(target: Bus, recording: Recording) -> tuple[dict[str, Plan], frozenset[str]]:
    """The plans of all sagas that are whole, in the order of their starts, and who serves what."""
    async with Definitions.open(target) as definitions:
        whole = {
            saga_id: await require_valid(definitions, recording, saga_id, recording.sagas[saga_id])
            for saga_id in _in_order(recording)
            if recording.sagas[saga_id][0].fact.key == STARTED_KEY
        }
        known = recording.definitions | {definition.ref: definition for definition in whole.values()}
        served = await space.served(target, known.values())
        await space.publish(definitions, known.values(), served)
    plans = {
        saga_id: plan(definition, recording.sagas[saga_id], served) for saga_id, definition in whole.items()
    }
    return plans, served


def _in_order(recording: Recording) -> list[str]:
    return sorted(recording.sagas, key=lambda saga_id: recording.sagas[saga_id][0].fact.time)


def _take_out(plans: dict[str, Plan], saga_ids: Iterable[str]) -> list[str]:
    return [plans.pop(saga_id).saga_id for saga_id in saga_ids]


def _passed_over(recording: Recording, saga_id: str, status: Status) -> Told:
    ref = recording.sagas[saga_id][0].fact.definition
    return Told(saga_id=saga_id, played_as=saga_id, definition=ref, status=status)


def children_of_services(plans: Mapping[str, Plan]) -> list[str]:
    """The sagas that a service begins by itself, as children of a step that it serves."""
    left: dict[str, None] = {}
    for saga_id, child in plans.items():
        parent, step, _ = (child.start.data.get("labels", {}).get(label) for label in LABELS)
        of = plans.get(parent)
        known = of.definition.by_name.get(step) if of is not None else None
        if parent in left or (of is not None and known is not None and known.action in of.served):
            left[saga_id] = None
    return list(left)


async def _attend(hearing: Hearing, plans: Collection[str]) -> dict[str, Saga]:
    places = asyncio.Semaphore(_READ_AT_ONCE)

    async def attend(saga_id: str) -> Saga:
        async with places:
            return await hearing.attend(saga_id)

    return dict(zip(plans, await asyncio.gather(*map(attend, plans)), strict=True))


async def _changes(
    hearing: Hearing, plans: Mapping[str, Plan], sagas: dict[str, Saga], wish: Wish
) -> Changes:
    """How facts are changed; sagas that are there and wanted again get new ids, under which they are attended to."""
    ids = {saga_id: new_saga_id() for saga_id, saga in sagas.items() if wish.again and saga.said}
    for saga_id, new in ids.items():
        sagas[saga_id] = await hearing.attend(new)
    changes = Changes(ids=ids, effects=wish.effects)
    for one in plans.values():
        changes.directives(one.start)
    return changes


async def _play(
    player: Player, plans: Mapping[str, Plan], sagas: Mapping[str, Saga], at_once: int, tell: Tell
) -> dict[str, Told]:
    told: dict[str, Told] = {}
    # At a pace, there are as many at once as there were.
    places = asyncio.Semaphore(at_once if player.pace.unbounded else len(plans))

    async def play(one: Plan) -> None:
        told[one.saga_id] = await player.play(one, sagas[one.saga_id])
        places.release()
        tell(len(told), len(plans))

    try:
        async with asyncio.TaskGroup() as group:
            for one in plans.values():
                await player.pace.due(one.start.time)
                await places.acquire()
                group.create_task(play(one))
    except ExceptionGroup as failed:
        # The first one ends the others; what they had stated is there when it is played again.
        raise failed.exceptions[0] from None
    return told
