"""Subjects are built and read by one grammar; what would need escaping is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.failure import InvalidContract
from contracts.subjects import TOKEN, FactSubject, Subjects, partition_of, valid_token

TOKENS = st.from_regex(TOKEN, fullmatch=True)


@given(saga=TOKENS, step=TOKENS | st.just("_saga"), kind=TOKENS, saga_id=TOKENS, namespace=TOKENS | st.just(""),
       partitions=st.integers(1, 64))  # fmt: skip
def test_a_subject_reads_back_as_it_was_built(
    saga: str, step: str, kind: str, saga_id: str, namespace: str, partitions: int
) -> None:
    subjects = Subjects(namespace, partitions)
    built = subjects.checked_fact(saga, step, kind, saga_id)
    assert built == subjects.fact(saga, step, kind, saga_id)
    assert subjects.parse(built) == FactSubject(partition_of(saga_id, partitions), saga, step, kind, saga_id)


@given(saga_id=TOKENS, partitions=st.integers(1, 64))
def test_a_saga_has_one_partition_for_ever(saga_id: str, partitions: int) -> None:
    assert 0 <= partition_of(saga_id, partitions) < partitions
    assert partition_of(saga_id, partitions) == partition_of(saga_id, partitions)


def test_the_hash_is_the_same_on_every_machine() -> None:
    assert [partition_of(f"saga-{number}", 4) for number in range(8)] == [3, 1, 3, 1, 2, 0, 2, 0]


_NEWLINE = pytest.param("a\n")


@pytest.mark.parametrize("token", ["", "a.b", "a b", "*", ">", "-a", "_a", "a" * 65, "ä", "a\r\n", _NEWLINE])
def test_a_token_that_would_need_escaping_is_refused(token: str) -> None:
    with pytest.raises(InvalidContract, match="no subject token"):
        valid_token(token, "step")


@given(subject=st.text(max_size=60))
def test_reading_any_text_gives_a_subject_or_a_reason(subject: str) -> None:
    try:
        parsed = Subjects().parse(subject)
    except InvalidContract:
        return
    assert subject.startswith(f"evt.{parsed.partition}.")


def test_a_subject_of_another_namespace_is_refused() -> None:
    with pytest.raises(InvalidContract):
        Subjects("other").parse(Subjects("mine").fact("s", "a", "completed", "1"))


@pytest.mark.parametrize("partitions", [0, 65, -1])
def test_partitions_are_between_1_and_64(partitions: int) -> None:
    with pytest.raises(InvalidContract):
        Subjects(partitions=partitions)


def test_the_filters_match_the_facts() -> None:
    subjects = Subjects("ns")
    assert subjects.fact("pay", "a", "completed", "1") == "ns.evt.0.pay.a.completed.1"
    assert subjects.heard(0, "pay", "a", "completed") == "ns.evt.0.pay.a.completed.*"
    assert subjects.all_of("pay", "1") == "ns.evt.0.pay.*.*.1"
    assert subjects.own("pay", "a", "1") == "ns.evt.0.pay.a.*.1"
    assert subjects.partition(0) == "ns.evt.0.*.*.*.*"
