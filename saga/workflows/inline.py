"""A workflow that is sent to be run, and enters no catalogue.

Its definitions are published below a name made from their content: the same workflow sent again is the same
definition, and executions keep theirs, whatever is sent later.
"""

import hashlib

from contracts.definition import SagaDefinition
from contracts.workflows import INLINE, Compiled, Workflow
from events.definitions import Definitions
from saga.topology import consumers_for
from saga.workflows.checking import compiled

_DIGITS = 16
_VERSION = 1


async def publish_inline(workflow: Workflow, definitions: Definitions) -> SagaDefinition:
    """The definition of a workflow, known to everybody; its own name is kept as `workflow` in the metadata.

    Raises InvalidDefinition with everything that is wrong, before anything is kept.
    """
    # What is compiled is addressed, not what was written: another release may compile the same to something else.
    made = await _named("0" * _DIGITS, workflow, definitions)
    hashes = "".join(definition.content_hash for definition in (*made.children, made.definition))
    made = await _named(hashlib.sha256(hashes.encode()).hexdigest()[:_DIGITS], workflow, definitions)
    for definition in (*made.children, made.definition):
        await definitions.publish(definition, consumers_for)
    return made.definition


async def _named(digits: str, workflow: Workflow, definitions: Definitions) -> Compiled:
    metadata = {**workflow.metadata, "workflow": workflow.name}
    named = workflow.model_copy(update={"name": f"{INLINE}{digits}", "metadata": metadata})
    return await compiled(named, _VERSION, definitions)
