"""The chargeback services on real databases, with SAP and the federal database over real HTTP."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.chargebacks.demo import federal
from services.sandboxes.federal import Federal, serve_federal
from services.sandboxes.sap import SapBooks, serve_sap
from tests.services.steps import Steps, open_steps


@pytest.fixture
async def sap() -> AsyncIterator[SapBooks]:
    books = SapBooks()
    async with serve_sap(books):
        yield books


@pytest.fixture
async def federal_database() -> AsyncIterator[Federal]:
    database = federal()
    async with serve_federal(database):
        yield database


@pytest.fixture
async def steps(tmp_path: Path, sap: SapBooks, federal_database: Federal) -> AsyncIterator[Steps]:
    async with open_steps(tmp_path / "data") as opened:
        opened.environment = {"SAGA_SAP_URL": sap.url, "SAGA_FEDERAL_URL": federal_database.url}
        yield opened
