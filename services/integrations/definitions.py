"""No workflow is shipped: the steps are for those that are written by their users."""

from contracts.definition import SagaDefinition

DEFINITIONS: tuple[SagaDefinition, ...] = ()
