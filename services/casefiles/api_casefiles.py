"""`/api/v1/casefiles`: casefiles with their access control lists, and the evidence in them."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from contracts.casefile_records import (
    Casefile,
    CasefilePage,
    CasefileSettings,
    EvidencePage,
    GivenPermission,
    NewCasefile,
)
from contracts.casefiles import UserId
from contracts.evidence import EvidenceKind
from events.clock import Clock
from events.database import Database
from saga.api.preconditions import Expected, stamp
from saga.cursors import fingerprint, read_cursor
from services.casefiles import records
from services.casefiles.access import permitted
from services.casefiles.api_parts import Asking, CasefileId, PageAsked, page_of, transaction
from services.casefiles.evidence import evidence_in

_User = Annotated[UserId, Path()]


class _EvidenceAsked(PageAsked):
    kind: EvidenceKind | None = None


def router(database: Database, clock: Clock) -> APIRouter:
    """The routes over the database of casefiles."""
    routes = APIRouter(prefix="/api/v1/casefiles", tags=["casefiles"])

    @routes.post("", status_code=201, operation_id="createCasefile")
    async def create(asking: Asking, body: NewCasefile, response: Response) -> Casefile:
        async with transaction(database) as session:
            created = await records.open_casefile(
                session, body, owner=asking, grants=body.grants, now=clock()
            )
        response.headers["Location"] = f"/api/v1/casefiles/{created.casefile_id}"
        stamp(response, created.revision)
        return created

    @routes.get("", operation_id="listCasefiles")
    async def page(asking: Asking, asked: Annotated[PageAsked, Query()]) -> CasefilePage:
        """Those that who asks may read, newest first."""
        question = fingerprint(("casefiles", asking))
        place = tuple(read_cursor(asked.cursor, question, 1)) if asked.cursor else ()
        async with transaction(database) as session:
            found = await records.casefiles_of(session, asking, place, asked.limit + 1)
        items, after = page_of(found, asked.limit, question, lambda one: [one.casefile_id])
        return CasefilePage(items=items, next_cursor=after)

    @routes.get("/{casefile_id}", operation_id="getCasefile")
    async def get(asking: Asking, casefile_id: CasefileId, response: Response) -> Casefile:
        async with transaction(database) as session:
            found = await records.read_casefile(session, casefile_id, asking)
        stamp(response, found.revision)
        return found

    @routes.put("/{casefile_id}", operation_id="replaceCasefile")
    async def replace(
        asking: Asking, casefile_id: CasefileId, body: CasefileSettings, over: Expected, response: Response
    ) -> Casefile:
        async with transaction(database) as session:
            changed = await records.change_casefile(
                session, casefile_id, asking, body, over=over, now=clock()
            )
        stamp(response, changed.revision)
        return changed

    @routes.delete("/{casefile_id}", operation_id="deleteCasefile")
    async def delete(asking: Asking, casefile_id: CasefileId) -> Casefile:
        """Remove it with its evidence; sessions stay, linked to nothing."""
        async with transaction(database) as session:
            return await records.remove_casefile(session, casefile_id, asking)

    @routes.put("/{casefile_id}/grants/{user_id}", operation_id="grantCasefile")
    async def grant(
        asking: Asking, casefile_id: CasefileId, user_id: _User, body: GivenPermission
    ) -> Casefile:
        async with transaction(database) as session:
            return await records.grant(session, casefile_id, asking, user_id, body.permission, clock())

    @routes.delete("/{casefile_id}/grants/{user_id}", operation_id="revokeCasefile")
    async def revoke(asking: Asking, casefile_id: CasefileId, user_id: _User) -> Casefile:
        async with transaction(database) as session:
            return await records.grant(session, casefile_id, asking, user_id, None, clock())

    @routes.get("/{casefile_id}/evidence", operation_id="listEvidence")
    async def evidence(
        asking: Asking, casefile_id: CasefileId, asked: Annotated[_EvidenceAsked, Query()]
    ) -> EvidencePage:
        question = fingerprint(("evidence", casefile_id, asked.kind))
        place = tuple(read_cursor(asked.cursor, question, 1)) if asked.cursor else ()
        async with transaction(database) as session:
            await permitted(session, casefile_id, asking, "read")
            found = await evidence_in(session, casefile_id, asked.kind, place, asked.limit + 1)
        items, after = page_of(found, asked.limit, question, lambda one: [one.evidence_id])
        return EvidencePage(items=items, next_cursor=after)

    return routes
