"""What `saga run` does: one saga in one process, with an embedded server and the participants it needs."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_jsonable_python

from contracts.actions import DOMAINS
from contracts.checks import InvalidDefinition
from contracts.definition import SagaDefinition, flaws
from contracts.failure import InvalidContract, NotFound
from contracts.workflows import compile_workflow, parse_workflow
from saga import registry
from saga.checks import definition_problems
from saga.cli.output import say
from saga.cli.remote import read_document, read_json
from saga.domains import domain_definitions
from saga.sdk.builder import WorkflowBuilder
from saga.sdk.local import local
from saga.sdk.results import WorkflowResult

_VERSION = "1"


def find_definition(what: str) -> SagaDefinition:
    """The first of `find_definitions`."""
    return find_definitions(what)[0]


def find_definitions(what: str) -> list[SagaDefinition]:
    """A definition from a JSON or YAML file (also a workflow), from `module:name` in Python, or a shipped one by its
    name; and after it those that may be its children.

    Raises NotFound, InvalidDefinition with pointers.
    """
    if Path(what).is_file():
        return _of_file(what, read_document(what))
    if ":" in what:
        return [_from_module(what)]
    names: list[str] = []
    for domain in DOMAINS:
        shipped = domain_definitions(domain)
        names += [one.name for one in shipped]
        if found := [one for one in shipped if one.name == what]:
            return [found[-1], *(one for one in shipped if one.name != what)]
    raise NotFound(
        f"no definition {what!r}: expected a file, module:name, or one of {', '.join(sorted(names))}"
    )


def _of_file(file: str, document: dict[str, Any]) -> list[SagaDefinition]:
    if any(isinstance(step, dict) and "type" in step for step in document.get("steps") or ()):
        compiled = compile_workflow(parse_workflow(document), _VERSION)
        return [compiled.definition, *compiled.children]
    try:
        definition = SagaDefinition.model_validate(document)
    except ValidationError as error:
        raise InvalidDefinition(file, flaws(error)) from error
    if problems := definition_problems(definition, registry.find):
        raise InvalidDefinition(file, problems)
    return [definition]


def _from_module(what: str) -> SagaDefinition:
    module, _, name = what.partition(":")
    sys.path.insert(0, "")
    try:
        found = getattr(import_module(module), name, None)
    except ModuleNotFoundError as error:
        raise NotFound(f"no module {module!r} to be imported from here: {error}") from error
    if isinstance(found, WorkflowBuilder):
        return found.build()
    if not isinstance(found, SagaDefinition):
        raise InvalidContract(f"{what} is no definition and no builder, but {type(found).__name__}")
    return found


def read_input(source: str) -> dict[str, Any]:
    """An object from a JSON or YAML file, from JSON text, or `-`. Raises InvalidContract, NotFound."""
    if source == "-" or source.lstrip().startswith("{"):
        return read_json(source)
    return read_document(source)


async def run(
    what: str, input: dict[str, Any], *, user_id: str, data: Path | None, timeout_s: float
) -> WorkflowResult:
    """Run a saga to its end and tell its facts on the way. Raises NotFound, InvalidInput, NotEnded."""
    definition, *children = find_definitions(what)
    async with local(data) as client:
        for child in children:
            await client.prepare(child)
        handle = await client.start(definition, user_id=user_id, context=input)
        say(f"{definition.ref} {handle.saga_id}")
        result = await handle.result(timeout_s=timeout_s)
        for moment in result.log:
            say(f"{moment.offset_ms:>10.1f} ms  {moment.text}")
        return result


def shown(result: WorkflowResult) -> dict[str, Any]:
    """The result as JSON data."""
    shown: dict[str, Any] = to_jsonable_python(result)
    return shown
