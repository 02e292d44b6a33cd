"""Time limits that share one timer end like `asyncio.timeout`, and only when their time is over."""

import asyncio

import pytest

from events import limits
from events.limits import Limits


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Limits:
    """Every limit counts as a long one, looked after by the shared timer."""
    monkeypatch.setattr(limits, "_SHORT_S", 0.0)
    monkeypatch.setattr(limits, "_SWEEP_S", 0.01)
    return Limits()


async def test_what_takes_too_long_is_cancelled_and_told(quick: Limits) -> None:
    limit = quick.of(0.02)
    with pytest.raises(TimeoutError):
        async with limit:
            await asyncio.Event().wait()
    assert limit.expired()


async def test_what_ends_in_time_is_left_alone(quick: Limits) -> None:
    async with quick.of(0.02) as limit:
        await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        async with quick.of(0.05):
            await asyncio.Event().wait()
    assert not limit.expired()


async def test_only_the_one_whose_time_is_over_ends(quick: Limits) -> None:
    done = asyncio.Event()

    async def patient() -> bool:
        async with quick.of(3600):
            await done.wait()
        return True

    waiting = asyncio.create_task(patient())
    with pytest.raises(TimeoutError):
        async with quick.of(0.02):
            await asyncio.Event().wait()
    done.set()
    assert await waiting


async def test_a_timeout_raised_inside_is_not_taken_for_the_limit(quick: Limits) -> None:
    limit = quick.of(3600)
    with pytest.raises(TimeoutError):
        async with limit:
            raise TimeoutError("somebody else's")
    assert not limit.expired()


async def test_a_cancellation_from_outside_stays_one(quick: Limits) -> None:
    begun = asyncio.Event()

    async def work() -> None:
        async with quick.of(3600):
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_short_limit_is_exact() -> None:
    with pytest.raises(TimeoutError):
        async with Limits().of(0.001):
            await asyncio.Event().wait()


def test_limits_outlive_an_event_loop(quick: Limits) -> None:
    async def too_long() -> None:
        async with quick.of(0.02):
            await asyncio.Event().wait()

    for _ in range(2):
        with pytest.raises(TimeoutError):
            asyncio.run(too_long())
