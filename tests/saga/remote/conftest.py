"""The client against the real API: the log's routes and those of the integrations, on a real bus."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from saga.api.app import create_app, open_parts
from saga.api.parts import Parts
from saga.api.server import serve_api
from saga.remote.client import Api, connect
from saga.service import ServiceSettings
from services.integrations.api import open_api
from tests.world import Running


@pytest.fixture
async def parts(running: Running, data: Path) -> AsyncIterator[Parts]:
    log_url = f"sqlite+aiosqlite:///{data / 'log.db'}"
    async with open_parts(running.bus, running.definitions, log_url) as opened:
        yield opened


@pytest.fixture
async def url(parts: Parts, data: Path) -> AsyncIterator[str]:
    async with (
        open_api(ServiceSettings(data=data), {}) as routers,
        serve_api(create_app(parts, routers)) as served,
    ):
        yield served


@pytest.fixture
async def api(url: str) -> AsyncIterator[Api]:
    async with connect(url) as client:
        yield client
