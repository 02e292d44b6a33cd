"""Ids: new ones sort by time, derived ones are the same for ever."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from contracts.ids import fact_id, new_saga_id, saga_id_for
from contracts.subjects import valid_token


def test_new_ids_are_uuid7_and_sort_by_time() -> None:
    ids = [new_saga_id() for _ in range(1000)]
    assert {UUID(saga_id).version for saga_id in ids} == {7}
    assert len(set(ids)) == 1000
    assert ids == sorted(ids)


@given(first=st.text(), second=st.text())
def test_one_key_gives_one_saga(first: str, second: str) -> None:
    assert (saga_id_for(first) == saga_id_for(second)) == (first == second)
    assert valid_token(saga_id_for(first), "saga id")


def test_a_key_gives_the_same_id_in_every_process() -> None:
    assert saga_id_for("order-1") == "9b3dca39-acf2-5f20-98dc-83c1a301fa7d"


def test_a_repeated_fact_has_the_same_id_and_another_attempt_has_another() -> None:
    assert fact_id("1", "a", "completed") == fact_id("1", "a", "completed") == "1.a.completed"
    assert fact_id("1", "a", "attempt_failed", "2") == "1.a.attempt_failed.2"
