"""What can be done to a workflow's record, as values."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.catalogue import MAX_VERSIONS, Share, WorkflowRecord, WorkflowStatus, WorkflowVersion, share_of
from contracts.failure import Conflict, InvalidContract, NotFound
from saga.workflows import changes
from tests.saga.workflows.documents import workflow

NOW = datetime(2026, 1, 31, tzinfo=UTC)
STATUSES = st.sampled_from(WorkflowStatus)


def record(versions: int = 3) -> WorkflowRecord:
    kept = tuple(
        WorkflowVersion(number=number, content_hash=str(number), created_at=NOW)
        for number in range(1, versions + 1)
    )
    return WorkflowRecord(name="orders", created_at=NOW, updated_at=NOW, versions=kept)


def shares(*versions: int) -> tuple[Share, ...]:
    return tuple(Share(version=version) for version in versions)


@given(st.lists(STATUSES, max_size=12))
def test_something_is_active_unless_it_is_a_draft_or_was_one(wanted: list[WorkflowStatus]) -> None:
    one = record()
    for status in wanted:
        try:
            one = changes.with_status(one, status)
        except Conflict:
            assert status not in changes._MOVES[one.status]
        if one.status in ("ACTIVE", "PAUSED"):
            assert one.active
        if one.status == "DRAFT":
            assert not one.active


def test_of_too_many_versions_the_oldest_is_forgotten_unless_executions_may_get_it() -> None:
    one = changes.activated(changes.activated(record(MAX_VERSIONS), 2), 5)
    for number in range(MAX_VERSIONS + 1, MAX_VERSIONS + 11):
        version = WorkflowVersion(number=number, content_hash=str(number), created_at=NOW)
        one = changes.with_version(one, workflow(), version)
    numbers = [version.number for version in one.versions]
    assert numbers[:3] == [2, 5, 11]
    assert numbers[3:] == list(range(12, MAX_VERSIONS + 11))
    assert changes.rolled_back(one).active == shares(2)
    assert len(one.model_dump_json()) < 250_000


def test_rolling_back_goes_back_step_by_step() -> None:
    one = record()
    for number in (1, 2, 3):
        one = changes.activated(one, number)
    one = changes.rolled_back(one)
    assert one.active == shares(2)
    one = changes.rolled_back(one)
    assert one.active == shares(1)
    with pytest.raises(Conflict, match="nothing active before"):
        changes.rolled_back(one)


def test_activating_takes_a_draft_live_and_leaves_what_is_paused_paused() -> None:
    assert changes.activated(record(), None).status == "ACTIVE"
    assert changes.activated(record(), None).active == shares(3)
    paused = changes.with_status(changes.activated(record(), 1), WorkflowStatus.PAUSED)
    assert changes.activated(paused, 2).status == "PAUSED"


def test_activating_what_is_active_changes_nothing() -> None:
    one = changes.activated(record(), 2)
    assert changes.activated(one, 2) == one


@pytest.mark.parametrize(
    ("versions", "error"), [((), InvalidContract), ((1, 1), InvalidContract), ((1, 9), NotFound)]
)
def test_a_split_is_of_different_versions_that_exist(
    versions: tuple[int, ...], error: type[Exception]
) -> None:
    with pytest.raises(error):
        changes.split(record(), shares(*versions))


@given(st.text(min_size=1), st.dictionaries(st.integers(1, 9), st.integers(1, 100), min_size=1, max_size=5))
def test_a_key_falls_to_one_version_however_the_shares_are_written(key: str, weights: dict[int, int]) -> None:
    given = [Share(version=version, weight=weight) for version, weight in weights.items()]
    assert share_of(tuple(given), key) == share_of(tuple(reversed(given)), key)
    assert share_of(tuple(given), key) in weights
