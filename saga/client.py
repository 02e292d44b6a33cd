"""Starting sagas: whoever does it states a fact; nothing else has to be alive.

A start is idempotent: the saga id is derived from the caller's key, and the fence lets only one
`_saga.started` into the stream for it, for as long as the stream keeps facts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, cast

from pydantic import BaseModel, ValidationError

from contracts.definition import SagaDefinition
from contracts.directives import NO_DIRECTIVES, Directives
from contracts.facts import STARTED_KEY, FactKind, NewFact, Redriven, SagaStarted, explain, state_fact
from contracts.failure import Conflict, InvalidContract, NotFound
from contracts.ids import fact_id, new_saga_id, saga_id_for
from contracts.nesting import check_nesting
from contracts.subjects import SAGA_STEP, valid_token
from contracts.timers import Timer, deadline_of
from contracts.workflows import is_inline
from events import timers
from events.publish import Fence, Fenced
from events.read import read_saga
from saga.interventions import Interventions
from saga.json_schemas import schema_errors

MAX_KEY_LENGTH = 255
_MAX_PROBLEMS = 100


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
    """What may go with a start besides its input. `deadline_s` counts instead of the definition's; `redriven` and
    `directives.redrives` come together, with a redrive (`saga.redriving`)."""

    idempotency_key: str | None = None
    saga_id: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    directives: Directives = NO_DIRECTIVES
    correlation_id: str = ""
    traceparent: str = ""
    source: str = "/client"
    deadline_s: float | None = None
    redriven: Redriven | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedStart:
    """The fact that starts a saga, its fence, and the timer of its deadline."""

    saga_id: str
    definition: SagaDefinition
    input: dict[str, Any]
    subject: str
    fact: NewFact
    fence: Fence
    timer: Timer | None


class SagaClient(Interventions):
    """States the facts that start sagas, and those by which people intervene."""

    async def start(
        self, definition: str, input: dict[str, Any], options: StartOptions | None = None
    ) -> StartedSaga:
        """Start a saga of `name` (its latest version) or `name@version`; wait until the start is stored.

        Raises NotFound (no such definition), InvalidInput, Conflict (the key started a saga with another
        input or definition before).
        """
        prepared = await self.prepare(definition, input, options)
        found, saga_id = prepared.definition, prepared.saga_id
        try:
            stored = await self._bus.publisher.state(prepared.subject, prepared.fact, prepared.fence)
        except Fenced:
            return await self._started_before(found, saga_id, prepared.input)
        if prepared.timer is not None:
            # The first step arms it, too; this one counts while that service is away.
            await timers.arm(self._bus, prepared.timer)
        return StartedSaga(
            saga_id=saga_id, definition=found.ref, sequence=stored.sequence, created=not stored.duplicate
        )

    async def prepare(
        self, definition: str, input: dict[str, Any], options: StartOptions | None = None
    ) -> PreparedStart:
        """What a start would state, checked. Raises NotFound (no such definition), InvalidInput, InvalidContract."""
        options = options or StartOptions()
        if options.directives.redrives is not None and options.redriven is None:
            raise InvalidContract("the directive `redrives` is for redrives alone: leave it out")
        found = await self._find(definition)
        data = validated_input(found, input)
        saga_id = saga_id_of(options)
        begun = self._clock()
        subject = self._bus.subjects.checked_fact(found.name, *STARTED_KEY, saga_id)
        if options.deadline_s is not None and options.deadline_s <= 0:
            raise InvalidContract(f"deadline_s of {options.deadline_s:g}: expected more than 0")
        started = SagaStarted(
            input=data,
            definition_hash=found.content_hash,
            labels=dict(options.labels),
            deadline_s=options.deadline_s,
            redriven=options.redriven,
        )
        fact = state_fact(
            about=None,
            definition=found.ref,
            saga_id=saga_id,
            step=SAGA_STEP,
            kind=FactKind.STARTED,
            data=started,
            source=options.source,
            time=begun,
            fact_id=fact_id(saga_id, SAGA_STEP, FactKind.STARTED),
            correlation_id=options.correlation_id or saga_id,
            traceparent=options.traceparent,
            directives=options.directives.encode(),
        )
        due = deadline_of(found, begun, options.deadline_s)
        timer = Timer(saga_id=saga_id, definition=found.ref, due=due) if due else None
        return PreparedStart(
            saga_id=saga_id,
            definition=found,
            input=data,
            subject=subject,
            fact=fact,
            fence=Fence(self._first(saga_id)),
            timer=timer,
        )

    async def _find(self, definition: str) -> SagaDefinition:
        found = (
            await self._definitions.fetch(definition)
            if "@" in definition
            else self._definitions.latest(definition)
        )
        if found is None:
            known = {known.ref for known in self._definitions.all() if not is_inline(known.name)}
            raise NotFound(f"no definition {definition!r}: there are {', '.join(sorted(known)) or 'none'}")
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


def saga_id_of(options: StartOptions) -> str:
    """The id of the saga that a start with these options starts. Raises InvalidContract."""
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


def _check_by_schema(definition: SagaDefinition, input: dict[str, Any]) -> None:
    if definition.input_schema is None:
        return
    if errors := schema_errors(input, definition.input_schema):
        problems = [{"pointer": error.pointer, "detail": error.message} for error in errors[:_MAX_PROBLEMS]]
        text = "; ".join(f"{problem['pointer']}: {problem['detail']}" for problem in problems)
        raise InvalidInput(f"input of {definition.ref}: {text:.2000}", problems)


def validated_input(definition: SagaDefinition, input: dict[str, Any]) -> dict[str, Any]:
    """The input in its JSON form, checked against the definition's input type or schema.

    Raises InvalidInput, InvalidContract if it is nested too deep for those who would have to read it.
    """
    check_nesting(input, f"the input of {definition.ref}")
    model = input_model(definition)
    if model is None:
        _check_by_schema(definition, input)
        return input
    try:
        return model.model_validate(input).model_dump(mode="json")
    except ValidationError as error:
        problems = [
            {"pointer": "/" + "/".join(str(part) for part in problem["loc"]), "detail": problem["msg"]}
            for problem in error.errors(include_input=False, include_url=False)
        ]
        raise InvalidInput(f"input of {definition.ref}: {explain(error)}", problems) from error
