"""A participant: it hears a fact, decides by itself whether a step of its action is due, does it, states it.

What happens if the process dies after

    hearing the fact    it is not acknowledged, so another replica hears it (or this one, restarted)
    stating `started`   the redelivery reads it and resumes; after an abort it closes the step instead
    the effect          the guard's row gives the same output again; without a database, the handler is
                        called again with the same `ctx.key`
    stating `completed` the redelivery reads it and acknowledges; nothing is done twice
    acknowledging       nothing (a server that is killed may forget it: as one line above)

A paused process whose delivery went to another finds the guard's row, or the fence, or both.

In a chain a step costs: receive, run, publish `completed`, acknowledge. The saga is read only for joins,
redeliveries, retries, the wave back, and where a person has a say (`saga.watched`).
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Container, Sequence
from contextlib import AsyncExitStack
from typing import Self

import structlog
from pydantic import ValidationError

from contracts.definition import SagaDefinition, Step
from contracts.directives import directives_of
from contracts.facts import STARTED_KEY, Fact, FactKey, Recorded, data_model, explain
from contracts.failure import CODE_CONDITION_INVALID, Failure, InvalidContract
from contracts.policies import NO_POLICIES, Policies
from contracts.timers import deadline_of
from events.bus import Bus
from events.clock import Chance, Clock, chance, utc_now
from events.consume import Delivery, PullConsumer
from events.database import Database
from events.deadletters import (
    CODE_EXHAUSTED,
    CODE_UNANSWERABLE,
    CODE_UNDECODABLE,
    CODE_UNKNOWN_DEFINITION,
    CODE_WRONG_SUBJECT,
    bury,
)
from events.deadletters_codec import Origin, redelivered
from events.definitions import Definitions
from events.inbox import Inbox
from events.outbox import Outbox
from events.publish import PublishFailed
from events.read import ReadFailed
from events.shared_limits import LimitBucket
from saga import failpoints
from saga.action import Action, Environment
from saga.breaker import Breakers
from saga.choreography import causes, decide, heard_by
from saga.client import SagaClient
from saga.decisions import (
    Compensate,
    GiveUp,
    Hold,
    Ignore,
    Run,
    Skip,
    Sleep,
    StandDown,
    Trigger,
    Wait,
    Wake,
)
from saga.equipment import Equipment
from saga.gate import Gate
from saga.hooks import Hook
from saga.hooks.around import Around
from saga.hooks.manager import HookManager
from saga.hooks.redaction import Redactor
from saga.policies import as_run, policy_of
from saga.turn import DONE, PARK_AFTER_S, Answer, Later, Turn, Voice
from saga.worker import Worker

log = structlog.get_logger(__name__)

# A first delivery this old may be the echo of one that was handled before: look before doing.
_FRESH_S = 30.0
_MAX_RUNTIME_FAILURES = 20
_MIN_DELAY_S = 0.001

type OpenDatabase = Callable[[Action], Awaitable[Database | None]]
type OpenOutbox = Callable[[Action, Database], Awaitable[Outbox | None]]


class Participant:
    """All replicas that run an action's participant share its work. Open it, start it, and later stop it."""

    def __init__(
        self,
        action: Action,
        bus: Bus,
        definitions: Definitions,
        *,
        breakers: Breakers,
        watched: Container[str],
        environment: Environment,
        open_database: OpenDatabase,
        open_outbox: OpenOutbox,
        hooks: Sequence[Hook] = (),
        policies: Policies = NO_POLICIES,
        park_after_s: float = PARK_AFTER_S,
        clock: Clock = utc_now,
        chance: Chance = chance,
    ) -> None:
        self._policies = policies
        self._policy = policy_of(action.contract, policies).policy
        self.action = action.behind(self._policy.breaker) if self._policy.breaker else action
        self._bus = bus
        self._definitions = definitions
        self._breakers = breakers
        self._watched = watched
        self._environment = environment
        self._open_database = open_database
        self._open_outbox = open_outbox
        self._hooks = self._chosen(hooks)
        self._clock = clock
        self._chance = chance
        self._name = bus.names.consumer(action.name)
        self._voice = Voice(bus, f"/participants/{action.name}", clock, park_after_s)
        self._worker: Worker | None = None
        self._resources = AsyncExitStack()
        self._consumers: list[PullConsumer] = []
        self._routes: dict[str, dict[FactKey, tuple[Step, ...]]] = {}

    async def open(self) -> Self:
        """Open what the action needs: from then on `act` works."""
        database = await self._open_database(self.action)
        resource = await self._resources.enter_async_context(self.action.open_resource(self._environment))
        equipment = Equipment(
            breakers=self._breakers,
            clock=self._clock,
            chance=self._chance,
            database=database,
            inbox=Inbox(database, self._clock) if database and self.action.guarded else None,
            outbox=await self._open_outbox(self.action, database) if database else None,
            resource=resource,
            client=SagaClient(self._bus, self._definitions, self._clock),
            around=Around(HookManager(self._hooks), Redactor(), self._clock) if self._hooks else None,
            gate=self._gate(),
        )
        self._worker = Worker(self.action, self._voice, equipment)
        return self

    async def start(self) -> None:
        """Take deliveries. It must be open, and its consumers must have been applied."""
        for partition in range(self._bus.settings.partitions):
            stream = self._bus.names.facts(partition)
            consumer = PullConsumer(self._bus, stream, self._name, self.hear, self._now_ns)
            self._consumers.append(consumer)
        buried = self._bus.names.dead_letters
        self._consumers.append(PullConsumer(self._bus, buried, self._name, self._hear_again, self._now_ns))
        for consumer in self._consumers:
            await consumer.start()

    async def stop(self, grace_s: float = 10.0) -> None:
        """Finish what is under way, give back the rest."""
        await asyncio.gather(*(consumer.stop(grace_s) for consumer in self._consumers))
        await self._resources.aclose()

    def _chosen(self, hooks: Sequence[Hook]) -> tuple[Hook, ...]:
        wanted = self._policy.hooks
        return tuple(hook for hook in hooks if hook.required or wanted is None or hook.name in wanted)

    def _gate(self) -> Gate | None:
        policy = self._policy
        if not (policy.permissions or policy.rate or policy.concurrency):
            return None
        return Gate(policy, LimitBucket(self._bus), self._clock, self._chance)

    def reads_first(self, saga_id: str) -> bool:
        """Whether it has heard that somebody intervened in a saga, and so reads that before it acts."""
        return saga_id in self._watched

    @property
    def in_flight(self) -> int:
        return sum(consumer.in_flight for consumer in self._consumers)

    @property
    def silent_s(self) -> float:
        """Seconds since the server was last heard, of the quietest consumer."""
        return max((consumer.silent_s for consumer in self._consumers), default=0.0)

    async def hear(self, delivery: Delivery) -> None:
        """One delivery: it ends in a fact, an acknowledgement, a nak with a delay or a dead letter."""
        try:
            fact = self._decode(delivery)
            definition = await self._definition_of(fact)
        except _Unanswerable as error:
            await self._bury(delivery, error.code, str(error))
            return
        heard = Recorded(delivery.sequence, fact)
        steps = self._steps_for(definition, fact.key)
        try:
            if len(steps) == 1:
                answers = [await self._answer(definition, steps[0], heard, delivery)]
            else:
                answers = await asyncio.gather(
                    *(self._answer(definition, step, heard, delivery) for step in steps)
                )
        except (PublishFailed, ReadFailed):
            # The bus is away: the delivery comes again for as long as it takes.
            raise
        except InvalidContract as error:
            # No later delivery can make it valid.
            await self._bury(delivery, CODE_UNANSWERABLE, str(error))
            return
        except Exception as error:
            if delivery.deliveries < _MAX_RUNTIME_FAILURES:
                raise
            await self._bury(delivery, CODE_EXHAUSTED, f"{type(error).__name__}: {error}")
            return
        delays = [answer.delay_s for answer in answers if answer is not None]
        if delays:
            await delivery.nak(max(_MIN_DELAY_S, min(delays)))
        else:
            failpoints.at_delivery("ack.before", heard.fact, steps)
            await delivery.ack()
            failpoints.at_delivery("ack.after", heard.fact, steps)

    async def _hear_again(self, delivery: Delivery) -> None:
        """A ruling on what this action could not answer: if it was redriven, it is heard once more."""
        again = redelivered(delivery)
        if again is None:
            await delivery.ack()
        else:
            await self.hear(again)

    def _decode(self, delivery: Delivery) -> Fact:
        try:
            fact = Fact.decode(delivery.payload)
            # The data is used as plain JSON; this only checks that it has the shape of its kind.
            data_model(*fact.key).__pydantic_validator__.validate_python(fact.data)
        except InvalidContract as error:
            raise _Unanswerable(CODE_UNDECODABLE, str(error)) from error
        except ValidationError as error:
            raise _Unanswerable(CODE_UNDECODABLE, f"data of {fact.type}: {explain(error)}") from error
        expected = self._bus.subjects.fact(fact.saga, *fact.key, fact.sagaid)
        if delivery.subject != expected:
            raise _Unanswerable(CODE_WRONG_SUBJECT, f"the fact says that its subject is {expected}")
        return fact

    async def _definition_of(self, fact: Fact) -> SagaDefinition:
        known = self._definitions.get(fact.definition) or await self._definitions.fetch(fact.definition)
        if known is None:
            raise _Unanswerable(CODE_UNKNOWN_DEFINITION, f"no definition {fact.definition}")
        return known

    async def _bury(self, delivery: Delivery, code: str, reason: str) -> None:
        origin = Origin.of(self._name, delivery)
        await bury(self._bus, origin, delivery.payload, code=code, reason=reason)
        log.error(
            "delivery.buried", action=self.action.name, subject=delivery.subject, code=code, reason=reason
        )
        await delivery.ack()

    def _steps_for(self, definition: SagaDefinition, key: FactKey) -> tuple[Step, ...]:
        routes = self._routes.get(definition.ref)
        if routes is None:
            heard: dict[FactKey, list[Step]] = defaultdict(list)
            for step in definition.steps:
                if step.action == self.action.name:
                    run = self.as_run(step)
                    for said in heard_by(definition, step.name):
                        heard[said].append(run)
            routes = {said: tuple(steps) for said, steps in heard.items()}
            self._routes[definition.ref] = routes
        return routes.get(key, ())

    def as_run(self, step: Step) -> Step:
        """The step with what its policy says of it."""
        return as_run(step, self.action.contract, self._policies)

    async def _answer(
        self, definition: SagaDefinition, step: Step, heard: Recorded, delivery: Delivery
    ) -> Answer:
        failpoints.at_delivery("read.before", heard.fact, (step,))
        fresh = delivery.deliveries == 1 and delivery.age_s < _FRESH_S
        key = heard.fact.key
        trigger = Trigger(sequence=heard.sequence, key=key, owner=not fresh)
        turn = Turn(definition, step, heard, trigger, {key: heard})
        forward = key in causes(definition, step.name)
        if forward and key == STARTED_KEY:
            due = deadline_of(definition, heard.fact.time, heard.fact.data.get("deadline_s"))
            if due is not None:
                await self._voice.arm(turn, due, deadline=True)
        alone = forward and len(definition.graph.predecessors[step.name]) <= 1
        if not (fresh and alone and turn.saga_id not in self._watched):
            turn.facts = await self._voice.read(turn, whole=not forward)
        failpoints.at_delivery("read.after", heard.fact, (step,))
        return await self.act(turn)

    async def act(self, turn: Turn) -> Answer:
        """Do what the core decides about a turn, and state how it ends."""
        worker = self._worker
        assert worker is not None, "a participant acts when it is open"
        # What a process does not understand it neither runs nor fails.
        directives_of(turn.heard.fact.directives)
        try:
            decision = decide(turn.definition, turn.step.name, turn.facts, turn.trigger)
        except InvalidContract as error:
            failure = Failure(code=CODE_CONDITION_INVALID, message=str(error)[:4096], effect="none")
            return await worker.fail(turn, failure, 1, None)
        match decision:
            case Run():
                return await worker.run(turn, decision)
            case Skip():
                return await worker.skip(turn, decision)
            case Compensate():
                return await worker.compensate(turn, decision)
            case StandDown(reason):
                await worker.stand_down(turn, reason)
            case GiveUp():
                await worker.give_up(turn, decision)
            case Hold():
                return DONE if await self._voice.hold(turn, decision) else Later(_MIN_DELAY_S)
            case Wake():
                return DONE if await self._voice.wake(turn, decision) else Later(_MIN_DELAY_S)
            case Sleep(due):
                await self._voice.arm(turn, due)
            case Wait(reason) | Ignore(reason):
                log.debug("step.not_due", step=turn.step.name, saga_id=turn.saga_id, reason=reason)
        return DONE

    def _now_ns(self) -> int:
        return int(self._clock().timestamp() * 1e9)


class _Unanswerable(Exception):
    """A message no participant can answer: a dead letter."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
