"""`/api/v1/workflows`: create, list, get, update, delete. Every change has a who and a why.

An update is a further version; which version new executions get is decided apart from it
(`saga.api.workflow_versions`). What is running keeps its version.
"""

from collections import Counter
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import Field

from contracts.checks import InvalidDefinition
from contracts.pointers import Problem
from events.workflows import Entry
from saga.api import workflow_texts, workflow_versions
from saga.api.parts import Parts
from saga.api.preconditions import Expected, stamp
from saga.api.workflow_models import (
    DOCUMENT_BODY,
    PREFIX,
    CategoryAnswer,
    CategoryPage,
    Document,
    Name,
    QueryWords,
    Said,
    Tags,
    WorkflowAnswer,
    WorkflowPage,
    WorkflowSummary,
    WorkflowsWanted,
)
from saga.cursors import fingerprint, read_cursor, write_cursor
from saga.log.queries import Filter
from saga.state import ENDED, SagaStatus
from saga.workflows.checking import judged

_NOT_ENDED = tuple(status.value for status in SagaStatus if status not in ENDED)


class _Page(WorkflowsWanted):
    limit: int = Field(default=50, ge=1, le=200)
    cursor: str | None = None

    @property
    def wanted(self) -> WorkflowsWanted:
        return WorkflowsWanted(**self.model_dump(include=set(WorkflowsWanted.model_fields)))


def router(parts: Parts) -> APIRouter:
    """The routes over these parts, those with names of their own before those that take any name."""
    routes = APIRouter(tags=["workflows"])
    for part in (workflow_texts.router(parts), _routes(parts), workflow_versions.router(parts)):
        routes.include_router(part)
    return routes


def _routes(parts: Parts) -> APIRouter:
    routes, catalogue = APIRouter(prefix=PREFIX), parts.catalogue

    async def answer(entry: Entry, response: Response, version: int | None = None) -> WorkflowAnswer:
        number = entry.record.version(version or entry.record.newest.number).number
        stamp(response, entry.revision)
        return WorkflowAnswer.whole(entry, number, await catalogue.document(entry.record.name, number))

    @routes.post("", status_code=201, operation_id="createWorkflow", openapi_extra=DOCUMENT_BODY)
    async def create(
        document: Document,
        words: QueryWords,
        response: Response,
        tag: Tags = (),
        activate: bool = False,
    ) -> WorkflowAnswer:
        workflow, _ = await judged(document, parts.definitions)
        entry = await catalogue.create(workflow, words, tags=tuple(tag), activate=activate)
        response.headers["Location"] = f"{PREFIX}/{entry.record.name}"
        return await answer(entry, response)

    @routes.get("", operation_id="listWorkflows")
    async def page(asked: Annotated[_Page, Query()]) -> WorkflowPage:
        wanted = asked.wanted
        question = fingerprint(wanted)
        after = read_cursor(asked.cursor, question, 1)[0] if asked.cursor else ""
        found = [
            entry for entry in catalogue.all() if entry.record.name > after and wanted.fits(entry.record)
        ]
        items = [WorkflowSummary.of(entry) for entry in found[: asked.limit]]
        more = len(found) > len(items)
        return WorkflowPage(
            items=items, next_cursor=write_cursor([items[-1].name], question) if more else None
        )

    @routes.get("/categories", operation_id="listWorkflowCategories")
    async def categories() -> CategoryPage:
        counted = Counter(entry.record.category for entry in catalogue.all() if not entry.record.deleted)
        return CategoryPage(
            items=[CategoryAnswer(category=name, workflows=count) for name, count in sorted(counted.items())]
        )

    @routes.get("/{name}", operation_id="getWorkflow")
    async def get(
        name: Name,
        response: Response,
        version: Annotated[int | None, Query(ge=1)] = None,
        include_deleted: bool = False,
    ) -> WorkflowAnswer:
        return await answer(await catalogue.get(name, deleted=include_deleted), response, version)

    @routes.put("/{name}", operation_id="updateWorkflow", openapi_extra=DOCUMENT_BODY)
    async def update(
        name: Name,
        expected: Expected,
        document: Document,
        words: QueryWords,
        response: Response,
        activate: bool = False,
    ) -> WorkflowAnswer:
        workflow, _ = await judged(document, parts.definitions)
        if workflow.name != name:
            raise InvalidDefinition(name, [Problem("/name", f"expected {name}, the name in the path")])
        return await answer(await catalogue.update(workflow, expected, words, activate=activate), response)

    @routes.delete("/{name}", status_code=204, operation_id="deleteWorkflow")
    async def delete(name: Name, expected: Expected, words: QueryWords, force: bool = False) -> None:
        running = await parts.queries.count(Filter(name=name, status=_NOT_ENDED))
        await catalogue.delete(name, expected, words, running=running, force=force)

    @routes.post("/{name}/restore", operation_id="restoreWorkflow")
    async def restore(name: Name, body: Said, response: Response) -> WorkflowAnswer:
        return await answer(await catalogue.restore(name, body.words), response)

    return routes
