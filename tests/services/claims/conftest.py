"""The claims services on a bus of the test's own, with a marketplace of its own."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from events.bus import Bus
from events.definitions import Definitions
from saga.service import ServiceSettings
from services.sandboxes.marketplace import Marketplace, serve_marketplace
from tests.services.claims.kit import Claims, serving

type Run = Callable[..., AbstractAsyncContextManager[Claims]]


@pytest.fixture
def run(bus: Bus, definitions: Definitions, tmp_path: Path) -> Run:
    """Runs everything around a marketplace; settings go by the names of the environment."""

    @asynccontextmanager
    async def running(market: Marketplace, database_url: str = "", **more: str) -> AsyncIterator[Claims]:
        settings = ServiceSettings(data=tmp_path / "data", database_url=database_url, grace_s=0)
        async with serve_marketplace(market), serving(bus, definitions, market, settings, **more) as claims:
            yield claims

    return running
