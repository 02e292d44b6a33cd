"""A definition against the contracts of the actions it uses, before anybody can start a saga of it.

Only what can be known is judged: actions of domains that are not among ours have contracts elsewhere.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

from pydantic import BaseModel, ValidationError

from contracts.actions import DOMAINS, ActionContract, domain_actions
from contracts.definition import SagaDefinition, Step
from contracts.failure import InvalidContract
from contracts.fitting import Shape, kind_of
from contracts.pointers import Problem, child, parts_of
from contracts.references import Reference, Use, compile_template

type FindContract = Callable[[str], ActionContract | None]
"""The contract of an action by its name; None if it is not known here"""

_CERTAIN = ("missing", "extra_forbidden")


class InvalidDefinition(InvalidContract):
    """The definition cannot work; `problems` has a pointer into the definition and a reason each."""

    code = "definition.invalid"

    def __init__(self, ref: str, problems: list[Problem]) -> None:
        super().__init__(f"{ref}: {'; '.join(map(str, problems))}")
        self.problems = [{"pointer": problem.pointer, "detail": problem.detail} for problem in problems]


def check_contracts(definition: SagaDefinition) -> None:
    """Raises InvalidDefinition with everything that `contract_problems` finds."""
    if problems := contract_problems(definition):
        raise InvalidDefinition(definition.ref, problems)


def contract_of(action: str) -> ActionContract | None:
    """The contract of an action of one of our domains; None if it is of none of them, or unknown there."""
    domain = action.partition(".")[0]
    return _actions(domain).get(action) if domain in DOMAINS else None


def contract_problems(definition: SagaDefinition, find: FindContract = contract_of) -> list[Problem]:
    """Unknown actions, input an action would refuse in any case, references to fields that cannot exist."""
    return problems_of_steps(definition.steps, definition.input_type, definition.input_schema, find)


def problems_of_steps(
    steps: Sequence[Step],
    input_type: str | None,
    input_schema: dict[str, Any] | None,
    find: FindContract = contract_of,
) -> list[Problem]:
    """As `contract_problems`, for steps that need not make a definition: their names and order may be wrong."""
    known = _Known({step.name: step for step in steps}, input_type, input_schema, find)
    return [
        *_input_type_problems(input_type),
        *(
            Problem(f"/steps/{index}{problem.pointer}", problem.detail)
            for index, step in enumerate(steps)
            if not step.problems
            for problem in _step_problems(known, step)
        ),
    ]


@dataclass(frozen=True, slots=True)
class _Known:
    """What steps may refer to."""

    steps: Mapping[str, Step]
    input_type: str | None
    input_schema: dict[str, Any] | None
    find: FindContract


def _input_type_problems(input_type: str | None) -> Iterator[Problem]:
    if input_type is not None and _input_model(input_type) is None:
        yield Problem("/input_type", f"no contract {input_type!r}: expected domain.Model")


def _step_problems(known: _Known, step: Step) -> Iterator[Problem]:
    domain = step.action.partition(".")[0]
    contract = known.find(step.action)
    if contract is not None:
        yield from _argument_problems(step, contract)
    elif domain in DOMAINS:
        yield Problem("/action", f"no action {step.action!r}: {domain} has {', '.join(_actions(domain))}")
    for use in step.uses:
        yield from _reference_problems(known, use)


def _argument_problems(step: Step, contract: ActionContract) -> Iterator[Problem]:
    """What is wrong with the input whatever its references yield: literal values, unknown and missing fields."""
    try:
        contract.input.model_validate(step.input)
    except ValidationError as error:
        found: dict[str, str] = {}
        for problem in error.errors(include_url=False, include_context=False):
            # What holds a reference is not known yet; but a field that is missing or unknown stays so.
            certain = problem["type"] in _CERTAIN and len(problem["loc"]) == 1
            if _refers(problem["input"]) and not certain:
                continue
            pointer = _place(step.input, problem["loc"], keep_last=problem["type"] == "missing")
            if pointer is None:
                continue
            detail = (
                f"{contract.name} takes no such field"
                if problem["type"] == "extra_forbidden"
                else problem["msg"]
            )
            found.setdefault(f"/input{pointer}", detail)
        yield from (Problem(pointer, detail) for pointer, detail in found.items())


def _refers(value: Any) -> bool:
    return bool(compile_template(value).uses)


def _place(value: Any, location: tuple[int | str, ...], *, keep_last: bool) -> str | None:
    """The pointer of a validation error, without the names of the unions' members on its way.

    None if it speaks of one member of several, and which of them is meant depends on a reference.
    """
    pointer = ""
    for position, part in enumerate(location):
        there = (
            part in value if isinstance(value, dict) else isinstance(value, list) and isinstance(part, int)
        )
        if there:
            pointer, value = child(pointer, part), value[part]
        elif keep_last and position == len(location) - 1:
            pointer = child(pointer, part)
        elif _refers(value):
            return None
    return pointer


def _reference_problems(known: _Known, use: Use) -> Iterator[Problem]:
    schema, path, named = _refers_to(known, use.reference)
    if schema is not None and (missing := Shape(schema, schema).lacks(path)):
        yield Problem(use.pointer, f"${{{use.reference.text}}}: {named} has {missing}")


def _refers_to(
    known: _Known, reference: Reference
) -> tuple[dict[str, Any] | None, tuple[str | int, ...], str]:
    """The schema that a reference leads into, the path within it, and what to call it; None if not known."""
    if reference.step is None:
        model, path = _input_model(known.input_type) if known.input_type else None, reference.path
        schema = _schema(model) if model else known.input_schema
    else:
        step = known.steps.get(reference.step)
        contract = known.find(step.action) if step else None
        model, path = (contract.output if contract else None), reference.path[1:]
        schema = _schema(model) if model else None
    return schema, path, model.__name__ if model else "the input's schema"


def shape_of(definition: SagaDefinition, reference: Reference) -> Shape:
    """What a reference yields, as far as contracts say it."""
    known = _Known(definition.by_name, definition.input_type, definition.input_schema, contract_of)
    root, path, _ = _refers_to(known, reference)
    return Shape(root, root).at(path) if root is not None else Shape(True, {})


def input_shape(definition: SagaDefinition) -> Shape:
    """What a definition takes as its input, as far as it says it."""
    model = _input_model(definition.input_type) if definition.input_type else None
    root = _taken(model) if model else definition.input_schema
    return Shape(root, root) if root is not None else Shape(True, {})


def taken_at(step: Step, pointer: str) -> Shape:
    """What a step's action takes at a JSON pointer into the step's input, as far as its contract says it."""
    contract = contract_of(step.action)
    if contract is None:
        return Shape(True, {})
    root, value = _taken(contract.input), step.input
    found = Shape(root, root)
    for part in parts_of(pointer):
        if kind_of(value) not in (found.kinds() or ()):
            # It is taken in another form than the one that the schema tells.
            return Shape(True, {})
        found, value = found.at([part]), value[int(part) if isinstance(value, list) else part]
    return found


def listed_values(definition: SagaDefinition, reference: Reference) -> list[Any] | None:
    """The only values that a reference can yield, if a contract lists them."""
    return shape_of(definition, reference).listed()


@cache
def _actions(domain: str) -> dict[str, ActionContract]:
    return {contract.name: contract for contract in domain_actions(domain)}


@cache
def _taken(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    # What a step reads is what was stated: the JSON that a model is written as.
    return model.model_json_schema(mode="serialization")


def _input_model(input_type: str) -> type[BaseModel] | None:
    domain, _, name = input_type.partition(".")
    try:
        found = getattr(import_module(f"contracts.{domain}"), name, None)
    except ImportError:
        return None
    return found if isinstance(found, type) and issubclass(found, BaseModel) else None
