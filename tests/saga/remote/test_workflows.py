"""The catalogue by the client, against the real API."""

from typing import TypedDict

import pytest

from contracts.catalogue import Share, WorkflowStatus
from saga.remote.client import Api
from saga.remote.errors import RemoteConflict, RemoteInvalid, RemoteNotFound, RemoteStale
from tests.saga.workflows.documents import document


class Words(TypedDict):
    by: str
    reason: str


ADA: Words = {"by": "ada", "reason": "a test"}


async def test_a_workflow_is_created_listed_and_changed_over_what_was_read(api: Api) -> None:
    first = await api.workflows.create(document(category="sales"), tags=["eu"], **ADA)
    assert (first.status, first.tags, first.document) == (
        WorkflowStatus.DRAFT, ("eu",), document(category="sales"),
    )  # fmt: skip
    orders = api.workflows["orders"]
    second = await orders.update(document(source="2"), expected=first.revision, activate=True, **ADA)
    assert (second.version, second.status, second.active) == (2, "ACTIVE", (Share(version=2),))
    with pytest.raises(RemoteStale):
        await orders.update(document(source="3"), expected=first.revision)
    with pytest.raises(RemoteConflict):
        await api.workflows.create(document())
    found = api.workflows.all(status=[WorkflowStatus.ACTIVE], tags=["eu"], prefix="ord")
    assert [one.name async for one in found] == ["orders"]
    assert [one async for one in api.workflows.all(category="nothing")] == []
    assert [(one.category, one.workflows) for one in await api.workflows.categories()] == [("general", 1)]
    assert [(change.by, change.reason) for change in second.changes] == [("ada", "a test")] * 2


async def test_versions_are_told_apart_split_and_rolled_back(api: Api) -> None:
    await api.workflows.create(document(), activate=True)
    orders = api.workflows["orders"]
    await orders.update(document(source="2"))
    assert [(one.version, one.weight) for one in await orders.versions()] == [(2, None), (1, 100)]
    assert (await orders.version(1)).document == await orders.export(1) == document()
    (difference,) = (await orders.diff()).items
    assert (difference.pointer, difference.after) == ("/steps/0/input/value", "2")
    shares = (Share(version=1, weight=30), Share(version=2, weight=70))
    assert (await orders.split(shares, **ADA)).active == shares
    assert (await orders.activate(**ADA)).active == (Share(version=2),)
    assert (await orders.rollback(**ADA)).active == shares
    assert (await orders.tag(["eu", "new"], **ADA)).tags == ("eu", "new")
    with pytest.raises(RemoteInvalid):
        await orders.split([], **ADA)


async def test_a_workflow_is_paused_deleted_and_restored(api: Api) -> None:
    await api.workflows.create(document(), activate=True)
    orders = api.workflows["orders"]
    paused = await orders.set_status(WorkflowStatus.PAUSED, **ADA)
    with pytest.raises(RemoteConflict, match="PAUSED"):
        await orders.execute({"value": 1})
    await orders.delete(expected=paused.revision, **ADA)
    with pytest.raises(RemoteNotFound):
        await orders.get()
    assert (await orders.get(include_deleted=True)).deleted
    assert (await orders.restore(**ADA)).status == WorkflowStatus.ARCHIVED


async def test_documents_are_judged_brought_in_and_taken_out(api: Api) -> None:
    documents = [document("one"), document("two")]
    assert [judged.name for judged in await api.workflows.validate(*documents)] == ["one", "two"]
    assert await api.workflows.export() == []
    imported = await api.workflows.import_all(documents, activate=True, **ADA)
    assert [(one.name, one.outcome, one.version) for one in imported] == [
        ("one", "created", 1), ("two", "created", 1),
    ]  # fmt: skip
    assert await api.workflows.export() == documents
    again = await api.workflows.import_all(documents)
    assert {one.outcome for one in again} == {"unchanged"}
    with pytest.raises(RemoteInvalid) as caught:
        await api.workflows.validate(document("three", steps=[]))
    assert caught.value.errors[0].pointer.endswith("/steps")


async def test_what_ran_of_a_workflow_is_listed_with_it(api: Api) -> None:
    await api.workflows.create(document(), activate=True)
    execution = await api.workflows["orders"].execute({"value": 1})
    with pytest.raises(Exception, match="goes on"):
        await execution.ended(timeout_s=0.2)
    assert [one.execution_id async for one in api.workflows["orders"].executions()] == [execution.id]


async def test_a_workflow_is_made_from_a_template(api: Api) -> None:
    found = {one.name: one async for one in api.templates.all()}
    template = await api.templates.get("approved-request")
    assert found[template.name].title == template.title
    assert [one.name async for one in api.templates.all("approval")] == ["approved-request"]
    parameters = template.example.parameters
    made = await api.templates.instantiate(
        template.name, "refund", parameters, tags=["eu"], activate=True, **ADA
    )
    assert (made.name, made.status, made.tags) == ("refund", "ACTIVE", ("eu",))
    assert (await api.workflows["refund"].get()).document == made.document
    with pytest.raises(RemoteInvalid) as caught:
        await api.templates.instantiate(template.name, "other", {**parameters, "wait_s": "long"}, **ADA)
    assert [error.pointer for error in caught.value.errors] == ["/parameters/wait_s"]
    with pytest.raises(RemoteConflict):
        await api.templates.instantiate(template.name, "refund", parameters, **ADA)
    with pytest.raises(RemoteNotFound):
        await api.templates.get("nothing")
