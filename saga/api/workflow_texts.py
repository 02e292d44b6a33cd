"""Workflows as text: judged without being kept, brought in many at once, taken out as JSON or YAML."""

from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse

from events.workflows import Entry
from saga.api.parts import Parts
from saga.api.workflow_models import (
    DOCUMENT_BODY,
    PREFIX,
    Documents,
    ImportedAnswer,
    ImportedPage,
    JudgedAnswer,
    JudgedPage,
    Name,
    QueryWords,
    Tags,
    WorkflowsWanted,
)
from saga.workflows.catalogue import Catalogue
from saga.workflows.importing import bring_in, judged_all
from saga.workflows.text import Form, write_one

_Accept = Annotated[str, Header()]
_TEXTS: dict[int | str, dict[str, Any]] = {200: {"content": {form.media_type: {} for form in Form}}}


class _Exported(WorkflowsWanted):
    format: Form | None = None


def router(parts: Parts) -> APIRouter:
    """The routes over these parts."""
    routes, catalogue = APIRouter(prefix=PREFIX), parts.catalogue

    @routes.post("/validate", operation_id="validateWorkflows", openapi_extra=DOCUMENT_BODY)
    async def validate(documents: Documents) -> JudgedPage:
        """Say what is wrong with them; nothing is kept."""
        return JudgedPage(
            items=[
                JudgedAnswer(
                    name=workflow.name,
                    definitions=tuple(one.name for one in (*made.children, made.definition)),
                )
                for workflow, made in await judged_all(documents, parts.definitions)
            ]
        )

    @routes.post("/import", operation_id="importWorkflows", openapi_extra=DOCUMENT_BODY)
    async def import_all(
        documents: Documents, words: QueryWords, tag: Tags = (), activate: bool = False
    ) -> ImportedPage:
        """Save them: new workflows, or further versions of those that are there."""
        found = await judged_all(documents, parts.definitions)
        workflows = [workflow for workflow, _ in found]
        done = await bring_in(workflows, catalogue, words, tags=tuple(tag), activate=activate)
        return ImportedPage(
            items=[
                ImportedAnswer(name=one.name, outcome=one.outcome, version=one.version, detail=one.detail)
                for one in done
            ]
        )

    @routes.get("/export", operation_id="exportWorkflows", responses=_TEXTS)
    async def export_all(asked: Annotated[_Exported, Query()], accept: _Accept = "") -> Response:
        """The newest versions, as `import` takes them."""
        form = asked.format or Form.of(accept)
        found = [entry for entry in catalogue.all() if asked.fits(entry.record)]
        return StreamingResponse(_written(found, catalogue, form), media_type=form.media_type)

    @routes.get("/{name}/export", operation_id="exportWorkflow", responses=_TEXTS)
    async def export(
        name: Name,
        version: Annotated[int | None, Query(ge=1)] = None,
        format: Form | None = None,
        accept: _Accept = "",
    ) -> Response:
        form = format or Form.of(accept)
        record = (await catalogue.get(name)).record
        number = record.version(version or record.newest.number).number
        text = write_one(await catalogue.document(name, number), form)
        return Response(text, media_type=form.media_type)

    return routes


async def _written(entries: Sequence[Entry], catalogue: Catalogue, form: Form) -> AsyncIterator[str]:
    """A list, or a stream of YAML documents; one document at a time, so that others are served in between."""
    between = ",\n" if form is Form.JSON else ""
    if form is Form.JSON:
        yield "["
    for index, entry in enumerate(entries):
        document = await catalogue.document(entry.record.name, entry.record.newest.number)
        yield (between if index else "") + write_one(document, form)
    if form is Form.JSON:
        yield "]"
