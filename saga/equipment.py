"""What a participant has opened for its worker, and the context of an attempt made of it."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from events.clock import Chance, Clock
from events.database import Database
from events.inbox import Inbox
from events.outbox import Outbox
from saga.action import Action
from saga.breaker import Breakers
from saga.client import SagaClient
from saga.context import ActionContext
from saga.gate import Gate
from saga.hooks.around import Around
from saga.turn import Turn


@dataclass(frozen=True, slots=True, kw_only=True)
class Equipment:
    """What a worker works with, opened by its participant."""

    breakers: Breakers
    clock: Clock
    chance: Chance
    database: Database | None
    inbox: Inbox | None
    outbox: Outbox | None
    resource: Any
    client: SagaClient
    around: Around | None = None
    gate: Gate | None = None

    def context(self, action: Action, turn: Turn, attempt: int) -> ActionContext:
        """What the handler is given in this attempt of a turn. Raises InvalidContract (its directives)."""
        fact = turn.heard.fact
        return ActionContext(
            saga_id=fact.sagaid,
            step=turn.step.name,
            action=action.name,
            definition=fact.definition,
            attempt=attempt,
            deadline=self.clock() + timedelta(seconds=turn.step.timeout_s),
            clock=self.clock,
            breakers=self.breakers,
            correlation_id=fact.correlationid,
            traceparent=fact.traceparent,
            directives=turn.directives.of_the_starter,
            database=self.database,
            outbox=self.outbox,
            emits=action.emits,
            resource=self.resource,
            client=self.client,
        )
