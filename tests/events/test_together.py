"""Of things done at the same time, the first error stops the others and comes out as it is."""

import asyncio

import pytest

from events.together import together


async def test_answers_come_in_the_order_of_the_questions_whoever_is_first() -> None:
    first_may_go = asyncio.Event()

    async def first() -> str:
        await first_may_go.wait()
        return "first"

    async def second() -> str:
        first_may_go.set()
        return "second"

    assert await together(first(), second()) == ["first", "second"]


async def test_an_error_is_raised_when_the_others_have_been_stopped() -> None:
    stopped: list[str] = []

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            stopped.append("endless")

    async def failing() -> None:
        raise LookupError("nothing there")

    with pytest.raises(LookupError, match="nothing there"):
        await together(endless(), failing())
    assert stopped == ["endless"]
