"""Each step service is a FastStream application of its own."""

import asyncio
import json
import os
import sys
from pathlib import Path

import httpx2
import pytest

from contracts.failure import InvalidContract, NotFound
from contracts.ids import new_saga_id
from events.bus import Bus
from events.definitions import Definitions
from events.settings import BusSettings
from events.streams import declare
from saga.cli import system
from saga.client import SagaClient
from saga.domains import domain_actions, domain_api, domain_definitions
from saga.topology import consumers_for
from services.payments import STEP_MODULES
from tests.world import Running


def test_a_domain_offers_what_its_contract_promises() -> None:
    assert len(domain_actions("payments")) == len(STEP_MODULES) == 9
    assert len(domain_definitions("payments")) == 5
    with pytest.raises(NotFound, match="there are payments"):
        domain_actions("nothing")


def test_a_domain_that_breaks_its_contract_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.payments.STEP_MODULES", STEP_MODULES[:-1])
    with pytest.raises(InvalidContract, match=r"payments\.confirm_payment is promised but not offered"):
        domain_actions("payments")


async def test_faststream_runs_one_step_service(nats_url: str, namespace: str, tmp_path: Path) -> None:
    settings = BusSettings(url=nats_url, namespace=namespace)
    async with await Bus.connect(settings) as bus:
        await declare(bus)
        async with Definitions.open(bus) as definitions:
            definition = domain_definitions("payments")[0]
            await definitions.publish(definition, consumers_for)
            environment = os.environ | {
                "NATS_URL": nats_url, "SAGA_BUS_NAMESPACE": namespace, "SAGA_DATA": str(tmp_path),
            }  # fmt: skip
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "faststream", "run", "services.payments.steps.create_payment:app",
                env=environment, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            try:
                sample = json.loads(
                    (Path("services/payments/sample/payments.jsonl")).read_text().splitlines()[0]
                )
                saga_id = new_saga_id()
                client = SagaClient(bus, definitions)
                saga_id = (await client.start(definition.ref, sample["request"])).saga_id
                running = Running(bus, definitions, tmp_path)
                state = await running.until(
                    definition, saga_id, lambda state: state.steps["create_payment"].status == "completed", 40
                )
                assert state.steps["validate_payment"].status == "pending"
            finally:
                process.terminate()
                await process.wait()


async def test_a_domain_answers_for_itself_beside_everything_else(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "NATS_URL"}
    async with (
        system.running(["integrations"], tmp_path, environment=environment) as up,
        httpx2.AsyncClient(base_url=up.api_url, trust_env=False) as client,
    ):
        for path in ("/api/v1/webhooks", "/api/v1/webhook-deliveries", "/api/v1/transformation-rules"):
            assert (await client.get(path)).json() == {"items": [], "next_cursor": None}
        assert "/api/v1/webhooks/{name}" in (await client.get("/openapi.json")).json()["paths"]


async def test_a_domain_without_answers_is_given_no_port() -> None:
    assert domain_api("payments") is None
    with pytest.raises(InvalidContract, match="leave --port out"):
        await system.serve_domain("payments", "127.0.0.1", 0)
