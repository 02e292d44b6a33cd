"""One parent of processes for all fault tests of a run."""

from collections.abc import AsyncIterator

import pytest

from tests.faults.zygote import Zygote


@pytest.fixture(scope="session")
async def zygote() -> AsyncIterator[Zygote]:
    async with Zygote() as opened:
        yield opened
