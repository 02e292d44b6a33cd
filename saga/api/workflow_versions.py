"""Of a workflow: its versions and what tells them apart, its status, and which of them new executions get."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from saga.api.parts import Parts
from saga.api.preconditions import ExpectedIfGiven, stamp
from saga.api.workflow_models import (
    PREFIX,
    ActivateRequest,
    DiffAnswer,
    DifferenceAnswer,
    Name,
    Number,
    Said,
    SplitRequest,
    StatusRequest,
    TagsRequest,
    VersionAnswer,
    VersionPage,
    VersionSummary,
    WorkflowSummary,
)
from saga.workflows import changes
from saga.workflows.catalogue import Change
from saga.workflows.differences import differences


def router(parts: Parts) -> APIRouter:
    """The routes over these parts."""
    routes = APIRouter()
    routes.include_router(_versions(parts))
    routes.include_router(_changes(parts))
    return routes


def _versions(parts: Parts) -> APIRouter:
    routes, catalogue = APIRouter(prefix=PREFIX), parts.catalogue

    @routes.get("/{name}/versions", operation_id="listWorkflowVersions")
    async def versions(name: Name, response: Response) -> VersionPage:
        entry = await catalogue.get(name)
        stamp(response, entry.revision)
        record = entry.record
        return VersionPage(items=[VersionSummary.of(one, record) for one in reversed(record.versions)])

    @routes.get("/{name}/versions/{number}", operation_id="getWorkflowVersion")
    async def version(name: Name, number: Number) -> VersionAnswer:
        record = (await catalogue.get(name)).record
        found = record.version(number)
        return VersionAnswer.whole(found, record, await catalogue.document(name, number))

    @routes.get("/{name}/diff", operation_id="diffWorkflowVersions")
    async def diff(
        name: Name,
        from_: Annotated[int | None, Query(alias="from", ge=1, description="the one before `to`")] = None,
        to: Annotated[int | None, Query(ge=1, description="the newest, unless told otherwise")] = None,
    ) -> DiffAnswer:
        record = (await catalogue.get(name)).record
        later = record.version(to or record.newest.number)
        earlier = record.version(from_) if from_ else record.before(later)
        found = differences(
            await catalogue.document(name, earlier.number), await catalogue.document(name, later.number)
        )
        return DiffAnswer(
            from_version=earlier.number,
            to_version=later.number,
            items=[
                DifferenceAnswer(kind=one.kind, pointer=one.pointer, before=one.before, after=one.after)
                for one in found
            ],
        )

    return routes


def _changes(parts: Parts) -> APIRouter:
    routes = APIRouter(prefix=PREFIX)

    async def changed(
        name: str, expected: int | None, what: str, said: Said, change: Change, response: Response
    ) -> WorkflowSummary:
        entry = await parts.catalogue.change(name, expected, what, said.words, change)
        stamp(response, entry.revision)
        return WorkflowSummary.of(entry)

    @routes.put("/{name}/status", operation_id="setWorkflowStatus")
    async def status(
        name: Name, expected: ExpectedIfGiven, body: StatusRequest, response: Response
    ) -> WorkflowSummary:
        return await changed(
            name, expected, f"status {body.status}", body,
            lambda record: changes.with_status(record, body.status), response,
        )  # fmt: skip

    @routes.put("/{name}/tags", operation_id="tagWorkflow")
    async def tags(
        name: Name, expected: ExpectedIfGiven, body: TagsRequest, response: Response
    ) -> WorkflowSummary:
        return await changed(
            name, expected, "tagged", body, lambda record: changes.tagged(record, body.tags), response
        )

    @routes.post("/{name}/activate", operation_id="activateWorkflowVersion")
    async def activate(
        name: Name, expected: ExpectedIfGiven, body: ActivateRequest, response: Response
    ) -> WorkflowSummary:
        return await changed(
            name, expected, f"activated {body.version or 'the newest version'}", body,
            lambda record: changes.activated(record, body.version), response,
        )  # fmt: skip

    @routes.put("/{name}/split", operation_id="splitWorkflow")
    async def split(
        name: Name, expected: ExpectedIfGiven, body: SplitRequest, response: Response
    ) -> WorkflowSummary:
        return await changed(
            name, expected, "split", body, lambda record: changes.split(record, body.shares), response
        )

    @routes.post("/{name}/rollback", operation_id="rollBackWorkflow")
    async def rollback(
        name: Name, expected: ExpectedIfGiven, body: Said, response: Response
    ) -> WorkflowSummary:
        return await changed(name, expected, "rolled back", body, changes.rolled_back, response)

    return routes
