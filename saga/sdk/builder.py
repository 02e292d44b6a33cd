"""Building a definition in code: `WorkflowBuilder("name").add_step(...).build()`.

Every call gives a new builder, so a half-built one can be kept and gone on with in two ways. Nothing is judged
before `build`, which then says everything that is wrong at once, with a JSON pointer into what was built
(`/steps/1/params/casefile_id`). What it gives is a `SagaDefinition` like any other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

from pydantic import BaseModel, ValidationError

from contracts.actions import ActionContract
from contracts.checks import InvalidDefinition, problems_of_steps
from contracts.definition import SagaDefinition, Step, flaws
from contracts.failure import NotFound
from contracts.pointers import Problem, place
from contracts.retries import NoRetry, RetryPolicy
from saga import registry
from saga.action import Action
from saga.checks import definition_problems

type ExecutionMode = Literal["sequential", "parallel", "dag"]
type ErrorHandling = Literal["stop_on_failure", "continue_on_failure"]

_MODES = ("sequential", "parallel", "dag")
_ON_ERROR: Mapping[str, str] = {"stop_on_failure": "abort", "continue_on_failure": "continue"}
_WRITTEN = {"input": "params", "after": "depends_on"}
_UNKNOWN = "unknown.action"
_VERSION_DIGITS = 12


@dataclass(frozen=True, slots=True)
class _Drafted:
    """A step as it was added: what the definition shall hold of it, and the order that was asked for."""

    action: str | Action | None
    depends_on: tuple[str, ...]
    fields: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.fields["name"])


@dataclass(frozen=True, slots=True)
class WorkflowBuilder:
    """A definition in the making. `domain` is where actions are looked for first that are named by their last part."""

    name: str
    domain: str = ""
    _drafts: tuple[_Drafted, ...] = ()
    _mode: ExecutionMode = "sequential"
    _for_steps: Mapping[str, Any] = field(default_factory=dict)
    _for_all: Mapping[str, Any] = field(default_factory=dict)
    _problems: tuple[Problem, ...] = ()

    def add_step(
        self,
        name: str,
        *,
        action: str | Action | None = None,
        params: Mapping[str, Any] | None = None,
        depends_on: Sequence[str] = (),
        when: str | None = None,
        retry: RetryPolicy | int | None = None,
        timeout_s: float | None = None,
        on_error: ErrorHandling | None = None,
        compensate: bool | None = None,
        pivot: bool = False,
        description: str = "",
    ) -> Self:
        """One use of an action. Without `action` the step's name is also the action's (or its last part).

        `params` may hold `${steps.name.field}` and `${input.field}`. `when` is a CEL condition. `timeout_s` is of
        one attempt, in seconds. `pivot`: once it has completed, the saga only goes forward. What is not given is
        taken from the builder (`with_retry` and others), then from the action's policy.
        """
        given: dict[str, Any] = {
            "when": when,
            "retry": _policy(retry) if retry is not None else None,
            "timeout_s": timeout_s,
            "on_error": _ON_ERROR.get(on_error, on_error) if on_error else None,
            "compensate": compensate,
            "pivot": pivot or None,
            "description": description or None,
        }
        fields: dict[str, Any] = {"name": name, "input": dict(params or {})}
        fields |= {key: value for key, value in given.items() if value is not None}
        return replace(self, _drafts=(*self._drafts, _Drafted(action, tuple(depends_on), fields)))

    def with_execution_mode(self, mode: ExecutionMode) -> Self:
        """`sequential` (the default): one after the other; `parallel`: all at once; `dag`: as `depends_on` says."""
        if mode not in _MODES:
            return self._refuse("/mode", f"no mode {mode!r}: expected {', '.join(_MODES)}")
        return replace(self, _mode=mode)

    def with_error_handling(self, handling: ErrorHandling) -> Self:
        """`stop_on_failure` (the default): a step that fails for good turns the saga round, and what was done is
        undone. `continue_on_failure`: the steps after it still run, without its output."""
        if handling not in _ON_ERROR:
            expected = ", ".join(_ON_ERROR)
            return self._refuse("/error_handling", f"no handling {handling!r}: expected {expected}")
        return self._steps_get(on_error=_ON_ERROR[handling])

    def with_timeout(self, seconds: float) -> Self:
        """How long the whole saga may take from its start; then it turns round."""
        return replace(self, _for_all={**self._for_all, "deadline_s": seconds})

    def with_retry(self, retry: RetryPolicy | int) -> Self:
        """How failed attempts are repeated: a policy, or how many attempts there are in all."""
        return self._steps_get(retry=_policy(retry))

    def with_step_timeout(self, seconds: float) -> Self:
        """How long one attempt of a step may take."""
        return self._steps_get(timeout_s=seconds)

    def with_compensation(self, enabled: bool = True, *, retry: RetryPolicy | int | None = None) -> Self:
        """Whether what was done is undone when the saga turns round, and how a failed undo is repeated."""
        policy = {} if retry is None else {"compensation_retry": _policy(retry)}
        return self._steps_get(compensate=enabled, **policy)

    def with_input(self, input: type[BaseModel] | Mapping[str, Any]) -> Self:
        """What the saga is started with: a model, or a JSON Schema. Without it, whatever the steps refer to."""
        schema = dict(input) if isinstance(input, Mapping) else input.model_json_schema()
        return replace(self, _for_all={**self._for_all, "input_schema": schema})

    def with_description(self, description: str) -> Self:
        return replace(self, _for_all={**self._for_all, "description": description})

    def with_version(self, version: str) -> Self:
        """A version of your choice; without it, it is made of the content: another content, another version."""
        return replace(self, _for_all={**self._for_all, "version": version})

    def build(self) -> SagaDefinition:
        """The definition. Raises InvalidDefinition, whose `problems` are all that is wrong with it."""
        problems = list(self._problems)
        contracts, actions = self._contracts(problems)
        steps = [
            {
                **self._for_steps,
                **draft.fields,
                "action": actions[index],
                "after": self._after(index, problems),
            }
            for index, draft in enumerate(self._drafts)
        ]
        steps = [_mended(index, step, problems) for index, step in enumerate(steps)]
        try:
            definition = SagaDefinition.model_validate({"name": self.name, "steps": steps, **self._for_all})
        except ValidationError as error:
            alone = _alone(steps, self._for_all.get("input_schema"), contracts)
            raise self._invalid([*problems, *flaws(error), *alone]) from error
        if definition.input_schema is None:
            definition = definition.model_copy(update={"input_schema": _schema_of(definition)})
        problems += definition_problems(definition, contracts.get)
        if problems:
            raise self._invalid(problems)
        if "version" in self._for_all:
            return definition
        return definition.model_copy(update={"version": definition.content_hash[:_VERSION_DIGITS]})

    def _contracts(self, problems: list[Problem]) -> tuple[dict[str, ActionContract], list[str]]:
        """The contracts by the names of their actions, and every step's action."""
        contracts: dict[str, ActionContract] = {}
        actions: list[str] = []
        for index, draft in enumerate(self._drafts):
            wanted = draft.action or draft.name
            try:
                contract = (
                    wanted.contract if isinstance(wanted, Action) else registry.resolve(wanted, self.domain)
                )
            except NotFound as error:
                problems.append(Problem(f"/steps/{index}/action", str(error)))
                actions.append(_UNKNOWN)
                continue
            contracts[contract.name] = contract
            actions.append(contract.name)
        return contracts, actions

    def _after(self, index: int, problems: list[Problem]) -> tuple[str, ...]:
        draft, before = self._drafts[index], [draft.name for draft in self._drafts[:index]]
        if self._mode == "dag":
            return draft.depends_on
        at = f"/steps/{index}/depends_on"
        if self._mode == "parallel" and draft.depends_on:
            problems.append(Problem(at, "in parallel mode nothing waits for another step: use the mode dag"))
        if self._mode == "parallel" or not before:
            return ()
        problems += [
            Problem(at, f"{name!r} is not before it: sequential steps run in the order they were added")
            for name in draft.depends_on
            if name not in before
        ]
        return (before[-1],)

    def _invalid(self, problems: list[Problem]) -> InvalidDefinition:
        written = [Problem(_written(problem.pointer), problem.detail) for problem in problems]
        return InvalidDefinition(self.name, list(dict.fromkeys(written)))

    def _steps_get(self, **fields: Any) -> Self:
        return replace(self, _for_steps={**self._for_steps, **fields})

    def _refuse(self, pointer: str, detail: str) -> Self:
        return replace(self, _problems=(*self._problems, Problem(pointer, detail)))


def _policy(retry: RetryPolicy | int) -> RetryPolicy | dict[str, Any]:
    if not isinstance(retry, int):
        return retry
    # As data, so that a number out of range is a problem of the definition like any other.
    return NoRetry() if retry == 1 else {"kind": "exponential", "max_attempts": retry}


def _mended(index: int, fields: dict[str, Any], problems: list[Problem]) -> dict[str, Any]:
    """The step without the options that are wrong, so that everything else about it can be judged, too."""
    try:
        Step.model_validate(fields)
    except ValidationError as error:
        found = error.errors(include_url=False)
        problems += [Problem(f"/steps/{index}{place(fields, one['loc'])}", one["msg"]) for one in found]
        wrong = {str(one["loc"][0]) for one in found} - {"name", "action"}
        return {key: value for key, value in fields.items() if key not in wrong}
    return fields


def _alone(
    steps: Sequence[Mapping[str, Any]], schema: dict[str, Any] | None, contracts: Mapping[str, ActionContract]
) -> list[Problem]:
    """What is wrong with each step against the contracts, where the steps do not make a definition."""
    try:
        return problems_of_steps([Step.model_validate(step) for step in steps], None, schema, contracts.get)
    except ValidationError:
        # A step without a proper name, which is told already: nothing can refer to it.
        return []


def _schema_of(definition: SagaDefinition) -> dict[str, Any] | None:
    """A schema of what the steps need of the input, so that a start that lacks it is refused and not the step."""
    names: dict[str, bool] = {}
    for step in definition.steps:
        for use in step.uses:
            if use.reference.step is None:
                needed = not use.reference.optional and step.when is None
                name = str(use.reference.path[0])
                names[name] = names.get(name, False) or needed
    if not names:
        return None
    required = [name for name, needed in names.items() if needed]
    return {"type": "object", "properties": {name: {} for name in names}, "required": required}


def _written(pointer: str) -> str:
    """The pointer in the words of the builder."""
    parts = pointer.split("/")
    if len(parts) > 3 and parts[1] == "steps":
        parts[3] = _WRITTEN.get(parts[3], parts[3])
    return "/".join(parts)
