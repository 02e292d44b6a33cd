"""A workflow somebody sends, judged whole before anything of it is kept."""

from collections.abc import Iterator, Sequence
from typing import Any

from contracts.checks import InvalidDefinition
from contracts.definition import SagaDefinition
from contracts.failure import InvalidContract
from contracts.nesting import check_nesting
from contracts.pointers import Problem, child
from contracts.references import Reference, rewrite_condition
from contracts.workflows import (
    Compiled,
    GenericStep,
    Workflow,
    WorkflowStep,
    compile_workflow,
    is_inline,
    parse_workflow,
)
from events.definitions import Definitions
from saga.conditions import compile_condition
from saga.json_schemas import check_schema
from saga.workflows.expressions import expression_problems
from saga.workflows.mending import mended

RESERVED = frozenset({"categories", "export", "import", "validate"})
"""Names that the API uses itself."""


def read_workflow(document: Any) -> Workflow:
    """The workflow in JSON data. Raises InvalidDefinition with all that is wrong with its fields."""
    workflow = parse_workflow(document)
    if workflow.name in RESERVED or is_inline(workflow.name):
        raise InvalidDefinition(workflow.name, [Problem("/name", f"{workflow.name} is a reserved name")])
    return workflow


async def judged(document: Any, definitions: Definitions) -> tuple[Workflow, Compiled]:
    """The workflow in JSON data, and the definitions of a first version of it.

    Raises InvalidDefinition with everything that is known to be wrong: what cannot be read does not hide the rest.
    """
    try:
        check_nesting(document, "the workflow")
    except InvalidContract as error:
        raise InvalidDefinition("workflow", [Problem("", str(error))]) from error
    try:
        workflow = read_workflow(document)
    except InvalidDefinition as error:
        problems = error.problems
        if rest := mended(document):
            try:
                await compiled(rest, 1, definitions)
            except InvalidDefinition as more:
                problems = problems + more.problems
        told = dict.fromkeys(Problem(**problem) for problem in problems)
        raise InvalidDefinition("workflow", list(told)) from error
    return workflow, await compiled(workflow, 1, definitions)


async def compiled(workflow: Workflow, version: int | str, definitions: Definitions) -> Compiled:
    """The definitions of a version. Raises InvalidDefinition with everything that is known to be wrong."""
    found: dict[str, SagaDefinition] = {}
    for ref in {step.definition for _, step in _all_steps(workflow.steps, "") if step.type == "CHILD"}:
        if definition := await definitions.fetch(ref):
            found[ref] = definition
    problems = _engine_problems(workflow)
    try:
        made = compile_workflow(workflow, str(version), found.get)
    except InvalidDefinition as error:
        told = [Problem(**problem) for problem in error.problems]
        raise InvalidDefinition(f"{workflow.name}@{version}", list(dict.fromkeys(told + problems))) from error
    if problems:
        raise InvalidDefinition(f"{workflow.name}@{version}", problems)
    return made


def _engine_problems(workflow: Workflow) -> list[Problem]:
    """What only the engines of conditions and schemas can tell."""
    problems = []
    for at, step in _all_steps(workflow.steps, ""):
        if step.when:
            try:
                compile_condition(rewrite_condition(step.when, _without_item))
            except InvalidContract as error:
                problems.append(Problem(f"{at}/when", str(error)))
        if isinstance(step, GenericStep):
            problems += [Problem(at + one.pointer, one.detail) for one in expression_problems(step)]
    if workflow.input_schema is not None:
        try:
            check_schema(workflow.input_schema)
        except InvalidContract as error:
            problems.append(Problem("/input_schema", str(error)))
    return problems


def _without_item(reference: Reference) -> Reference:
    # A body's item is a part of its child's input; where there is none, compiling the workflow says so.
    return Reference("input", ("item", *reference.path)) if reference.root == "item" else reference


def _all_steps(steps: Sequence[WorkflowStep], at: str) -> Iterator[tuple[str, WorkflowStep]]:
    """Every step, those of bodies too, with its pointer."""
    for index, step in enumerate(steps):
        place = f"{at}/steps/{index}"
        yield place, step
        if step.type == "FOR_EACH":
            yield from _all_steps(step.do.steps, f"{place}/do")
        elif step.type == "PARALLEL":
            for name, body in step.branches.items():
                yield from _all_steps(body.steps, child(f"{place}/branches", name))
