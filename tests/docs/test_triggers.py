"""The triggers of the guide can be created as they stand."""

from collections.abc import AsyncIterator

import pytest
import yaml

from contracts.triggers import parse_trigger
from tests.docs.test_docs import ROOT, blocks
from tests.saga.triggers.kit import ADA, Starts, starting
from tests.saga.workflows.documents import workflow
from tests.world import Running

GUIDE = ROOT / "docs/guides/triggers.md"
KINDS = {"EVENT", "SCHEDULE", "WEBHOOK", "MANUAL"}


@pytest.fixture
async def starts(running: Running) -> AsyncIterator[Starts]:
    async with starting(running) as opened:
        for name in ("submit-lead", "reconcile"):
            await opened.catalogue.create(workflow(name), ADA, activate=True)
        yield opened


async def test_the_triggers_of_the_guide_can_be_created(starts: Starts) -> None:
    documents = [yaml.safe_load(block) for block in blocks(GUIDE, "yaml")]
    assert {document["kind"] for document in documents} == KINDS
    for document in documents:
        await starts.create(parse_trigger(document))
