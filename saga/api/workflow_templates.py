"""`/api/v1/workflow-templates`: what a workflow can be made from, by giving it parameters."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from contracts.checks import InvalidDefinition
from contracts.definition import Token
from contracts.failure import NotFound
from contracts.pointers import Problem
from contracts.workflows import Workflow
from saga.api.parts import Parts
from saga.api.preconditions import stamp
from saga.api.workflow_models import PREFIX, Said, Tag, WorkflowAnswer
from saga.cursors import fingerprint, read_cursor, write_cursor
from saga.domains import known_templates
from saga.workflows.checking import judged
from saga.workflows.templates import Template, filled

_Name = Annotated[Token, Path(examples=["request-and-notify"])]


class TemplatesWanted(BaseModel):
    model_config = ConfigDict(extra="forbid")

    category: str | None = None
    limit: int = Field(default=50, ge=1, le=200)
    cursor: str | None = None


class TemplateSummary(BaseModel):
    name: str
    title: str
    description: str
    category: str


class TemplatePage(BaseModel):
    items: list[TemplateSummary]
    next_cursor: str | None


class InstantiateRequest(Said):
    """Make a workflow called `name`. Parameters that are not given have their defaults."""

    name: Token
    parameters: dict[str, Any] = Field(default_factory=dict)
    tags: tuple[Tag, ...] = Field(default=(), max_length=20)
    activate: bool = False


def router(parts: Parts) -> APIRouter:
    """The routes over these parts. Raises InvalidContract if a template that is shipped is wrong."""
    routes = APIRouter(prefix="/api/v1/workflow-templates", tags=["workflow templates"])
    templates, catalogue = known_templates(), parts.catalogue

    def found(name: str) -> Template:
        if name not in templates:
            raise NotFound(f"no template {name}: there are {', '.join(sorted(templates))}")
        return templates[name]

    @routes.get("", operation_id="listWorkflowTemplates")
    async def page(asked: Annotated[TemplatesWanted, Query()]) -> TemplatePage:
        question = fingerprint(("templates", asked.category))
        after = read_cursor(asked.cursor, question, 1)[0] if asked.cursor else ""
        wanted = [
            TemplateSummary(**template.model_dump(include=set(TemplateSummary.model_fields)))
            for name, template in sorted(templates.items())
            if name > after and asked.category in (None, template.category)
        ]
        items = wanted[: asked.limit]
        more = len(wanted) > len(items)
        return TemplatePage(
            items=items, next_cursor=write_cursor([items[-1].name], question) if more else None
        )

    @routes.get("/{name}", operation_id="getWorkflowTemplate")
    async def get(name: _Name) -> Template:
        return found(name)

    @routes.post("/{name}/instantiate", status_code=201, operation_id="instantiateWorkflowTemplate")
    async def instantiate(name: _Name, body: InstantiateRequest, response: Response) -> WorkflowAnswer:
        document = filled(found(name), body.name, body.parameters)
        workflow = await _judged(document, parts)
        entry = await catalogue.create(workflow, body.words, tags=body.tags, activate=body.activate)
        response.headers["Location"] = f"{PREFIX}/{body.name}"
        stamp(response, entry.revision)
        number = entry.record.newest.number
        return WorkflowAnswer.whole(entry, number, await catalogue.document(body.name, number))

    return routes


async def _judged(document: dict[str, Any], parts: Parts) -> Workflow:
    """Pointers of what is wrong lead into the request, or into the workflow that it would become."""
    try:
        return (await judged(document, parts.definitions))[0]
    except InvalidDefinition as error:
        problems = [
            Problem(
                one["pointer"] if one["pointer"] == "/name" else f"/workflow{one['pointer']}", one["detail"]
            )
            for one in error.problems
        ]
        raise InvalidDefinition(document["name"], problems) from error
