from collections.abc import AsyncIterator

import pytest

from tests.saga.triggers.kit import Starts, starting
from tests.world import Running


@pytest.fixture
async def starts(running: Running) -> AsyncIterator[Starts]:
    async with starting(running) as opened:
        yield opened
