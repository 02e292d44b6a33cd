"""Doing several things at the same time, where the time goes into waiting for answers."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def together[Answer](*work: Coroutine[Any, Any, Answer]) -> list[Answer]:
    """Their answers, in the order given. The first error is raised as it is, when the others have been stopped."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
