"""`/api/v1/definitions`: the contracts. A version is immutable, its ETag is its content hash."""

from typing import Any

from fastapi import APIRouter, Response

from contracts.definition import SagaDefinition
from contracts.failure import NotFound
from contracts.workflows import is_inline
from saga.api.models import DefinitionPage, DefinitionSummary
from saga.api.parts import Parts
from saga.checks import check_definition
from saga.topology import consumers_for


def router(parts: Parts) -> APIRouter:
    """The routes over these parts."""
    routes = APIRouter(prefix="/api/v1/definitions", tags=["definitions"])

    @routes.get("", operation_id="listDefinitions")
    async def list_definitions(inline: bool = False) -> DefinitionPage:
        """All there are; with `inline`, also those that were sent to be run once."""
        known = sorted(parts.definitions.all(), key=lambda definition: definition.ref)
        shown = [one for one in known if inline or not is_inline(one.name)]
        return DefinitionPage(items=[_summary(definition) for definition in shown])

    @routes.get("/{name}", operation_id="getLatestDefinition")
    async def latest(name: str, response: Response) -> dict[str, Any]:
        return _found(parts.definitions.latest(name), name, response)

    @routes.get("/{name}/{version}", operation_id="getDefinition")
    async def get(name: str, version: str, response: Response) -> dict[str, Any]:
        ref = f"{name}@{version}"
        return _found(await parts.definitions.fetch(ref), ref, response)

    @routes.post("", status_code=201, operation_id="publishDefinition")
    async def publish(definition: SagaDefinition, response: Response) -> DefinitionSummary:
        check_definition(definition)
        await parts.definitions.publish(definition, consumers_for)
        response.headers["Location"] = f"/api/v1/definitions/{definition.name}/{definition.version}"
        response.headers["ETag"] = f'"{definition.content_hash}"'
        return _summary(definition)

    return routes


def _found(definition: SagaDefinition | None, ref: str, response: Response) -> dict[str, Any]:
    if definition is None:
        raise NotFound(f"no definition {ref}")
    response.headers["ETag"] = f'"{definition.content_hash}"'
    return definition.model_dump(mode="json")


def _summary(definition: SagaDefinition) -> DefinitionSummary:
    return DefinitionSummary(
        name=definition.name,
        version=definition.version,
        description=definition.description,
        steps=len(definition.steps),
        content_hash=definition.content_hash,
    )
