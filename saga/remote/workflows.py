"""The catalogue of workflows, from Python.

A change goes over the `revision` that was read (`expected`), or over whatever is there.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import datetime
from typing import Any, Unpack

from contracts.catalogue import Share, WorkflowStatus
from saga.api.execution_models import ExecutionSummary
from saga.api.metrics import WorkflowMetrics
from saga.api.workflow_models import (
    CategoryAnswer,
    DiffAnswer,
    ImportedAnswer,
    JudgedAnswer,
    VersionAnswer,
    VersionSummary,
    WorkflowAnswer,
    WorkflowSummary,
)
from saga.remote.executions import Executions, RemoteExecution, RunOptions, run
from saga.remote.transport import ANY, Transport, route

_WORKFLOWS = "workflows"


class RemoteWorkflow:
    """One workflow, whether it exists or not. All raise RemoteNotFound, and what is said besides."""

    def __init__(self, transport: Transport, name: str) -> None:
        self.name = name
        self._transport = transport

    async def execute(
        self,
        input: Mapping[str, Any] | None = None,
        *,
        version: int | None = None,
        **options: Unpack[RunOptions],
    ) -> RemoteExecution:
        """Run it, in the version that new executions get now, or in that one.

        Raises RemoteConflict (it is not ACTIVE, or the key started something else), RemoteInvalid with pointers
        into the input.
        """
        told = {"input": dict(input or {}), "version": version}
        return await run(self._transport, self._at("execute"), told, options)

    def executions(self) -> AsyncIterator[ExecutionSummary]:
        """Those of all versions, newest first."""
        return Executions(self._transport).all(workflow=self.name)

    async def metrics(
        self, *, started_after: datetime | None = None, started_before: datetime | None = None
    ) -> WorkflowMetrics:
        """How its executions fare, by version."""
        query = {"started_after": started_after, "started_before": started_before}
        return WorkflowMetrics.model_validate(await self._ask("GET", "metrics", query=query))

    async def get(self, version: int | None = None, *, include_deleted: bool = False) -> WorkflowAnswer:
        """With the document of that version, or of the newest."""
        query = {"version": version, "include_deleted": include_deleted}
        return WorkflowAnswer.model_validate(await self._ask("GET", query=query))

    async def update(
        self,
        document: Mapping[str, Any],
        *,
        expected: int | None = None,
        activate: bool = False,
        by: str = "",
        reason: str = "",
    ) -> WorkflowAnswer:
        """A further version; nothing, if it says the same.

        Raises RemoteInvalid, RemoteStale, RemoteConflict (archived).
        """
        query = {"by": by, "reason": reason, "activate": activate}
        answer = await self._ask("PUT", query=query, body=dict(document), expected=expected)
        return WorkflowAnswer.model_validate(answer)

    async def delete(
        self, *, expected: int | None = None, force: bool = False, by: str = "", reason: str = ""
    ) -> None:
        """Take it out of sight. Raises RemoteStale, RemoteConflict (executions run, and it is not forced)."""
        query = {"by": by, "reason": reason, "force": force}
        await self._ask("DELETE", query=query, expected=expected)

    async def restore(self, *, by: str, reason: str) -> WorkflowAnswer:
        """Bring it back, archived."""
        answer = await self._ask("POST", "restore", body={"by": by, "reason": reason})
        return WorkflowAnswer.model_validate(answer)

    async def versions(self) -> list[VersionSummary]:
        """The newest first."""
        answer = await self._ask("GET", "versions")
        return [VersionSummary.model_validate(item) for item in answer["items"]]

    async def version(self, number: int) -> VersionAnswer:
        """One version, with its document."""
        return VersionAnswer.model_validate(await self._ask("GET", "versions", str(number)))

    async def diff(self, from_version: int | None = None, to_version: int | None = None) -> DiffAnswer:
        """What changed, between the two newest unless told otherwise."""
        answer = await self._ask("GET", "diff", query={"from": from_version, "to": to_version})
        return DiffAnswer.model_validate(answer)

    async def export(self, version: int | None = None) -> dict[str, Any]:
        """The document, as `import_all` takes it."""
        return dict(await self._ask("GET", "export", query={"version": version, "format": "json"}))

    async def set_status(
        self, status: WorkflowStatus, *, by: str, reason: str, expected: int | None = None
    ) -> WorkflowSummary:
        """Raises RemoteStale, RemoteConflict (it cannot follow the present one)."""
        return await self._change("PUT", "status", {"status": status}, by, reason, expected)

    async def tag(
        self, tags: Iterable[str], *, by: str, reason: str, expected: int | None = None
    ) -> WorkflowSummary:
        """All tags it is to have. Raises RemoteStale, RemoteInvalid."""
        return await self._change("PUT", "tags", {"tags": list(tags)}, by, reason, expected)

    async def activate(
        self, version: int | None = None, *, by: str, reason: str, expected: int | None = None
    ) -> WorkflowSummary:
        """That version, or the newest, for all new executions. Raises RemoteStale, RemoteConflict (archived)."""
        return await self._change("POST", "activate", {"version": version}, by, reason, expected)

    async def split(
        self, shares: Iterable[Share], *, by: str, reason: str, expected: int | None = None
    ) -> WorkflowSummary:
        """New executions go to these versions, by weight. Raises RemoteStale, RemoteInvalid, RemoteConflict."""
        told = {"shares": [share.model_dump() for share in shares]}
        return await self._change("PUT", "split", told, by, reason, expected)

    async def rollback(self, *, by: str, reason: str, expected: int | None = None) -> WorkflowSummary:
        """What was active before. Raises RemoteStale, RemoteConflict (nothing was)."""
        return await self._change("POST", "rollback", {}, by, reason, expected)

    async def _change(
        self, method: str, what: str, told: dict[str, Any], by: str, reason: str, expected: int | None
    ) -> WorkflowSummary:
        body = {**told, "by": by, "reason": reason}
        return WorkflowSummary.model_validate(await self._ask(method, what, body=body, expected=expected))

    async def _ask(self, method: str, *what: str, expected: int | None = None, **told: Any) -> Any:
        headers = None if method == "GET" else {"If-Match": ANY if expected is None else f'"{expected}"'}
        return (await self._transport.ask(method, self._at(*what), headers=headers, **told)).body

    def _at(self, *what: str) -> str:
        return route(_WORKFLOWS, self.name, *what)


class Workflows:
    """All workflows. `api.workflows["orders"]` is one of them."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def __getitem__(self, name: str) -> RemoteWorkflow:
        return RemoteWorkflow(self._transport, name)

    async def create(
        self,
        document: Mapping[str, Any],
        *,
        tags: Iterable[str] = (),
        activate: bool = False,
        by: str = "",
        reason: str = "",
    ) -> WorkflowAnswer:
        """Raises RemoteInvalid with a pointer for everything that is wrong, RemoteConflict (the name is taken)."""
        query = _saved(tags, activate, by, reason)
        answer = await self._transport.ask("POST", route(_WORKFLOWS), query=query, body=dict(document))
        return WorkflowAnswer.model_validate(answer.body)

    def all(
        self,
        *,
        status: Iterable[WorkflowStatus] = (),
        category: str | None = None,
        tags: Iterable[str] = (),
        prefix: str = "",
        q: str = "",
        include_deleted: bool = False,
    ) -> AsyncIterator[WorkflowSummary]:
        """By name; `q` is a part of name or description."""
        query = {
            "status": list(status),
            "category": category,
            "tag": list(tags),
            "prefix": prefix,
            "q": q,
            "include_deleted": include_deleted,
        }
        return self._transport.all(route(_WORKFLOWS), WorkflowSummary, query)

    async def categories(self) -> list[CategoryAnswer]:
        """With how many workflows each."""
        answer = await self._transport.ask("GET", route(_WORKFLOWS, "categories"))
        return [CategoryAnswer.model_validate(item) for item in answer.body["items"]]

    async def validate(self, *documents: Mapping[str, Any]) -> list[JudgedAnswer]:
        """Say what is wrong; nothing is kept. Raises RemoteInvalid with a pointer for everything that is."""
        body = [dict(document) for document in documents]
        answer = await self._transport.ask("POST", route(_WORKFLOWS, "validate"), body=body)
        return [JudgedAnswer.model_validate(item) for item in answer.body["items"]]

    async def import_all(
        self,
        documents: Iterable[Mapping[str, Any]],
        *,
        tags: Iterable[str] = (),
        activate: bool = False,
        by: str = "",
        reason: str = "",
    ) -> list[ImportedAnswer]:
        """Save them: new ones, or further versions. Raises RemoteInvalid before any is saved."""
        query, body = _saved(tags, activate, by, reason), [dict(document) for document in documents]
        answer = await self._transport.ask("POST", route(_WORKFLOWS, "import"), query=query, body=body)
        return [ImportedAnswer.model_validate(item) for item in answer.body["items"]]

    async def export(self) -> list[dict[str, Any]]:
        """The documents of all newest versions, as `import_all` takes them."""
        answer = await self._transport.ask("GET", route(_WORKFLOWS, "export"), query={"format": "json"})
        return list(answer.body)


def _saved(tags: Iterable[str], activate: bool, by: str, reason: str) -> dict[str, Any]:
    return {"tag": list(tags), "activate": activate, "by": by, "reason": reason}
