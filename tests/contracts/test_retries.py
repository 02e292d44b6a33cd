"""Retry policies: how long a failed attempt waits, and when it was the last."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from contracts.failure import Failure
from contracts.retries import (
    ExponentialRetry,
    FixedRetry,
    LinearRetry,
    NoRetry,
    RetryPolicy,
    next_delay_s,
)

DOWN = Failure(code="operator.down", message="", retryable=True)
NO = Failure(code="rate.no_quote", message="", retryable=False)
SECONDS = st.floats(0.001, 3600)
ATTEMPTS = st.integers(2, 1000)
POLICIES = (
    st.builds(NoRetry)
    | st.builds(FixedRetry, max_attempts=ATTEMPTS, delay_s=SECONDS)
    | st.builds(LinearRetry, max_attempts=ATTEMPTS, delay_s=SECONDS, increment_s=SECONDS, max_delay_s=SECONDS)
    | st.builds(
        ExponentialRetry, max_attempts=ATTEMPTS, delay_s=SECONDS, factor=st.floats(1, 10), max_delay_s=SECONDS,
        jitter=st.floats(0, 1),
    )
)  # fmt: skip


@given(policy=POLICIES, attempt=st.integers(1, 1200), chance=st.floats(0, 1, exclude_max=True))
def test_every_attempt_but_the_last_is_repeated_after_a_bounded_delay(
    policy: RetryPolicy, attempt: int, chance: float
) -> None:
    delay_s = next_delay_s(policy, DOWN, attempt, chance)
    if attempt >= policy.max_attempts:
        assert delay_s is None
    else:
        assert delay_s is not None
        longest = policy.delay_s if isinstance(policy, FixedRetry) else getattr(policy, "max_delay_s", 0.0)
        jitter = policy.jitter if isinstance(policy, ExponentialRetry) else 0.0
        assert 0 <= delay_s <= longest * (1 + jitter)


@given(policy=POLICIES)
def test_delays_never_shrink(policy: RetryPolicy) -> None:
    delays = [policy.delay_after(attempt) for attempt in range(1, 200)]
    assert delays == sorted(delays)


@given(policy=POLICIES)
def test_json_gives_the_same_policy_back(policy: RetryPolicy) -> None:
    adapter: TypeAdapter[RetryPolicy] = TypeAdapter(RetryPolicy)
    assert adapter.validate_json(adapter.dump_json(policy)) == policy


def test_the_delays_are_those_of_the_policy() -> None:
    linear = LinearRetry(max_attempts=9, delay_s=1, increment_s=2, max_delay_s=4)
    assert [linear.delay_after(attempt) for attempt in (1, 2, 3)] == [1, 3, 4]
    doubling = ExponentialRetry(max_attempts=9, delay_s=0.5, max_delay_s=3, jitter=0.2)
    assert [doubling.delay_after(attempt) for attempt in (1, 2, 3, 4)] == [0.5, 1, 2, 3]
    assert next_delay_s(doubling, DOWN, 2, 0.0) == pytest.approx(0.8)
    assert next_delay_s(doubling, DOWN, 2, 0.5) == pytest.approx(1.0)


def test_only_what_is_retryable_is_repeated() -> None:
    fixed = FixedRetry(max_attempts=3, delay_s=1)
    assert next_delay_s(fixed, NO, 1, 0.5) is None
    chosen = FixedRetry(max_attempts=3, delay_s=1, retryable_errors=("rate.no_quote",))
    assert next_delay_s(chosen, NO, 1, 0.5) == 1
    assert next_delay_s(chosen, DOWN, 1, 0.5) is None


@pytest.mark.parametrize("policy", [
    {"kind": "fixed", "max_attempts": 1}, {"kind": "fixed", "delay_s": 0}, {"kind": "exponential", "factor": 0.5},
    {"kind": "exponential", "jitter": 1.5}, {"kind": "never"}, {"kind": "none", "delay_s": 1},
])  # fmt: skip
def test_a_policy_that_makes_no_sense_is_refused(policy: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter[RetryPolicy](RetryPolicy).validate_python(policy)
