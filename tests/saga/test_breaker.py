"""The breaker, where pybreaker alone is wrong for coroutines."""

import asyncio

import pytest

from saga.action import Refused, Unavailable
from saga.breaker import Breaker, BreakerConfig, BreakerOpen
from saga.execution import counts_against


class Time:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def breaker(time: Time) -> Breaker:
    config = BreakerConfig(
        failure_threshold=2, reset_timeout_s=10, half_open_max_calls=1, success_threshold=1
    )
    return Breaker("b", config, fails=counts_against, clock_s=time)


async def fail(breaker: Breaker) -> None:
    with pytest.raises(Unavailable):
        async with breaker:
            raise Unavailable("t.down", "down")


async def test_it_opens_after_failures_in_a_row_and_keeps_the_error(breaker: Breaker) -> None:
    await fail(breaker)
    assert breaker.state == "closed"
    await fail(breaker)
    assert breaker.state == "open"
    with pytest.raises(BreakerOpen) as caught:
        async with breaker:
            raise AssertionError("nobody is let in")
    assert caught.value.retry_after_s == 10


async def test_a_refusal_is_an_answer_and_no_failure(breaker: Breaker) -> None:
    for _ in range(5):
        with pytest.raises(Refused):
            async with breaker:
                raise Refused("t.no", "no")
    assert breaker.state == "closed"


async def test_a_cancelled_call_says_nothing_about_the_other_side(breaker: Breaker) -> None:
    for _ in range(3):
        with pytest.raises(asyncio.CancelledError):
            async with breaker:
                raise asyncio.CancelledError
    assert (breaker.state, breaker.failures) == ("closed", 0)


async def test_half_open_lets_one_probe_in_and_its_success_closes(breaker: Breaker, time: Time) -> None:
    await fail(breaker)
    await fail(breaker)
    time.now_s = 11
    async with breaker:
        assert breaker.state == "half-open"
        other = asyncio.create_task(breaker.__aenter__())
        with pytest.raises(BreakerOpen):
            await other
    assert breaker.state == "closed"


async def test_a_failed_probe_opens_it_again(breaker: Breaker, time: Time) -> None:
    await fail(breaker)
    await fail(breaker)
    time.now_s = 11
    await fail(breaker)
    assert (breaker.state, breaker.retry_after_s) == ("open", 10)


async def test_a_late_result_of_an_earlier_generation_is_dropped(breaker: Breaker) -> None:
    go_on = asyncio.Event()

    async def slow() -> None:
        async with breaker:
            await go_on.wait()

    late = asyncio.create_task(slow())
    await asyncio.wait({asyncio.create_task(fail(breaker))})
    await fail(breaker)
    assert breaker.state == "open"
    go_on.set()
    await late
    assert breaker.state == "open"


async def test_a_person_can_close_it(breaker: Breaker) -> None:
    await fail(breaker)
    await fail(breaker)
    breaker.reset()
    async with breaker:
        assert breaker.state == "closed"
