"""A workflow that is sent to be run, and enters no catalogue.

Its version is made from its content: the same workflow sent again is the same definition, and executions keep theirs,
whatever is sent later. The name is one for all: a consumer listens to subjects by the names of workflows and steps, so
that a thousand workflows of the same steps cost it no more than one.
"""

import hashlib
from typing import Any

from contracts.definition import SagaDefinition
from contracts.workflows import INLINE
from events.definitions import Definitions
from saga.topology import consumers_for
from saga.workflows.checking import compiled, judged

_DIGITS = 24
_UNNAMED = {"name": "unnamed"}


async def publish_inline(document: dict[str, Any], definitions: Definitions) -> SagaDefinition:
    """The definition of a workflow, known to everybody; the name it was given is `workflow` in the metadata.

    Raises InvalidDefinition with everything that is wrong, before anything is kept.
    """
    workflow, made = await judged(_UNNAMED | document, definitions)
    # What is compiled counts, not what was written: another release may compile the same to something else.
    hashes = "".join(definition.content_hash for definition in (*made.children, made.definition))
    version = hashlib.sha256(hashes.encode()).hexdigest()[:_DIGITS]
    metadata = {**workflow.metadata, "workflow": workflow.name}
    named = workflow.model_copy(update={"name": INLINE, "metadata": metadata})
    made = await compiled(named, version, definitions)
    for definition in (*made.children, made.definition):
        await definitions.publish(definition, consumers_for)
    return made.definition
