"""The payment services on real databases, and the sandbox operators over real HTTP."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from services.sandboxes.mobile_money import serve_sandbox
from tests.services.steps import Steps, open_steps


@pytest.fixture(scope="session")
async def sandbox_url() -> AsyncIterator[str]:
    """One sandbox for all tests of a worker: they tell their transfers apart by key."""
    async with serve_sandbox() as url:
        yield url


@pytest.fixture
async def own_sandbox_url(tmp_path: Path) -> AsyncIterator[str]:
    """A sandbox whose behaviour the test may change, and whose statement is the test's own."""
    async with serve_sandbox(tmp_path / "operators.db") as url:
        yield url


@pytest.fixture
async def operators(sandbox_url: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=sandbox_url, trust_env=False) as client:
        yield client


@pytest.fixture
async def own_operators(own_sandbox_url: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=own_sandbox_url, trust_env=False) as client:
        yield client


@pytest.fixture
async def steps(tmp_path: Path, sandbox_url: str) -> AsyncIterator[Steps]:
    async with open_steps(tmp_path / "data", sandbox_url) as opened:
        yield opened
