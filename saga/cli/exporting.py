"""Finding the definition that is to be exported: shipped by a domain, or in a file, as definition or as workflow."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from contracts.actions import DOMAINS
from contracts.definition import SagaDefinition
from contracts.facts import explain
from contracts.failure import InvalidContract, NotFound, Unusable
from contracts.workflows import compile_workflow
from saga.cli.remote import read_document
from saga.domains import domain_definitions
from saga.workflows.checking import read_workflow


def exported(wanted: str, options: Any) -> Any:
    """The export of a definition. Raises NotFound, InvalidContract, Unusable if hera is not installed."""
    try:
        from saga.export.argo import export
        from saga.export.argo_lint import lint
    except ModuleNotFoundError as error:
        raise Unusable("hera is not installed: pip install 'choreographed-sagas[argo]'") from error
    definition, children = found(wanted)
    made = export(definition, children, options)
    if problems := lint(made.manifest):
        raise InvalidContract(f"{definition.ref} cannot be an Argo Workflow: {'; '.join(problems)}")
    return made


def found(wanted: str) -> tuple[SagaDefinition, dict[str, SagaDefinition]]:
    """A definition, and those there are for its children, by name@version. Raises NotFound, InvalidContract."""
    shipped = {one.ref: one for domain in DOMAINS for one in domain_definitions(domain)}
    if Path(wanted).suffix in (".yaml", ".yml", ".json"):
        document = read_document(wanted)
        if any("action" not in step for step in document.get("steps", [])):
            made = compile_workflow(read_workflow(document), "1", shipped.get)
            return made.definition, shipped | {child.ref: child for child in made.children}
        try:
            return SagaDefinition.model_validate(document), shipped
        except ValidationError as error:
            raise InvalidContract(f"{wanted}: {explain(error)}") from error
    matching = [one for ref, one in shipped.items() if wanted in (ref, one.name)]
    if not matching:
        raise NotFound(f"no definition {wanted!r}: give a file, or one of {', '.join(sorted(shipped))}")
    return matching[-1], shipped
