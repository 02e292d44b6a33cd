"""One redrive on the bus: the new saga's start and what it takes over, stored in one atomic batch.

There is one redrive of a saga at most, because its id is made of the other's: a repeat finds it there, and of two
people who redrive at once one does. If the redrive fails too, that one is redriven.
"""

from dataclasses import dataclass
from typing import Any

from contracts.definition import SagaDefinition
from contracts.directives import Redrives, directives_of
from contracts.facts import REDRIVE, STARTED_KEY, Recorded, Redriven, state_fact
from contracts.failure import Conflict, NotFound
from contracts.ids import fact_id
from contracts.nesting import check_nesting
from contracts.subjects import valid_token
from events import timers
from events.bus import Bus
from events.clock import Clock, utc_now
from events.definitions import Definitions
from events.publish import Fenced, Outgoing, outgoing
from events.read import read_saga
from saga.client import PreparedStart, SagaClient, StartOptions, validated_input
from saga.redriving.plan import Plan, merged, plan, redrive_id, taken_over_facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be different: from these steps (none: from where it must), the input with this merge patch applied."""

    from_steps: tuple[str, ...] = ()
    edit: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Redrive:
    """A redrive that is there. `created` is false if it was there before."""

    plan: Plan
    created: bool


class Redriver:
    """Redrives sagas, one by one."""

    def __init__(self, bus: Bus, definitions: Definitions, clock: Clock = utc_now) -> None:
        self._bus = bus
        self._definitions = definitions
        self._client = SagaClient(bus, definitions, clock)
        self._clock = clock

    async def plan(self, saga_id: str, wanted: Wanted) -> Plan:
        """What a redrive would do; nothing is stated.

        Raises NotFound (no such saga), Conflict (it cannot be redriven so, or was redriven before), InvalidInput,
        InvalidContract.
        """
        found, _ = await self._plan(saga_id, wanted)
        if await read_saga(self._bus, found.new_id):
            raise Conflict(f"saga {saga_id} was redriven before, as saga {found.new_id}")
        return found

    async def redrive(self, saga_id: str, wanted: Wanted, words: Redriven) -> Redrive:
        """Start the redrive; wait until it is stored. A repeat of the same starts nothing.

        Raises as `plan`; Conflict if it was redriven before in another way.
        """
        found, facts = await self._plan(saga_id, wanted)
        prepared = await self._prepare(found, facts, words)
        messages = [outgoing(prepared.subject, prepared.fact, prepared.fence)]
        messages += self._taken_over(found, facts, prepared)
        try:
            await self._bus.publisher.batch(messages)
        except Fenced:
            await self._require_same(found)
            return Redrive(plan=found, created=False)
        if prepared.timer is not None:
            await timers.arm(self._bus, prepared.timer)
        return Redrive(plan=found, created=True)

    async def job_of(self, saga_id: str) -> str | None:
        """As one of which job a saga was redriven; empty if it was redriven alone, None if it was not."""
        facts = await read_saga(self._bus, redrive_id(saga_id))
        return _said(facts).job if facts else None

    async def _plan(self, saga_id: str, wanted: Wanted) -> tuple[Plan, list[Recorded]]:
        facts = await read_saga(self._bus, valid_token(saga_id, "saga id"))
        if not facts:
            raise NotFound(f"no saga {saga_id} in the stream")
        definition = await self._definition(facts[0].fact.definition)
        started = next((one.fact for one in facts if one.fact.key == STARTED_KEY), None)
        given: dict[str, Any] = started.data["input"] if started else {}
        if wanted.edit:
            check_nesting(wanted.edit, "the edit of a redrive")
            given = validated_input(definition, merged(given, wanted.edit))
        return plan(definition, facts, given, wanted.from_steps), facts

    async def _definition(self, ref: str) -> SagaDefinition:
        definition = await self._definitions.fetch(ref)
        if definition is None:
            raise NotFound(f"no definition {ref}")
        return definition

    async def _prepare(self, found: Plan, facts: list[Recorded], words: Redriven) -> PreparedStart:
        started = next(one.fact for one in facts if one.fact.key == STARTED_KEY)
        redrives = Redrives(saga_id=found.saga_id, from_steps=found.from_steps)
        said = directives_of(started.directives).model_copy(update={"redrives": redrives})
        options = StartOptions(
            saga_id=found.new_id,
            labels=started.data.get("labels", {}),
            directives=said,
            correlation_id=started.correlationid,
            source=REDRIVE,
            deadline_s=started.data.get("deadline_s"),
            redriven=words,
        )
        return await self._client.prepare(found.definition.ref, found.input, options)

    def _taken_over(self, found: Plan, facts: list[Recorded], prepared: PreparedStart) -> list[Outgoing]:
        start = prepared.fact.content
        return [
            outgoing(
                self._bus.subjects.fact(found.definition.name, step, kind, found.new_id),
                state_fact(
                    about=None,
                    definition=found.definition.ref,
                    saga_id=found.new_id,
                    step=step,
                    kind=kind,
                    data=data,
                    source=REDRIVE,
                    time=start["time"],
                    fact_id=fact_id(found.new_id, step, kind),
                    correlation_id=start["correlationid"],
                    directives=start["directives"],
                ),
            )
            for step, kind, data in taken_over_facts(found, facts)
        ]

    async def _require_same(self, found: Plan) -> None:
        facts = await read_saga(self._bus, found.new_id)
        started = next(one.fact for one in facts if one.fact.key == STARTED_KEY)
        redrives = directives_of(started.directives).redrives
        same = redrives is not None and redrives.from_steps == found.from_steps
        if not same or started.data["input"] != found.input:
            raise Conflict(
                f"saga {found.saga_id} was redriven before in another way, as saga {found.new_id}: if that has failed, "
                "redrive it"
            )


def _said(facts: list[Recorded]) -> Redriven:
    started = next(one.fact for one in facts if one.fact.key == STARTED_KEY)
    return Redriven.model_validate(started.data["redriven"])
