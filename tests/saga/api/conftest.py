"""The API over real HTTP, over an open log."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from saga.api.app import create_app, open_parts
from saga.api.parts import Parts
from saga.api.server import serve_api
from tests.world import Running


@pytest.fixture
async def parts(running: Running, data: Path) -> AsyncIterator[Parts]:
    async with open_parts(
        running.bus, running.definitions, f"sqlite+aiosqlite:///{data / 'log.db'}"
    ) as opened:
        yield opened


@pytest.fixture
async def url(parts: Parts) -> AsyncIterator[str]:
    async with serve_api(create_app(parts)) as served:
        yield served


@pytest.fixture
async def api(url: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=url, trust_env=False) as client:
        yield client
