"""Templates: what workflows can be made from, by giving them parameters."""

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from saga.api.workflow_models import WorkflowAnswer
from saga.api.workflow_templates import TemplateSummary
from saga.remote.transport import Transport, route
from saga.workflows.templates import Template

_TEMPLATES = "workflow-templates"


class Templates:
    """Those that are shipped."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def all(self, category: str | None = None) -> AsyncIterator[TemplateSummary]:
        """By name."""
        return self._transport.all(route(_TEMPLATES), TemplateSummary, {"category": category})

    async def get(self, name: str) -> Template:
        """One with its parameters. Raises RemoteNotFound."""
        return Template.model_validate((await self._transport.ask("GET", route(_TEMPLATES, name))).body)

    async def instantiate(
        self,
        template: str,
        name: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        tags: Iterable[str] = (),
        activate: bool = False,
        by: str,
        reason: str,
    ) -> WorkflowAnswer:
        """Make a workflow of that name; parameters that are not given have their defaults.

        Raises RemoteNotFound, RemoteConflict (the name is taken), RemoteInvalid with a pointer for every mistake.
        """
        body = {
            "name": name,
            "parameters": dict(parameters or {}),
            "tags": list(tags),
            "activate": activate,
            "by": by,
            "reason": reason,
        }
        path = route(_TEMPLATES, template, "instantiate")
        return WorkflowAnswer.model_validate((await self._transport.ask("POST", path, body=body)).body)
