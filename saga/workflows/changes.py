"""What can be done to a workflow's record: values in, values out."""

from contracts.catalogue import (
    MAX_CHANGES,
    MAX_EARLIER,
    MAX_SHARES,
    MAX_VERSIONS,
    RecordChange,
    Share,
    WorkflowRecord,
    WorkflowStatus,
    WorkflowVersion,
)
from contracts.failure import Conflict, InvalidContract
from contracts.workflows import Workflow

_DRAFT, _ACTIVE, _PAUSED, _ARCHIVED = WorkflowStatus
_MOVES = {
    _DRAFT: {_ACTIVE, _ARCHIVED},
    _ACTIVE: {_PAUSED, _ARCHIVED},
    _PAUSED: {_ACTIVE, _ARCHIVED},
    _ARCHIVED: {_DRAFT, _ACTIVE},
}


def with_version(record: WorkflowRecord, workflow: Workflow, version: WorkflowVersion) -> WorkflowRecord:
    """A further version, which is not active. Of too many the oldest is forgotten, unless new executions may get it.

    Raises Conflict for an archived workflow.
    """
    if record.status == _ARCHIVED:
        raise Conflict(f"workflow {record.name} is archived: make it a draft before you change it")
    return record.model_copy(
        update={
            "versions": _remembered(record, (*record.versions, version)),
            "description": workflow.description,
            "category": workflow.category,
        }
    )


def _remembered(record: WorkflowRecord, versions: tuple[WorkflowVersion, ...]) -> tuple[WorkflowVersion, ...]:
    needed = {share.version for shares in (record.active, *record.earlier) for share in shares}
    newest = versions[-MAX_VERSIONS:]
    return (*(one for one in versions[:-MAX_VERSIONS] if one.number in needed), *newest)


def with_status(record: WorkflowRecord, status: WorkflowStatus) -> WorkflowRecord:
    """Another status. A draft that becomes active does so with its newest version.

    Raises Conflict if that cannot follow the present one.
    """
    if status == record.status:
        return record
    if status not in _MOVES[record.status]:
        expected = " or ".join(sorted(_MOVES[record.status]))
        raise Conflict(f"workflow {record.name} is {record.status}: it can become {expected}, not {status}")
    changed = record.model_copy(update={"status": status})
    if status == _DRAFT:
        return changed.model_copy(update={"active": ()})
    if status == _ACTIVE and not record.active:
        return split(changed, (Share(version=record.newest.number),))
    return changed


def activated(record: WorkflowRecord, number: int | None) -> WorkflowRecord:
    """One version (the newest, if none is named) for all new executions; a draft becomes active.

    Raises NotFound, Conflict for an archived workflow.
    """
    changed = split(record, (Share(version=number or record.newest.number),))
    return changed.model_copy(update={"status": _ACTIVE}) if record.status == _DRAFT else changed


def split(record: WorkflowRecord, shares: tuple[Share, ...]) -> WorkflowRecord:
    """New executions go to several versions, by weight.

    Raises NotFound (no such version), InvalidContract (a version twice, none, too many), Conflict.
    """
    if record.status == _ARCHIVED:
        raise Conflict(f"workflow {record.name} is archived: nothing of it can be active")
    numbers = [share.version for share in shares]
    if not 1 <= len(shares) <= MAX_SHARES or len(set(numbers)) < len(numbers):
        raise InvalidContract(f"expected 1 to {MAX_SHARES} shares, each of another version, not {numbers}")
    for number in numbers:
        record.version(number)
    if shares == record.active:
        return record
    earlier = (*record.earlier, record.active)[-MAX_EARLIER:] if record.active else record.earlier
    return record.model_copy(update={"active": shares, "earlier": earlier})


def rolled_back(record: WorkflowRecord) -> WorkflowRecord:
    """What was active before. Raises Conflict if nothing was."""
    if not record.earlier or not record.active:
        raise Conflict(f"workflow {record.name} had nothing active before: activate a version instead")
    changed = split(record, record.earlier[-1])
    return changed.model_copy(update={"earlier": record.earlier[:-1]})


def tagged(record: WorkflowRecord, tags: tuple[str, ...]) -> WorkflowRecord:
    """Other tags, each once."""
    return record.model_copy(update={"tags": tuple(dict.fromkeys(tags))})


def noted(record: WorkflowRecord, change: RecordChange) -> WorkflowRecord:
    """The record with a note of who changed it, and when."""
    changes = (*record.changes, change)[-MAX_CHANGES:]
    return record.model_copy(update={"changes": changes, "updated_at": change.at})
