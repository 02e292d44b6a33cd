"""The casefile steps on a real database, with the sample's mailbox and drive."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.casefiles.sample import MAILBOX, lay_out
from tests.services.casefiles.imap import imap_server
from tests.services.steps import Steps, open_steps


@pytest.fixture(scope="session")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lay_out(tmp_path_factory.mktemp("office"))


@pytest.fixture(scope="session")
def connected(drive: Path) -> dict[str, str]:
    """The settings that lead to the sample."""
    return {"SAGA_MAILBOX": str(MAILBOX), "SAGA_DRIVE": str(drive)}


@pytest.fixture(scope="session")
async def imap_port() -> AsyncIterator[int]:
    """The port of an IMAP server with the sample's mails."""
    async with imap_server(MAILBOX) as port:
        yield port


@pytest.fixture
async def steps(tmp_path: Path, connected: dict[str, str]) -> AsyncIterator[Steps]:
    async with open_steps(tmp_path / "data") as opened:
        opened.environment = connected
        yield opened
