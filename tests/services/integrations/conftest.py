"""Real HTTP targets for the generic steps, and the steps on real databases."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.services.integrations.targets import Target, open_target
from tests.services.steps import Steps, open_steps


@pytest.fixture
async def target() -> AsyncIterator[Target]:
    async with open_target() as opened:
        yield opened


@pytest.fixture
async def steps(tmp_path: Path, target: Target) -> AsyncIterator[Steps]:
    """The steps; requests may go to the target, and there are two secrets."""
    async with open_steps(tmp_path / "data") as opened:
        opened.environment = {
            "SAGA_HTTP_ALLOW": target.place,
            "SAGA_SECRET_TOKEN": "s3cret-token",
            "SAGA_SECRET_HOOK": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "SAGA_SECRET_HOOK_NEW": "whsec_bmV3IHNlY3JldCBvZiAyNCBieXRlcyE=",
        }
        yield opened
