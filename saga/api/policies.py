"""`/api/v1/policies/{action}`: the policy that counts for an action or a step, and where each value comes from.

As this process sees it: its code, and the operator's file that it was given (`SAGA_POLICIES`).
"""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from contracts.failure import InvalidContract, NotFound
from contracts.policies import Setting
from saga import registry
from saga.api.parts import Parts
from saga.policies import policy_of, read_policies
from saga.service import ServiceSettings

_Name = Annotated[str, Query(max_length=128)]


class PolicyAnswer(BaseModel):
    """`settings` in the order of the policy's fields; a permission of each level is one of its own."""

    action: str
    step: str
    settings: tuple[Setting, ...]


def router(parts: Parts) -> APIRouter:
    """The routes over these parts."""
    routes = APIRouter(prefix="/api/v1/policies", tags=["policies"])

    @routes.get("/{action}", operation_id="explainPolicy")
    async def explain(action: str, definition: _Name = "", step: _Name = "") -> PolicyAnswer:
        contract = registry.find(action)
        if contract is None:
            raise NotFound(f"no contract of action {action} is known here")
        used = None
        if definition or step:
            if not (definition and step):
                raise InvalidContract("a step is one of a definition: give both")
            found = (
                await parts.definitions.fetch(definition)
                if "@" in definition
                else parts.definitions.latest(definition)
            )
            if found is None:
                raise NotFound(f"no definition {definition}")
            used = found.step(step)
            if used.action != action:
                raise InvalidContract(f"step {step} of {found.ref} is one of {used.action}, not of {action}")
        settings = policy_of(contract, read_policies(ServiceSettings().policies), used).settings
        return PolicyAnswer(action=action, step=step, settings=settings)

    return routes
