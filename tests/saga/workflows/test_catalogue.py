"""The catalogue on a real bus: versions that never change, one writer at a time, and who gets which version."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from contracts.catalogue import Share, WorkflowStatus
from contracts.checks import InvalidDefinition
from contracts.definition import SagaDefinition, Step
from contracts.facts import FactKind
from contracts.failure import Conflict, NotFound, Stale
from contracts.ids import new_saga_id
from events.records import Kept
from events.workflows import Entry, WorkflowBucket
from saga.action import ActionContext
from saga.client import InvalidInput, StartOptions
from saga.workflows import changes
from saga.workflows.catalogue import Catalogue, Words
from saga.workflows.checking import read_workflow
from tests.saga.workflows.documents import document, workflow
from tests.world import Number, Running, World

ADA = Words(by="ada", reason="because")


@pytest.fixture
async def catalogue(running: Running) -> AsyncIterator[Catalogue]:
    async with Catalogue.open(running.bus, running.definitions, running.client) as opened:
        yield opened


async def versions_of(catalogue: Catalogue, count: int) -> Entry:
    """`orders` with so many versions, the first of them active."""
    entry = await catalogue.create(workflow(), ADA, activate=True)
    for number in range(2, count + 1):
        entry = await catalogue.update(workflow(source=str(number)), None, ADA)
    return entry


async def test_a_new_workflow_is_a_draft_whose_definition_is_published(
    catalogue: Catalogue, running: Running
) -> None:
    entry = await catalogue.create(workflow(category="sales"), ADA, tags=("eu",))
    record = entry.record
    assert (record.status, record.category, record.tags, record.active) == ("DRAFT", "sales", ("eu",), ())
    assert [(one.number, one.by, one.note) for one in record.versions] == [(1, "ada", "because")]
    assert await catalogue.get("orders") == entry
    assert await catalogue.document("orders", 1) == document(category="sales")
    assert running.definitions.get("orders@1") is not None
    with pytest.raises(Conflict, match="is DRAFT"):
        await catalogue.execute("orders", {"value": 1})


async def test_a_change_over_an_old_revision_is_refused(catalogue: Catalogue) -> None:
    first = await catalogue.create(workflow(), ADA)
    second = await catalogue.update(workflow(source="2"), first.revision, ADA)
    assert second.revision > first.revision
    with pytest.raises(Stale):
        await catalogue.update(workflow(source="3"), first.revision, ADA)
    with pytest.raises(Stale):
        await catalogue.change(
            "orders", first.revision, "activated", ADA, lambda one: changes.activated(one, 1)
        )
    assert await catalogue.get("orders") == second


async def test_of_writers_at_once_each_gets_a_version_of_its_own(
    catalogue: Catalogue, running: Running
) -> None:
    await catalogue.create(workflow(), ADA)
    async with Catalogue.open(running.bus, running.definitions, running.client) as other:
        await asyncio.gather(
            *(one.update(workflow(source=f"{number}"), None, ADA)
              for number, one in enumerate([catalogue, other] * 3))
        )  # fmt: skip
    record = (await catalogue.get("orders")).record
    numbers = [version.number for version in record.versions]
    assert len(numbers) == 7
    assert numbers == sorted(set(numbers))
    sources = [(await catalogue.document("orders", number))["steps"][0]["input"] for number in numbers]
    assert {one["value"] for one in sources} == {"${input.value}", *map(str, range(6))}


async def test_of_writers_with_the_same_revision_one_wins(catalogue: Catalogue) -> None:
    entry = await catalogue.create(workflow(), ADA)
    told = await asyncio.gather(
        *(catalogue.update(workflow(source=str(number)), entry.revision, ADA) for number in range(4)),
        return_exceptions=True,
    )
    assert Counter(type(one) for one in told) == {Kept: 1, Stale: 3}
    assert len((await catalogue.get("orders")).record.versions) == 2


async def test_the_same_content_is_no_new_version(catalogue: Catalogue) -> None:
    entry = await catalogue.create(workflow(), ADA)
    written_out = workflow(category="general", description="")
    assert await catalogue.update(written_out, entry.revision, ADA) == entry


async def test_what_a_writer_that_died_left_behind_is_passed_over(
    catalogue: Catalogue, running: Running
) -> None:
    await catalogue.create(workflow(), ADA)
    assert await WorkflowBucket(running.bus).keep_document("orders", 2, b'{"of": "somebody else"}')
    entry = await catalogue.update(workflow(source="2"), None, ADA)
    assert [version.number for version in entry.record.versions] == [1, 3]
    assert running.definitions.get("orders@3") is not None


async def test_a_creation_that_died_half_way_can_be_repeated(
    catalogue: Catalogue, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dies(self: WorkflowBucket, *_: object) -> Entry:
        raise ConnectionError("died")

    with monkeypatch.context() as patched:
        patched.setattr(WorkflowBucket, "write", dies)
        with pytest.raises(ConnectionError):
            await catalogue.create(workflow(), ADA)
    assert running.definitions.get("orders@1") is not None
    entry = await catalogue.create(workflow(), ADA)
    assert entry.record.newest.number == 1


async def test_the_name_of_a_definition_from_elsewhere_is_taken(
    catalogue: Catalogue, running: Running
) -> None:
    await running.publish(SagaDefinition(name="orders", steps=(Step(name="a", action="test.a"),)))
    with pytest.raises(Conflict, match="no workflow"):
        await catalogue.create(workflow(), ADA)


async def test_everything_that_is_wrong_is_said_and_nothing_kept(
    catalogue: Catalogue, running: Running
) -> None:
    wrong = document(input_schema={"type": "nothing"}) | {
        "steps": [
            {"name": "fetch", "type": "HTTP_REQUEST", "input": {"method": "GET"}},
            {"name": "each", "type": "FOR_EACH", "items": "${input.list}", "after": ["fetch"], "do": {
                "steps": [{"name": "w", "type": "WAIT", "when": "item.x >", "input": {"for_s": 1}}]}},
            {"name": "child", "type": "CHILD", "definition": "nobody@1", "when": "input.a ==="},
        ]
    }  # fmt: skip
    with pytest.raises(InvalidDefinition) as caught:
        await catalogue.create(read_workflow(wrong), ADA)
    assert {problem["pointer"] for problem in caught.value.problems} >= {
        "/input_schema", "/steps/0/input/url", "/steps/1/do/steps/0/when", "/steps/2/definition", "/steps/2/when",
    }  # fmt: skip
    assert await WorkflowBucket(running.bus).document("orders", 1) is None
    with pytest.raises(NotFound):
        await catalogue.get("orders")


async def test_executions_go_to_the_active_version_until_another_is_activated(catalogue: Catalogue) -> None:
    await versions_of(catalogue, 2)
    assert (await catalogue.execute("orders", {"value": 1})).definition == "orders@1"
    await catalogue.change("orders", None, "activated", ADA, lambda one: changes.activated(one, 2))
    assert (await catalogue.execute("orders", {})).definition == "orders@2"
    assert (await catalogue.execute("orders@1", {"value": 1})).definition == "orders@1"
    await catalogue.change("orders", None, "rolled back", ADA, changes.rolled_back)
    assert (await catalogue.execute("orders", {"value": 1})).definition == "orders@1"
    with pytest.raises(NotFound, match="no version 9"):
        await catalogue.execute("orders@9", {})


async def test_a_split_gives_versions_their_parts_and_an_id_always_the_same(
    catalogue: Catalogue, running: Running
) -> None:
    await versions_of(catalogue, 3)
    shares = (Share(version=1, weight=70), Share(version=2, weight=30))
    await catalogue.change("orders", None, "split", ADA, lambda one: changes.split(one, shares))
    ids = [new_saga_id() for _ in range(2_000)]
    chosen = [await catalogue.choose("orders", one) for one in ids]
    found = Counter(chosen)
    assert found.keys() == {"orders@1", "orders@2"}
    assert 1_280 < found["orders@1"] < 1_520
    async with Catalogue.open(running.bus, running.definitions, running.client) as other:
        assert [await other.choose("orders", one) for one in ids] == chosen


async def test_a_running_execution_keeps_its_version_whatever_becomes_of_the_workflow(
    catalogue: Catalogue, running: Running, world: World
) -> None:
    async def waits(ctx: ActionContext, command: Number) -> Number:
        await ctx.signal()
        return command

    world.behaviours["first"] = waits

    def two_steps(second: str) -> dict[str, object]:
        first = {"name": "first", "type": "ACTION", "action": "test.first", "input": {"value": 5}}
        after = {"type": "ACTION", "action": f"test.{second}", "after": ["first"], "name": second}
        return document() | {"steps": [first, after | {"input": {"value": "${steps.first.value}"}}]}

    await catalogue.create(read_workflow(two_steps("old")), ADA, activate=True)
    async with running.serving(*(world.action(name) for name in ("first", "old", "new"))):
        options = StartOptions(idempotency_key="k1")
        before = await catalogue.execute("orders", {}, options)
        await running.stated(before.saga_id, ("first", FactKind.SUSPENDED))
        await catalogue.update(read_workflow(two_steps("new")), None, ADA, activate=True)
        after = await catalogue.execute("orders", {})
        await running.stated(after.saga_id, ("first", FactKind.SUSPENDED))
        await catalogue.delete("orders", None, ADA, running=2, force=True)
        for started, version, step in ((before, 1, "old"), (after, 2, "new")):
            await running.client.signal(started.saga_id, "first", {}, by="ada")
            definition = running.definitions.get(f"orders@{version}")
            assert definition is not None
            state = await running.ended(definition, started.saga_id)
            assert (state.status, state.steps[step].status) == ("completed", "completed")
        assert world.times("do old") == world.times("do new") == 1
        again = await catalogue.execute("orders", {}, options)
        assert (again.saga_id, again.definition, again.created) == (before.saga_id, "orders@1", False)


async def test_a_repeated_start_finds_the_first_one_in_its_version(catalogue: Catalogue) -> None:
    await versions_of(catalogue, 2)
    options = StartOptions(idempotency_key="k")
    first = await catalogue.execute("orders", {"value": 1}, options)
    await catalogue.change("orders", None, "activated", ADA, lambda one: changes.activated(one, 2))
    again = await catalogue.execute("orders", {"value": 1}, options)
    assert (again.saga_id, again.definition, again.created) == (first.saga_id, "orders@1", False)
    with pytest.raises(Conflict, match="another input"):
        await catalogue.execute("orders", {"value": 2}, options)
    await catalogue.create(workflow("others"), ADA, activate=True)
    with pytest.raises(Conflict, match="started before"):
        await catalogue.execute("others", {"value": 1}, options)
    with pytest.raises(Conflict, match="started before"):
        await catalogue.execute("orders@2", {"value": 1}, options)
    assert (await catalogue.execute("orders@1", {"value": 1}, options)).saga_id == first.saga_id


@pytest.mark.parametrize("status", [WorkflowStatus.PAUSED, WorkflowStatus.ARCHIVED])
async def test_only_what_is_active_starts(catalogue: Catalogue, status: WorkflowStatus) -> None:
    await versions_of(catalogue, 1)
    await catalogue.change("orders", None, "status", ADA, lambda one: changes.with_status(one, status))
    with pytest.raises(Conflict, match=f"is {status}"):
        await catalogue.execute("orders", {"value": 1})
    with pytest.raises(Conflict, match=f"is {status}"):
        await catalogue.start("orders@1", {"value": 1})


async def test_an_input_that_does_not_fit_the_schema_starts_nothing(catalogue: Catalogue) -> None:
    schema = {"type": "object", "required": ["value"], "properties": {"value": {"type": "integer"}}}
    await catalogue.create(workflow(input_schema=schema), ADA, activate=True)
    with pytest.raises(InvalidInput) as caught:
        await catalogue.execute("orders", {"value": "x"})
    assert [problem["pointer"] for problem in caught.value.problems] == ["/value"]


async def test_what_is_deleted_is_gone_until_it_is_restored_or_made_anew(catalogue: Catalogue) -> None:
    await versions_of(catalogue, 1)
    with pytest.raises(Conflict, match="3 running"):
        await catalogue.delete("orders", None, ADA, running=3)
    await catalogue.delete("orders", None, ADA, running=0)
    for call in (catalogue.get("orders"), catalogue.start("orders", {}), catalogue.delete("orders", None, ADA,
                 running=0)):  # fmt: skip
        with pytest.raises(NotFound):
            await call
    assert (await catalogue.restore("orders", ADA)).record.status == "ARCHIVED"
    await catalogue.delete("orders", None, ADA, running=0)
    entry = await catalogue.create(workflow(source="new"), ADA)
    assert (entry.record.status, entry.record.newest.number) == ("DRAFT", 2)
    assert (await catalogue.document("orders", 1)) == document()


async def test_every_process_hears_of_a_change(catalogue: Catalogue, running: Running) -> None:
    await versions_of(catalogue, 1)
    async with Catalogue.open(running.bus, running.definitions, running.client) as other:
        assert [entry.record.name for entry in other.all()] == ["orders"]
        entry = await catalogue.create(workflow("later"), ADA)
        async with asyncio.timeout(10):
            while other.find("later") is None:
                await asyncio.sleep(0.005)
        assert other.find("later") == entry


async def test_other_definitions_start_as_ever(catalogue: Catalogue, running: Running) -> None:
    other = SagaDefinition(name="shipped", steps=(Step(name="a", action="test.a"),))
    await running.publish(other)
    assert (await catalogue.start("shipped", {})).definition == "shipped@1"
