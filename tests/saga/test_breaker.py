"""The breaker, where pybreaker alone is wrong for coroutines."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from contracts.breakers import BreakerConfig
from contracts.failure import InvalidContract
from saga.action import Refused, Unavailable
from saga.breaker import Breaker, BreakerOpen, Breakers
from saga.execution import counts_against


class Time:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_s(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def breaker(time: Time) -> Breaker:
    config = BreakerConfig(failure_threshold=2, reset_timeout_s=10.0, probe_lease_s=60.0)
    return Breakers(config, fails=counts_against, clock=time).get("b")


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
    time.pass_s(11)
    async with breaker:
        assert breaker.state == "half_open"
        other = asyncio.create_task(breaker.__aenter__())
        with pytest.raises(BreakerOpen):
            await other
    assert breaker.state == "closed"


async def test_a_cancelled_probe_gives_its_place_back(breaker: Breaker, time: Time) -> None:
    await fail(breaker)
    await fail(breaker)
    time.pass_s(11)
    with pytest.raises(asyncio.CancelledError):
        async with breaker:
            raise asyncio.CancelledError
    assert breaker.state == "half_open"
    async with breaker:
        assert len(breaker.record.probes) == 1
    assert breaker.state == "closed"


async def test_a_failed_probe_opens_it_again(breaker: Breaker, time: Time) -> None:
    await fail(breaker)
    await fail(breaker)
    time.pass_s(11)
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


async def test_calls_within_calls_of_one_task_are_told_apart(breaker: Breaker) -> None:
    async with breaker:
        await fail(breaker)
        assert breaker.failures == 1
    assert breaker.failures == 0


@pytest.mark.parametrize("name", ["", "a..b", "a b", "a.*", ".a", "_saga", "a.>", "x" * 129])
def test_a_name_that_cannot_be_part_of_a_subject_is_refused(name: str) -> None:
    with pytest.raises(InvalidContract, match="breaker name"):
        Breakers(fails=counts_against).get(name)
