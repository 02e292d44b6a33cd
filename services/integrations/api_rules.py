"""`/api/v1/transformation-rules`: rules by name and version. A version stays as it is: sagas may use it."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from contracts.failure import InvalidContract
from contracts.integrations import Name, RuleReference, TransformationRule, Version
from contracts.transformation_rules import RulePage, RuleSummary, TrialAnswer, TrialRequest
from events.clock import Clock
from events.database import Database
from saga.action import Refused
from saga.cursors import fingerprint, read_cursor, write_cursor
from services.integrations.bounded import Bounded
from services.integrations.rules import find_rule, rules_after, store_rule

_Name = Annotated[Name, Path(examples=["cheapest"])]
_Version = Annotated[Version, Path()]


class _Wanted(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    limit: int = Field(default=50, ge=1, le=200)
    cursor: str | None = None


def router(database: Database, bounded: Bounded, clock: Clock) -> APIRouter:
    """The routes over the database of the step that transforms."""
    routes = APIRouter(prefix="/api/v1/transformation-rules", tags=["transformation rules"])

    async def found(name: str, version: str | None) -> TransformationRule:
        async with database.transaction() as session:
            return await find_rule(session, RuleReference(name=name, version=version))

    @routes.post("", status_code=201, operation_id="storeTransformationRule")
    async def store(rule: TransformationRule, response: Response) -> TransformationRule:
        async with database.transaction() as session:
            created = await store_rule(session, rule, clock())
        response.status_code = 201 if created else 200
        response.headers["Location"] = f"/api/v1/transformation-rules/{rule.name}/{rule.version}"
        return rule

    @routes.get("", operation_id="listTransformationRules")
    async def page(asked: Annotated[_Wanted, Query()]) -> RulePage:
        question = fingerprint(("rules", asked.name))
        name, version = read_cursor(asked.cursor, question, 2) if asked.cursor else ("", "")
        async with database.transaction() as session:
            rows = await rules_after(session, (name, version), asked.limit + 1, asked.name)
        items = [
            RuleSummary(
                name=row.name,
                version=row.version,
                description=str(row.rule.get("description", "")),
                stored_at=row.stored_at,
            )
            for row in rows[: asked.limit]
        ]
        more = len(rows) > asked.limit
        after = write_cursor([items[-1].name, items[-1].version], question) if more else None
        return RulePage(items=items, next_cursor=after)

    @routes.get("/{name}", operation_id="getLatestTransformationRule")
    async def latest(name: _Name) -> TransformationRule:
        return await found(name, None)

    @routes.get("/{name}/{version}", operation_id="getTransformationRule")
    async def get(name: _Name, version: _Version) -> TransformationRule:
        return await found(name, version)

    @routes.post("/{name}/{version}/try", operation_id="tryTransformationRule")
    async def attempt(name: _Name, version: _Version, body: TrialRequest) -> TrialAnswer:
        """Put data through the rule, as the step would; nothing is kept."""
        rule = await found(name, version)
        told = rule.model_dump(mode="json", by_alias=True)["operations"]
        try:
            result = await bounded.call("transform", data=body.data, operations=told)
        except Refused as error:
            raise InvalidContract(f"{error.failure.code}: {error}") from error
        return TrialAnswer(result=result)

    return routes
