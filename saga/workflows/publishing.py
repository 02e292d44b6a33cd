"""Giving a workflow its next version number, and making the definitions of that version known."""

from collections.abc import Iterable

from pydantic_core import to_json

from contracts.catalogue import document_of
from contracts.definition import SagaDefinition
from contracts.failure import Conflict
from contracts.workflows import Workflow
from events.definitions import Definitions
from events.workflows import WorkflowBucket
from saga.topology import consumers_for
from saga.workflows.checking import compiled

_NUMBERS = 100


async def publish_version(
    workflow: Workflow, first: int, bucket: WorkflowBucket, definitions: Definitions
) -> int:
    """Keep and publish it under the first number that is free, from `first` on; the number.

    Raises InvalidDefinition with everything that is wrong, before anything is kept; Conflict.
    """
    document = to_json(document_of(workflow))
    for number in range(first, first + _NUMBERS):
        made = await compiled(workflow, number, definitions)
        parts = (*made.children, made.definition)
        if await _any_taken(parts, definitions):
            continue
        if await bucket.keep_document(workflow.name, number, document):
            for definition in parts:
                await definitions.publish(definition, consumers_for)
            return number
    raise Conflict(f"workflow {workflow.name}: versions {first} to {number} are taken by other definitions")


async def refuse_foreign(name: str, bucket: WorkflowBucket, definitions: Definitions) -> None:
    """Raises Conflict if a definition has that name which is no leftover of a workflow's version."""
    known = definitions.latest(name)
    if known is None or (known.version.isdigit() and await bucket.document(name, int(known.version))):
        return
    raise Conflict(f"there is a definition {known.ref} that is no workflow: choose another name")


async def _any_taken(wanted: Iterable[SagaDefinition], definitions: Definitions) -> bool:
    for definition in wanted:
        present = await definitions.fetch(definition.ref)
        if present is not None and present.content_hash != definition.content_hash:
            return True
    return False
