"""A mobile-money operator is down: its payments wait for it in all replicas, and spend no attempts."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2

from contracts.breakers import BreakerConfig
from contracts.definition import SagaDefinition, Step
from contracts.retries import FixedRetry
from events.breakers import BreakerBucket
from events.bus import Bus
from events.clock import utc_now
from saga.breaker_ledger import Ledger
from saga.breaker_machine import Reset
from saga.service import ServiceSettings, serve
from saga.state import SagaStatus
from services.payments.steps.execute_mmo import execute_mmo
from tests.services.orders import to_pay
from tests.world import Running

PAYOUT = SagaDefinition(
    name="payout",
    steps=(
        Step(
            name="pay",
            action="payments.execute_mmo",
            input={name: f"${{input.{name}}}" for name in type(to_pay()).model_fields},
            retry=FixedRetry(max_attempts=2, delay_s=0.01),
        ),
    ),
)


async def test_payments_wait_for_an_operator_that_is_down_and_go_on_when_it_is_back(
    running: Running, data: Path, own_sandbox_url: str, own_operators: httpx2.AsyncClient
) -> None:
    await own_operators.put("/admin/mpesa", json={"outage": True})
    await running.publish(PAYOUT)
    settings = ServiceSettings(
        data=data, grace_s=0, breaker_failure_threshold=1, breaker_reset_timeout_s=600.0
    )
    async with AsyncExitStack() as stack:
        person = await stack.enter_async_context(Ledger(BreakerConfig(), utc_now, BreakerBucket(running.bus)))
        for _ in range(2):
            bus = await stack.enter_async_context(await Bus.connect(running.bus.settings))
            environment = {"SAGA_OPERATOR_URL": own_sandbox_url}
            await stack.enter_async_context(
                serve([execute_mmo], bus, running.definitions, settings, environment=environment)
            )
        first = await running.start(PAYOUT, **to_pay().model_dump(mode="json"))
        await wait_until_open(person)
        others = [await running.start(PAYOUT, **to_pay().model_dump(mode="json")) for _ in range(4)]
        # The first, its second attempt, and the others: all have been delivered, and were held back.
        await wait_until_delivered(running.bus, 6)
        await own_operators.put("/admin/mpesa", json={"outage": False})
        await person.rule("operator.mpesa", Reset(at=utc_now(), by="ada", reason="M-Pesa is back"))
        states = [await running.ended(PAYOUT, saga_id) for saga_id in (first, *others)]
    assert {state.status for state in states} == {SagaStatus.COMPLETED}
    assert [state.steps["pay"].attempt for state in states] == [2, 1, 1, 1, 1]


async def wait_until_open(ledger: Ledger) -> None:
    async with asyncio.timeout(20):
        while ledger.view("operator.mpesa").state != "open":
            await asyncio.sleep(0.01)


async def wait_until_delivered(bus: Bus, deliveries: int) -> None:
    async with asyncio.timeout(20):
        while True:
            info = await bus.jetstream.consumer_info(bus.names.facts(0), "payments-execute_mmo")
            if info.delivered is not None and info.delivered.consumer_seq >= deliveries:
                return
            await asyncio.sleep(0.02)
