"""A participant: it hears a fact, decides by itself whether a step of its action is due, does it, states it.

What happens if the process dies between any two lines of `_run`, in order:

    heard the fact      not acknowledged, so another replica hears it (or this one, after its restart)
    stated `started`    the redelivery reads it and resumes; after an abort it closes the step instead
    effect happened     the guard's row gives the same output again; without a database, the handler is
                        called again with the same `ctx.key`
    stated `completed`  the redelivery reads it and acknowledges; nothing is done twice
    acknowledged        done (a server that is killed may forget an acknowledgement: as one line above)

A paused process whose delivery went to another replica finds the guard's row, or the fence, or both.

In a chain a step costs: receive, run, publish `completed`, acknowledge. A reading of the saga is made only
for joins, redeliveries, retries and the wave back.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Self

import structlog
from pydantic import BaseModel, ValidationError

from contracts.definition import SagaDefinition, Step
from contracts.facts import (
    ABORTED_KEY,
    AttemptFailed,
    Carried,
    CompensationFailed,
    Fact,
    FactKey,
    FactKind,
    Facts,
    Recorded,
    SagaAborted,
    StepCompensated,
    StepCompleted,
    StepFailed,
    StepSkipped,
    StepStarted,
    StoodDown,
    data_model,
    explain,
    state_fact,
)
from contracts.failure import CODE_CONDITION_INVALID, CODE_INPUT_INVALID, Failure, InvalidContract
from contracts.ids import fact_id
from contracts.references import Scope
from contracts.retries import next_delay_s
from contracts.subjects import SAGA_STEP
from events.bus import Bus
from events.clock import Chance, Clock, chance, monotonic, utc_now
from events.consume import Delivery, PullConsumer
from events.database import Database
from events.deadletters import (
    CODE_EXHAUSTED,
    CODE_UNDECODABLE,
    CODE_UNKNOWN_DEFINITION,
    CODE_WRONG_SUBJECT,
    bury,
)
from events.definitions import Definitions
from events.inbox import AlreadyUndone, EffectKey, Inbox
from events.publish import Fence, Fenced, PublishFailed, outgoing
from events.read import ReadFailed, read_facts
from saga.action import Action, ActionContext, Environment
from saga.breaker import Breakers
from saga.choreography import (
    Compensate,
    Ignore,
    Run,
    Skip,
    StandDown,
    Trigger,
    Wait,
    carry,
    causes,
    decide,
    heard_by,
)
from saga.execution import Attempt, Deferred, Done, Failed, Gone, attempt_to_do, attempt_to_undo

log = structlog.get_logger(__name__)

# A first delivery this old may be the echo of one that was handled before: look before doing.
_FRESH_S = 30.0
_MAX_RUNTIME_FAILURES = 20
_DONE = None


@dataclass(frozen=True, slots=True)
class Later:
    """The delivery must come again after `delay_s` seconds."""

    delay_s: float


type Answer = Later | None


@dataclass(slots=True)
class _Turn:
    """One step of one saga, on one delivery."""

    definition: SagaDefinition
    step: Step
    heard: Recorded
    trigger: Trigger
    facts: Facts

    @property
    def saga_id(self) -> str:
        return self.heard.fact.sagaid


class Participant:
    """All replicas that run an action's participant share its work. Start it, and later stop it."""

    def __init__(
        self,
        action: Action,
        bus: Bus,
        definitions: Definitions,
        *,
        breakers: Breakers,
        environment: Environment,
        open_database: Callable[[Action], Awaitable[Database | None]],
        clock: Clock = utc_now,
        chance: Chance = chance,
    ) -> None:
        self.action = action
        self._bus = bus
        self._definitions = definitions
        self._breakers = breakers
        self._environment = environment
        self._open_database = open_database
        self._clock = clock
        self._chance = chance
        self._source = f"/participants/{action.name}"
        self._name = bus.names.consumer(action.name)
        self._database: Database | None = None
        self._inbox: Inbox | None = None
        self._resource: object = None
        self._resources = AsyncExitStack()
        self._consumers: list[PullConsumer] = []
        self._routes: dict[str, dict[FactKey, tuple[Step, ...]]] = {}

    async def start(self) -> Self:
        """Open what the action needs, then take deliveries. The consumers must have been applied."""
        self._database = await self._open_database(self.action)
        self._inbox = Inbox(self._database, self._clock) if self._database else None
        self._resource = await self._resources.enter_async_context(
            self.action.open_resource(self._environment)
        )
        for partition in range(self._bus.settings.partitions):
            consumer = PullConsumer(
                self._bus, self._bus.names.facts(partition), self._name, self.hear, self._now_ns
            )
            await consumer.start()
            self._consumers.append(consumer)
        return self

    async def stop(self, grace_s: float = 10.0) -> None:
        """Finish what is under way, give back the rest."""
        await asyncio.gather(*(consumer.stop(grace_s) for consumer in self._consumers))
        await self._resources.aclose()

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
            definition = self._definitions.get(fact.definition) or await self._definitions.fetch(
                fact.definition
            )
        except _Unanswerable as error:
            await self._bury(delivery, error.code, str(error))
            return
        if definition is None:
            await self._bury(delivery, CODE_UNKNOWN_DEFINITION, f"no definition {fact.definition}")
            return
        steps = self._steps_for(definition, fact.key)
        heard = Recorded(delivery.sequence, fact)
        try:
            if len(steps) == 1:
                answers = [await self._answer(definition, steps[0], heard, delivery)]
            else:
                answers = await asyncio.gather(
                    *(self._answer(definition, step, heard, delivery) for step in steps)
                )
        except (PublishFailed, ReadFailed):
            # The bus is away: PullConsumer tries again for as long as it takes.
            raise
        except Exception as error:
            if delivery.deliveries < _MAX_RUNTIME_FAILURES:
                raise
            await self._bury(delivery, CODE_EXHAUSTED, f"{type(error).__name__}: {error}")
            return
        delays = [answer.delay_s for answer in answers if answer is not None]
        if delays:
            await delivery.nak(max(0.001, min(delays)))
        else:
            await delivery.ack()

    def _decode(self, delivery: Delivery) -> Fact:
        try:
            fact = Fact.decode(delivery.payload)
            model = data_model(*fact.key)
            # The data is used as plain JSON; this is only the check that it has the shape of its kind.
            model.__pydantic_validator__.validate_python(fact.data)
        except InvalidContract as error:
            raise _Unanswerable(CODE_UNDECODABLE, str(error)) from error
        except ValidationError as error:
            raise _Unanswerable(CODE_UNDECODABLE, f"data of {fact.type}: {explain(error)}") from error
        expected = self._bus.subjects.fact(fact.saga, *fact.key, fact.sagaid)
        if delivery.subject != expected:
            raise _Unanswerable(CODE_WRONG_SUBJECT, f"the fact says that its subject is {expected}")
        return fact

    async def _bury(self, delivery: Delivery, code: str, reason: str) -> None:
        tokens = delivery.reply.split(".")
        await bury(
            self._bus,
            consumer=self._name,
            stream=tokens[2] if len(tokens) == 9 else tokens[4],
            sequence=delivery.sequence,
            subject=delivery.subject,
            payload=delivery.payload,
            deliveries=delivery.deliveries,
            code=code,
            reason=reason,
        )
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
                    for said in heard_by(definition, step.name):
                        heard[said].append(step)
            routes = {said: tuple(steps) for said, steps in heard.items()}
            self._routes[definition.ref] = routes
        return routes.get(key, ())

    async def _answer(
        self, definition: SagaDefinition, step: Step, heard: Recorded, delivery: Delivery
    ) -> Answer:
        fresh = delivery.deliveries == 1 and delivery.age_s < _FRESH_S
        key = heard.fact.key
        trigger = Trigger(sequence=heard.sequence, key=key, owner=not fresh)
        turn = _Turn(definition, step, heard, trigger, {key: heard})
        forward = key in causes(definition, step.name)
        if not (fresh and forward and len(definition.graph.predecessors[step.name]) <= 1):
            turn.facts = await self._read(turn, whole=not forward)
        return await self._act(turn)

    async def _read(self, turn: _Turn, *, whole: bool) -> Facts:
        """The saga as it is now. It must hold the trigger: a replica that is behind is asked again."""
        saga, saga_id, subjects = turn.definition.name, turn.saga_id, self._bus.subjects
        wanted = (
            [subjects.all_of(saga, saga_id)]
            if whole
            else [
                subjects.own(saga, turn.step.name, saga_id),
                subjects.fact(saga, *ABORTED_KEY, saga_id),
                *(subjects.fact(saga, *key, saga_id) for key in causes(turn.definition, turn.step.name)),
            ]
        )
        for attempt in range(1, 11):
            facts = await read_facts(self._bus, saga_id, wanted)
            found = facts.get(turn.trigger.key)
            if found is not None and found.sequence >= turn.trigger.sequence:
                return facts
            await asyncio.sleep(0.01 * attempt)
        raise ReadFailed(
            f"the reading of saga {saga_id} does not hold fact {turn.trigger.sequence} that was heard"
        )

    async def _act(self, turn: _Turn) -> Answer:
        try:
            decision = decide(turn.definition, turn.step.name, turn.facts, turn.trigger)
        except InvalidContract as error:
            failure = Failure(code=CODE_CONDITION_INVALID, message=str(error), effect="none")
            return await self._fail(turn, failure, attempt=1, scope=None)
        match decision:
            case Run(scope, resumed):
                return await self._run(turn, scope, resumed)
            case Skip(scope):
                carried = carry(turn.definition, turn.step.name, scope)
                skipped = StepSkipped(reason=f"condition is false: {turn.step.when}", carried=carried)
                return await self._state_fenced(turn, FactKind.SKIPPED, skipped)
            case Compensate():
                return await self._compensate(turn, decision)
            case StandDown(reason):
                await self._close(turn, FactKind.STOOD_DOWN, StoodDown(reason=reason))
            case Wait(reason) | Ignore(reason):
                log.debug("step.not_due", step=turn.step.name, saga_id=turn.saga_id, reason=reason)
        return _DONE

    # Doing

    async def _run(self, turn: _Turn, scope: Scope, resumed: bool) -> Answer:
        attempt, wait_s = self._attempt(turn, compensation=False)
        if wait_s > 0:
            return Later(wait_s)
        try:
            arguments = turn.step.template.resolve(scope)
            command = self.action.input.model_validate(arguments)
        except (ValidationError, InvalidContract) as error:
            reason = explain(error) if isinstance(error, ValidationError) else str(error)
            failure = Failure(code=CODE_INPUT_INVALID, message=reason, effect="none")
            return await self._fail(turn, failure, attempt=attempt, scope=scope)
        if self.action.compensable and turn.step.compensate and not resumed:
            started = StepStarted(input=arguments, attempt=attempt)
            if not await self._state(turn, FactKind.STARTED, started):
                return await self._refused(turn, failure=None, output=None)
        begun = monotonic()
        end = await attempt_to_do(
            self.action, self._context(turn, attempt), command, self._inbox, turn.step.timeout_s
        )
        match end:
            case Done(output):
                completed = StepCompleted.model_construct(
                    output=output or {},
                    carried=carry(turn.definition, turn.step.name, scope),
                    attempt=attempt,
                    duration_ms=round((monotonic() - begun) * 1000, 3),
                )
                return await self._state_fenced(turn, FactKind.COMPLETED, completed, output=output)
            case Failed(failure):
                return await self._fail(turn, failure, attempt=attempt, scope=scope)
            case Deferred(delay_s):
                return Later(delay_s)
            case Gone():
                log.warning("step.already_undone", step=turn.step.name, saga_id=turn.saga_id)
        return _DONE

    def _attempt(self, turn: _Turn, *, compensation: bool) -> tuple[int, float]:
        """Which attempt this is, and how many seconds too early it comes."""
        failed = turn.facts.get((turn.step.name, FactKind.ATTEMPT_FAILED))
        if failed is None:
            return 1, 0.0
        earlier = AttemptFailed.model_validate(failed.fact.data)
        if earlier.compensation is not compensation:
            return 1, 0.0
        return earlier.attempt + 1, (earlier.not_before - self._clock()).total_seconds()

    async def _fail(self, turn: _Turn, failure: Failure, *, attempt: int, scope: Scope | None) -> Answer:
        delay_s = next_delay_s(turn.step.retry, failure, attempt, self._chance())
        if delay_s is not None:
            return await self._try_again(turn, failure, attempt, delay_s)
        if self._inbox is not None:
            try:
                output = await self._inbox.refuse(EffectKey(turn.saga_id, turn.step.name), failure)
            except AlreadyUndone:
                return _DONE
            if output is not None and scope is not None:
                # Another replica's effect came first, so the step has not failed.
                carried = carry(turn.definition, turn.step.name, scope)
                completed = StepCompleted(output=output, carried=carried, attempt=attempt)
                return await self._state_fenced(turn, FactKind.COMPLETED, completed, output=output)
        carried = carry(turn.definition, turn.step.name, scope) if scope is not None else Carried()
        failed = StepFailed(failure=failure, attempt=attempt, carried=carried)
        if turn.step.on_error == "continue":
            return await self._state_fenced(turn, FactKind.FAILED, failed, failure=failure)
        return await self._abort(turn, failed)

    async def _try_again(self, turn: _Turn, failure: Failure, attempt: int, delay_s: float) -> Answer:
        again = AttemptFailed(
            failure=failure,
            attempt=attempt,
            delay_s=round(delay_s, 3),
            not_before=self._clock() + timedelta(seconds=delay_s),
        )
        log.info(
            "step.attempt_failed", step=turn.step.name, saga_id=turn.saga_id, attempt=attempt,
            code=failure.code, again_in_s=again.delay_s,
        )  # fmt: skip
        if await self._state(turn, FactKind.ATTEMPT_FAILED, again, discriminator=str(attempt)):
            return Later(delay_s)
        return await self._refused(turn, failure=failure, output=None)

    async def _abort(self, turn: _Turn, failed: StepFailed) -> Answer:
        """State `failed` and turn the saga round, in one atomic batch."""
        aborted = SagaAborted(cause="step", step=turn.step.name, failure=failed.failure, by=self.action.name)
        pivot = turn.definition.pivot
        subject = self._subject(turn, FactKind.FAILED)
        messages = [
            outgoing(subject, self._fact(turn, turn.step.name, FactKind.FAILED, failed), self._fence(turn)),
            outgoing(
                self._bus.subjects.fact(turn.definition.name, *ABORTED_KEY, turn.saga_id),
                self._fact(turn, SAGA_STEP, FactKind.ABORTED, aborted),
                Fence(
                    self._bus.subjects.fact(
                        turn.definition.name, pivot.name, FactKind.COMPLETED, turn.saga_id
                    )
                )
                if pivot
                else None,
            ),
        ]
        try:
            await self._bus.publisher.batch(messages)
            return _DONE
        except Fenced:
            turn.facts = await self._read(turn, whole=True)
        if (turn.step.name, FactKind.FAILED) in turn.facts:
            return _DONE
        if ABORTED_KEY in turn.facts:
            return await self._owned(turn, failure=failed.failure, output=None)
        # The pivot has completed: from here the saga only goes forward, and this step waits for a person.
        return await self._state_fenced(turn, FactKind.FAILED, failed, failure=failed.failure)

    # Undoing

    async def _compensate(self, turn: _Turn, decision: Compensate) -> Answer:
        attempt, wait_s = self._attempt(turn, compensation=True)
        if wait_s > 0:
            return Later(wait_s)
        begun = monotonic()
        end = await self._undo(turn, decision, attempt)
        match end:
            case Done() | Gone():
                compensated = StepCompensated(
                    attempt=attempt,
                    output_known=decision.output is not None,
                    duration_ms=round((monotonic() - begun) * 1000, 3),
                )
                await self._close(turn, FactKind.COMPENSATED, compensated)
            case Failed(failure):
                return await self._undo_failed(turn, failure, attempt)
            case Deferred(delay_s):
                return Later(delay_s)
        return _DONE

    async def _undo(self, turn: _Turn, decision: Compensate, attempt: int) -> Attempt:
        try:
            command = self.action.input.model_validate(decision.input)
        except ValidationError as error:
            return Failed(Failure(code=CODE_INPUT_INVALID, message=explain(error), effect="none"))
        context = self._context(turn, attempt)
        return await attempt_to_undo(
            self.action, context, command, decision.output, self._inbox, turn.step.timeout_s
        )

    async def _undo_failed(self, turn: _Turn, failure: Failure, attempt: int) -> Answer:
        # Giving up an undo needs a person, so whatever the reason, it is tried again first.
        again = failure.model_copy(update={"retryable": True})
        delay_s = next_delay_s(turn.step.compensation_retry, again, attempt, self._chance())
        if delay_s is None:
            failed = CompensationFailed(failure=failure, attempt=attempt)
            await self._close(turn, FactKind.COMPENSATION_FAILED, failed)
            log.error(
                "step.compensation_failed", step=turn.step.name, saga_id=turn.saga_id, code=failure.code
            )
            return _DONE
        stated = AttemptFailed(
            failure=failure,
            attempt=attempt,
            delay_s=round(delay_s, 3),
            not_before=self._clock() + timedelta(seconds=delay_s),
            compensation=True,
        )
        fact = self._fact(
            turn, turn.step.name, FactKind.ATTEMPT_FAILED, stated, discriminator=f"undo.{attempt}"
        )
        await self._bus.publisher.state(self._subject(turn, FactKind.ATTEMPT_FAILED), fact)
        return Later(delay_s)

    async def _close(self, turn: _Turn, kind: FactKind, data: BaseModel) -> None:
        """State how the step ends in the wave; a step closes once."""
        subject = self._subject(turn, kind)
        try:
            await self._bus.publisher.state(
                subject, self._fact(turn, turn.step.name, kind, data), Fence(subject)
            )
        except Fenced:
            log.debug("step.already_closed", step=turn.step.name, saga_id=turn.saga_id, kind=kind)

    # Stating

    async def _state_fenced(
        self,
        turn: _Turn,
        kind: FactKind,
        data: BaseModel,
        *,
        failure: Failure | None = None,
        output: dict[str, object] | None = None,
    ) -> Answer:
        if await self._state(turn, kind, data):
            return _DONE
        return await self._refused(turn, failure=failure, output=output)

    async def _state(self, turn: _Turn, kind: FactKind, data: BaseModel, *, discriminator: str = "") -> bool:
        """State a fact unless the saga is aborted. False if the fence has refused it."""
        fact = self._fact(turn, turn.step.name, kind, data, discriminator=discriminator)
        try:
            await self._bus.publisher.state(self._subject(turn, kind), fact, self._fence(turn))
            return True
        except Fenced:
            return False

    async def _refused(
        self, turn: _Turn, *, failure: Failure | None, output: dict[str, object] | None
    ) -> Answer:
        """The saga was aborted while this step was under way: close the step, as its owner."""
        turn.facts = await self._read(turn, whole=True)
        return await self._owned(turn, failure=failure, output=output)

    async def _owned(
        self, turn: _Turn, *, failure: Failure | None, output: dict[str, object] | None
    ) -> Answer:
        turn.trigger = replace(turn.trigger, owner=True, refused=failure)
        decision = decide(turn.definition, turn.step.name, turn.facts, turn.trigger)
        if isinstance(decision, Compensate) and decision.output is None:
            return await self._compensate(turn, replace(decision, output=output))
        if isinstance(decision, StandDown):
            await self._close(turn, FactKind.STOOD_DOWN, StoodDown(reason=decision.reason))
        elif isinstance(decision, Compensate):
            return await self._compensate(turn, decision)
        return _DONE

    def _context(self, turn: _Turn, attempt: int) -> ActionContext:
        fact = turn.heard.fact
        return ActionContext(
            saga_id=fact.sagaid,
            step=turn.step.name,
            action=self.action.name,
            definition=fact.definition,
            attempt=attempt,
            deadline=self._clock() + timedelta(seconds=turn.step.timeout_s),
            clock=self._clock,
            breakers=self._breakers,
            correlation_id=fact.correlationid,
            traceparent=fact.traceparent,
            database=self._database,
            resource=self._resource,
        )

    def _subject(self, turn: _Turn, kind: FactKind) -> str:
        return self._bus.subjects.fact(turn.definition.name, turn.step.name, kind, turn.saga_id)

    def _fence(self, turn: _Turn) -> Fence:
        return Fence(self._bus.subjects.fact(turn.definition.name, *ABORTED_KEY, turn.saga_id))

    def _fact(
        self, turn: _Turn, step: str, kind: FactKind, data: BaseModel, *, discriminator: str = ""
    ) -> Fact:
        about = turn.heard.fact
        return state_fact(
            about=about,
            definition=about.definition,
            saga_id=about.sagaid,
            step=step,
            kind=kind,
            data=data,
            source=self._source,
            time=self._clock(),
            fact_id=fact_id(about.sagaid, step, kind, discriminator),
        )

    def _now_ns(self) -> int:
        return int(self._clock().timestamp() * 1e9)


class _Unanswerable(Exception):
    """A message no participant can answer: a dead letter."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
