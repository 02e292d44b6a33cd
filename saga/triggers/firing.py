"""What a firing does: filter, map, start; and the history of it.

One event starts one saga of a trigger: the saga's id is made from both, and the fence of the start lets one through.
A firing that cannot work (nobody may start the workflow, the input does not fit) is refused: noted, and not
repeated. All else (the bus does not answer) is raised, for whoever delivered the event to deliver it again.

Crash: between the start and the note, the event comes again, finds its saga started, and notes it then.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from contracts.failure import Conflict, InvalidContract, NotFound, SagaError
from contracts.ids import new_saga_id
from contracts.references import EVENT_ROOTS, Scope, compile_template
from contracts.triggers import Firing, Outcome, Trigger
from events.bus import Bus
from events.clock import Clock, utc_now
from events.triggers import note_firing
from saga.client import StartedSaga, StartOptions, saga_id_of
from saga.conditions import OF_TRIGGERS, compile_condition
from saga.workflows.catalogue import Catalogue

log = structlog.get_logger(__name__)

REFUSALS = (InvalidContract, NotFound, Conflict)
"""Errors of a firing that would be the same the next time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What a trigger has heard of. `id` is unique among the events of a source, as CloudEvents have it."""

    id: str
    source: str = ""
    type: str
    subject: str
    time: datetime
    data: Any
    correlation_id: str = ""
    traceparent: str = ""

    def scope(self) -> Scope:
        """What the filter and the input mapping refer to."""
        told = {"id": self.id, "source": self.source, "type": self.type, "subject": self.subject}
        return {"event": {**told, "time": self.time.isoformat(), "data": self.data}}


class Firer:
    """Fires triggers, in any number of processes at once."""

    def __init__(self, bus: Bus, catalogue: Catalogue, clock: Clock = utc_now) -> None:
        self._bus = bus
        self._catalogue = catalogue
        self._clock = clock

    async def fire(
        self, trigger: Trigger, event: Event, *, by: str = "", body: str = "", again: bool = False
    ) -> Firing | None:
        """Start the trigger's workflow for an event, and note it; None if its filter does not let it through.

        `again`: the same delivery of the event may have been worked on before. `body`: to be kept with it, in base64.
        Raises one of REFUSALS, after noting it; ReadFailed, PublishFailed if it is not known what became of it.
        """
        options = StartOptions(
            idempotency_key=_key(trigger.name, event),
            labels={"trigger": trigger.name},
            correlation_id=event.correlation_id,
            traceparent=event.traceparent,
            source=f"/triggers/{trigger.name}",
        )
        saga_id = saga_id_of(options)
        firing = Firing(
            id=saga_id, trigger=trigger.name, outcome=Outcome.STARTED, at=self._clock(), event_id=event.id,
            saga_id=saga_id, by=by, body=body,
        )  # fmt: skip
        try:
            started = await self._started(trigger, event, options)
        except REFUSALS as error:
            # Changed since, the trigger or its workflow would start it otherwise now: it stays as it was started.
            definition = await self._catalogue.started_as(saga_id)
            if not definition:
                await note_firing(self._bus, _refused(firing, error))
                raise
            started = StartedSaga(saga_id=saga_id, definition=definition, sequence=0, created=False)
        if started is None:
            log.debug("triggers.filtered", trigger=trigger.name, event=event.id)
            return None
        told = {"definition": started.definition}
        if not started.created and not again:
            told |= {"id": new_saga_id(), "outcome": Outcome.REPEATED}
        firing = firing.model_copy(update=told)
        await note_firing(self._bus, firing)
        return firing

    async def note_missed(self, trigger: Trigger, first: datetime, last: datetime, why: str) -> None:
        """Note that times of a schedule were let pass. Raises PublishFailed."""
        missed = Firing(
            id=f"{trigger.name}.{first.isoformat()}.missed",
            trigger=trigger.name,
            outcome=Outcome.MISSED,
            at=self._clock(),
            event_id=first.isoformat(),
            reason=f"the times from {first.isoformat()} to {last.isoformat()} have passed: {why}",
        )
        await note_firing(self._bus, missed)

    async def _started(self, trigger: Trigger, event: Event, options: StartOptions) -> StartedSaga | None:
        scope = event.scope()
        if trigger.when is not None and not compile_condition(trigger.when, OF_TRIGGERS)(scope):
            return None
        mapped = compile_template(trigger.input, EVENT_ROOTS).resolve(scope)
        if not isinstance(mapped, dict):
            raise InvalidContract(
                f"event {event.id!r:.80}: its data is no object: map it to the input's fields"
            )
        return await self._catalogue.start(trigger.workflow, mapped, options)


def _refused(firing: Firing, error: SagaError) -> Firing:
    told = {"id": new_saga_id(), "outcome": Outcome.REFUSED, "saga_id": ""}
    return firing.model_copy(update={**told, "code": error.code, "reason": str(error)[:1_000]})


def _key(trigger: str, event: Event) -> str:
    """What one event of one trigger has and no other, whatever its length."""
    parts = json.dumps([trigger, event.source, event.id])
    return f"trigger.{hashlib.sha256(parts.encode()).hexdigest()}"
