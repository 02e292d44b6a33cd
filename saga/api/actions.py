"""`/api/v1/actions`: what can be done, by whom it is promised, and who offers it now."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from contracts.actions import ActionContract
from contracts.failure import NotFound
from events.offers import OfferBucket
from saga import registry
from saga.api.parts import Parts
from saga.offers import Offered, by_action

_Text = Annotated[str, Query(max_length=128)]


class ActionSummary(BaseModel):
    """An action. `known`: this process has its contract; else it is known by what is offered alone."""

    name: str
    domain: str
    category: str
    version: str
    description: str
    compensable: bool | None = Field(description="whether it can be undone; null if that is not known here")
    permissions: tuple[str, ...]
    known: bool
    replicas: int = Field(description="how many processes offer it now")
    versions: dict[str, int] = Field(description="replicas by the version they offer")
    same_types: bool = Field(description="false if replicas of one version differ in input or output")


class ActionOffer(BaseModel):
    """A process that offers it."""

    instance: str
    host: str
    pid: int
    since: datetime
    version: str
    schema_hash: str


class ActionAnswer(ActionSummary):
    """`examples` are inputs it takes; the schemas are null where its contract is not known here."""

    input_schema: dict[str, Any] | None
    output_schema: dict[str, Any] | None
    emits: list[str]
    examples: list[dict[str, Any]]
    offers: list[ActionOffer]


class ActionPage(BaseModel):
    items: list[ActionSummary]


def router(parts: Parts) -> APIRouter:
    """The routes over these parts."""
    routes = APIRouter(prefix="/api/v1/actions", tags=["actions"])
    bucket = OfferBucket(parts.bus)

    @routes.get("", operation_id="listActions")
    async def list_actions(
        domain: _Text = "", category: _Text = "", q: _Text = "", offered: bool | None = None
    ) -> ActionPage:
        live = by_action(await bucket.read())
        known = {contract.name: contract for contract in registry.every()}
        found = [
            _summary(name, known.get(name), live.get(name)) for name in sorted(known.keys() | live.keys())
        ]
        return ActionPage(items=list(_filtered(found, domain, category, q, offered)))

    @routes.get("/{name}", operation_id="getAction")
    async def get_action(name: str) -> ActionAnswer:
        contract, live = registry.find(name), by_action(await bucket.read()).get(name)
        if contract is None and live is None:
            raise NotFound(f"no action {name}: none is promised, and nobody offers it")
        return ActionAnswer(
            **_summary(name, contract, live).model_dump(),
            input_schema=contract.input.model_json_schema() if contract else None,
            output_schema=contract.output.model_json_schema(mode="serialization") if contract else None,
            emits=[event.event_name for event in contract.emits] if contract else [],
            examples=[dict(example) for example in contract.examples] if contract else [],
            offers=_offers(live) if live else [],
        )

    return routes


def _filtered(
    found: Iterable[ActionSummary], domain: str, category: str, q: str, offered: bool | None
) -> Iterable[ActionSummary]:
    words = q.lower().split()
    for one in found:
        text = f"{one.name} {one.category} {one.description}".lower()
        if domain not in ("", one.domain) or category not in ("", one.category):
            continue
        if all(word in text for word in words) and offered in (None, one.replicas > 0):
            yield one


def _summary(name: str, contract: ActionContract | None, live: Offered | None) -> ActionSummary:
    said = live.actions[-1] if live else None
    told = contract or said
    assert told is not None, "an action is promised or offered"
    return ActionSummary(
        name=name,
        domain=name.partition(".")[0],
        category=told.category,
        version=told.version,
        description=told.description,
        compensable=contract.compensable if contract else None,
        permissions=told.permissions,
        known=contract is not None,
        replicas=live.replicas if live else 0,
        versions=dict(live.versions) if live else {},
        same_types=live.same_types if live else True,
    )


def _offers(live: Offered) -> list[ActionOffer]:
    return [
        ActionOffer(
            instance=offer.instance,
            host=offer.host,
            pid=offer.pid,
            since=offer.since,
            version=action.version,
            schema_hash=action.schema_hash,
        )
        for offer, action in zip(live.offers, live.actions, strict=True)
    ]
