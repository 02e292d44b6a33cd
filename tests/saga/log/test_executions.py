"""Executions by status and by family, as the log's databases answer for them."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from alembic import command

from events.database import Database
from saga.executions import ExecutionStatus, execution_status
from saga.log.project import Projector
from saga.log.queries import Filter, Queries
from saga.log.store import migration_config, open_log
from saga.state import SagaStatus
from tests.saga.log.test_projector import FAILURE, Known, message

CANCEL = {"cause": "cancel", "reason": "a\x00b", "by": "ada"}
BEGUN = [("a", "started", {"input": {}, "attempt": 1}), ("a", "completed", {"output": {}, "attempt": 1})]
STORIES: dict[str, list[tuple[str, str, dict[str, Any]]]] = {
    "running": BEGUN,
    "completed": [*BEGUN, ("b", "completed", {"output": {}, "attempt": 1})],
    "too_late": [*BEGUN, ("b", "completed", {"output": {}, "attempt": 1}), ("_saga", "aborted", CANCEL)],
    "compensated": [
        *BEGUN,
        ("b", "failed", {"failure": FAILURE, "attempt": 1}),
        ("_saga", "aborted", {"cause": "step", "step": "b"}),
        ("a", "compensated", {"attempt": 1}),
    ],
    "compensating": [*BEGUN, ("_saga", "aborted", CANCEL)],
    "cancelled": [*BEGUN, ("_saga", "aborted", CANCEL), ("a", "compensated", {"attempt": 1})],
    "given_up": [
        *BEGUN,
        ("_saga", "aborted", CANCEL),
        ("a", "compensation_failed", {"failure": FAILURE, "attempt": 1}),
        ("a", "compensation_skipped", {"by": "ada", "reason": "lost"}),
    ],
    "failed": [
        *BEGUN,
        ("_saga", "aborted", {"cause": "deadline"}),
        ("a", "compensation_failed", {"failure": FAILURE, "attempt": 1}),
        ("a", "compensation_skipped", {"by": "ada", "reason": "lost"}),
    ],
}
EXPECTED = {
    "PENDING": set(),
    "RUNNING": {"running", "compensating"},
    "COMPLETED": {"completed", "too_late"},
    "FAILED": {"failed"},
    "CANCELLED": {"cancelled", "given_up"},
    "COMPENSATED": {"compensated"},
}


@pytest.fixture
async def log(database_url: str) -> AsyncIterator[Database]:
    """A log in which each of the stories has been told, of a saga and of a child of it."""
    async with open_log(database_url) as database:
        projector, sequence = Projector(database, Known()), 0
        for name, story in STORIES.items():
            for saga_id, labels in ((name, {}), (f"child-{name}", {"parent": name})):
                started = ("_saga", "started", {"input": {}, "labels": labels})
                told = [
                    message(sequence + number, saga_id, *fact)
                    for number, fact in enumerate([started, *story], 1)
                ]
                await projector.apply(0, told)
                sequence += len(told)
        yield database


async def asked(log: Database, **wanted: Any) -> set[str]:
    page = await Queries(log).page(Filter(**wanted), limit=200)
    return {row["saga_id"] for row in page.items}


@pytest.mark.parametrize("status", ExecutionStatus)
async def test_executions_are_found_by_their_status(log: Database, status: ExecutionStatus) -> None:
    found = await asked(log, executions=(status,), without_children=True)
    assert found == EXPECTED[status]


async def test_what_is_found_is_what_is_told_of_each(log: Database) -> None:
    rows = (await Queries(log).page(Filter(), limit=200)).items
    for row in rows:
        told = execution_status(SagaStatus(row["status"]), row["abort_cause"])
        assert row["saga_id"] in await asked(log, executions=(told,))


async def test_several_statuses_are_found_together_and_children_by_their_parent(log: Database) -> None:
    both = (ExecutionStatus.COMPLETED, ExecutionStatus.CANCELLED)
    assert await asked(log, executions=both, without_children=True) == {
        "completed", "too_late", "cancelled", "given_up",
    }  # fmt: skip
    assert await asked(log, labels=(("parent", "failed"),)) == {"child-failed"}


@pytest.mark.parametrize("abort", [{}, {"cause": "x" * 100}, {"cause": ["cancel"]}, {"cause": None}])
async def test_an_abort_that_tells_no_cause_does_not_stop_the_log(
    database_url: str, abort: dict[str, Any]
) -> None:
    async with open_log(database_url) as database:
        told = [
            message(1, "odd", "_saga", "started", {"input": {}}),
            message(2, "odd", "_saga", "aborted", abort),
            message(3, "next", "_saga", "started", {"input": {}}),
        ]
        await Projector(database, Known()).apply(0, told)
        assert await asked(database, executions=(ExecutionStatus.COMPENSATED,)) == {"odd"}
        assert await asked(database, executions=(ExecutionStatus.RUNNING,)) == {"next"}


async def tell_failures(database: Database, *codes: Any) -> None:
    """A saga for each code, whose step `a` has failed with it; the message has a character of code 0."""
    projector = Projector(database, Known())
    for number, code in enumerate(codes):
        failure = {"code": code, "message": "no\x00answer", "effect": "none"}
        told: list[tuple[str, str, dict[str, Any]]] = [
            ("_saga", "started", {"input": {}}),
            ("a", "failed", {"failure": failure, "attempt": 1}),
        ]
        messages = [message(2 * number + at, f"s{number}", *fact) for at, fact in enumerate(told, 1)]
        await projector.apply(0, messages)


@pytest.mark.parametrize("from_before", [False, True])
async def test_sagas_are_found_by_what_has_failed(database_url: str, *, from_before: bool) -> None:
    async with open_log(database_url) as database:
        await tell_failures(database, "test.no", "test.down", "x" * 1000, ["odd"], "test\x00no")
        if from_before:
            async with database.engine.begin() as connection:
                await connection.run_sync(lambda sync: command.downgrade(migration_config(sync), "0003"))
                await connection.run_sync(lambda sync: command.upgrade(migration_config(sync), "head"))
        assert await asked(database, failure_code="test.no") == {"s0"}
        assert await asked(database, failure_code="test.down", failure_step="a") == {"s1"}
        assert await asked(database, failure_code="test.down", failure_step="b") == set()
        assert len(await asked(database, failure_step="a")) == 5


async def test_a_log_from_before_learns_why_its_sagas_were_aborted(log: Database) -> None:
    async with log.engine.begin() as connection:
        await connection.run_sync(lambda sync: command.downgrade(migration_config(sync), "0002"))
        await connection.run_sync(lambda sync: command.upgrade(migration_config(sync), "head"))
    found = await asked(log, executions=(ExecutionStatus.CANCELLED,), without_children=True)
    assert found == EXPECTED["CANCELLED"]
