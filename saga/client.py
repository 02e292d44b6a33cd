"""Starting and cancelling sagas: whoever does it states a fact; nothing else has to be alive.

A start is idempotent: the saga id is derived from the caller's key, and the fence lets only one
`_saga.started` into the stream for it, for as long as the stream keeps facts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, cast

from pydantic import BaseModel, ValidationError

from contracts.definition import SagaDefinition
from contracts.facts import ABORTED_KEY, STARTED_KEY, FactKind, SagaAborted, SagaStarted, explain, state_fact
from contracts.failure import Conflict, InvalidContract, NotFound
from contracts.ids import fact_id, new_saga_id, saga_id_for
from contracts.subjects import SAGA_STEP, valid_token
from events.bus import Bus
from events.clock import Clock, utc_now
from events.definitions import Definitions
from events.publish import Fence, Fenced
from events.read import read_saga
from saga.choreography import may_abort
from saga.state import fold

MAX_KEY_LENGTH = 255


class InvalidInput(InvalidContract):
    """The input does not fit the definition's input type; `problems` has a pointer and a reason each."""

    code = "saga.input_invalid"

    def __init__(self, message: str, problems: list[dict[str, str]]) -> None:
        super().__init__(message)
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedSaga:
    """`created` is false if the same key had started it before."""

    saga_id: str
    definition: str
    sequence: int
    created: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StartOptions:
    """What may go with a start besides its input."""

    idempotency_key: str | None = None
    saga_id: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    correlation_id: str = ""
    traceparent: str = ""
    source: str = "/client"


class SagaClient:
    """States the facts that start and cancel sagas."""

    def __init__(self, bus: Bus, definitions: Definitions, clock: Clock = utc_now) -> None:
        self._bus = bus
        self._definitions = definitions
        self._clock = clock

    async def start(
        self, definition: str, input: dict[str, Any], options: StartOptions | None = None
    ) -> StartedSaga:
        """Start a saga of `name` (its latest version) or `name@version`; wait until the start is stored.

        Raises NotFound (no such definition), InvalidInput, Conflict (the key started a saga with another
        input or definition before).
        """
        options = options or StartOptions()
        found = await self._find(definition)
        data = validated_input(found, input)
        saga_id = _saga_id(found, options)
        subject = self._bus.subjects.checked_fact(found.name, *STARTED_KEY, saga_id)
        started = SagaStarted(input=data, definition_hash=found.content_hash, labels=dict(options.labels))
        fact = state_fact(
            about=None,
            definition=found.ref,
            saga_id=saga_id,
            step=SAGA_STEP,
            kind=FactKind.STARTED,
            data=started,
            source=options.source,
            time=self._clock(),
            fact_id=fact_id(saga_id, SAGA_STEP, FactKind.STARTED),
            correlation_id=options.correlation_id or saga_id,
            traceparent=options.traceparent,
        )
        try:
            stored = await self._bus.publisher.state(subject, fact, Fence(self._first(saga_id)))
        except Fenced:
            return await self._started_before(found, saga_id, data)
        return StartedSaga(
            saga_id=saga_id, definition=found.ref, sequence=stored.sequence, created=not stored.duplicate
        )

    async def cancel(self, saga_id: str, *, reason: str, by: str) -> int:
        """Turn a saga round; the sequence of the abort.

        Raises NotFound (no such saga), Conflict (ended, aborted already, or past its pivot).
        """
        valid_token(saga_id, "saga id")
        if not reason.strip():
            raise InvalidContract("a cancel needs a reason")
        facts = await read_saga(self._bus, saga_id)
        if not facts:
            raise NotFound(f"no saga {saga_id}")
        ref = facts[0].fact.definition
        definition = await self._definitions.fetch(ref)
        if definition is None:
            raise NotFound(f"no definition {ref}")
        state = fold(definition, facts)
        by_key = {recorded.fact.key: recorded for recorded in facts}
        if state.ended:
            raise Conflict(f"saga {saga_id} has ended: {state.status}")
        if not may_abort(definition, by_key):
            raise Conflict(f"saga {saga_id} is aborted already or past its pivot")
        return await self._abort(definition, saga_id, facts[0].fact.correlationid, reason, by)

    async def _abort(
        self, definition: SagaDefinition, saga_id: str, correlation_id: str, reason: str, by: str
    ) -> int:
        subject = self._bus.subjects.fact(definition.name, *ABORTED_KEY, saga_id)
        pivot = definition.pivot
        fence = (
            self._bus.subjects.fact(definition.name, pivot.name, FactKind.COMPLETED, saga_id)
            if pivot
            else subject
        )
        fact = state_fact(
            about=None,
            definition=definition.ref,
            saga_id=saga_id,
            step=SAGA_STEP,
            kind=FactKind.ABORTED,
            data=SagaAborted(cause="cancel", reason=reason, by=by),
            source="/client",
            time=self._clock(),
            fact_id=fact_id(saga_id, SAGA_STEP, FactKind.ABORTED),
            correlation_id=correlation_id,
        )
        try:
            stored = await self._bus.publisher.state(subject, fact, Fence(fence))
        except Fenced as error:
            raise Conflict(f"saga {saga_id} was aborted, or passed its pivot, in this moment") from error
        if stored.duplicate:
            raise Conflict(f"saga {saga_id} is aborted already")
        before = [one for one in await read_saga(self._bus, saga_id) if one.sequence < stored.sequence]
        if fold(definition, before).ended:
            # Nothing fences an abort on the last step; that it came too late changes nothing.
            raise Conflict(f"saga {saga_id} ended in this moment")
        return stored.sequence

    async def _find(self, definition: str) -> SagaDefinition:
        found = (
            await self._definitions.fetch(definition)
            if "@" in definition
            else self._definitions.latest(definition)
        )
        if found is None:
            known = ", ".join(sorted({known.ref for known in self._definitions.all()})) or "none"
            raise NotFound(f"no definition {definition!r}: there are {known}")
        return found

    def _first(self, saga_id: str) -> str:
        # Whatever the definition: one id starts one saga.
        return self._bus.subjects.all_of_id(saga_id).replace("*.*.*", f"*.{SAGA_STEP}.{FactKind.STARTED}")

    async def _started_before(
        self, definition: SagaDefinition, saga_id: str, data: dict[str, Any]
    ) -> StartedSaga:
        facts = await read_saga(self._bus, saga_id)
        started = next(recorded for recorded in facts if recorded.fact.key == STARTED_KEY)
        if started.fact.definition != definition.ref or started.fact.data.get("input") != data:
            raise Conflict(f"saga {saga_id} was started before, with another input or definition")
        return StartedSaga(
            saga_id=saga_id, definition=definition.ref, sequence=started.sequence, created=False
        )


def _saga_id(definition: SagaDefinition, options: StartOptions) -> str:
    if options.saga_id is not None:
        return valid_token(options.saga_id, "saga id")
    if options.idempotency_key is None:
        return new_saga_id()
    if not 0 < len(options.idempotency_key) <= MAX_KEY_LENGTH:
        raise InvalidContract(f"an idempotency key has 1 to {MAX_KEY_LENGTH} characters")
    return saga_id_for(options.idempotency_key)


def input_model(definition: SagaDefinition) -> type[BaseModel] | None:
    """The model of a definition's input. Raises InvalidContract if the contract it names does not exist."""
    if definition.input_type is None:
        return None
    domain, _, name = definition.input_type.partition(".")
    try:
        return cast(type[BaseModel], getattr(import_module(f"contracts.{domain}"), name))
    except (ImportError, AttributeError) as error:
        raise InvalidContract(f"{definition.ref}: no contract {definition.input_type!r}") from error


def validated_input(definition: SagaDefinition, input: dict[str, Any]) -> dict[str, Any]:
    """The input in its JSON form, checked against the definition's input type. Raises InvalidInput."""
    model = input_model(definition)
    if model is None:
        return input
    try:
        return model.model_validate(input).model_dump(mode="json")
    except ValidationError as error:
        problems = [
            {"pointer": "/" + "/".join(str(part) for part in problem["loc"]), "detail": problem["msg"]}
            for problem in error.errors(include_input=False, include_url=False)
        ]
        raise InvalidInput(f"input of {definition.ref}: {explain(error)}", problems) from error
