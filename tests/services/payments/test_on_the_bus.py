"""Whole payments through the bus, the participants, real databases and real HTTP."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlmodel import select

from contracts.definition import SagaDefinition
from contracts.directives import Directives
from contracts.facts import FactKind, Recorded
from events.bus import Bus
from events.database import Database, make_engine
from events.definitions import Definitions
from events.read import follow, read_saga
from saga.client import SagaClient, StartOptions
from saga.domains import domain_actions
from saga.rerun.ground import Ground
from saga.service import ServiceSettings, serve
from saga.state import SagaState, fold
from saga.topology import consumers_for
from saga.whatif import Change, judge
from services.payments.books import check_books, read_records
from services.payments.customizing import customize
from services.payments.definitions import DEFINITIONS
from services.payments.tables import ScreenedPayment
from services.sandboxes.profiles import BLOCKED, LOST_ANSWER, STRANDED, UNDELIVERABLE
from tests.services.orders import PHONE, RECIPIENT, a_request

_PATIENCE_S = 30
_QUICK = {"kind": "fixed", "max_attempts": 2, "delay_s": 0.05}


@dataclass(frozen=True, slots=True)
class Payments:
    """The nine services on a bus, with the operators' statement."""

    bus: Bus
    definitions: Definitions
    settings: ServiceSettings
    operators: httpx2.AsyncClient

    async def play(
        self, definition: SagaDefinition, ending: str = "", *, dry_run: bool = False
    ) -> tuple[str, SagaState]:
        """One payment to its end: its id, and how it ended."""
        phone = PHONE[: len(PHONE) - len(ending)] + ending
        request = a_request(
            recipient=RECIPIENT | {"phone": phone}, amount={"amount": "200", "currency": "GBP"}
        )
        client = SagaClient(self.bus, self.definitions)
        options = StartOptions(directives=Directives(dry_run=dry_run))
        started = await client.start(definition.ref, request.model_dump(mode="json"), options)
        async with asyncio.timeout(_PATIENCE_S):
            async for batch in follow(self.bus, 0, 0):
                if any(started.saga_id in message.subject for message in batch):
                    state = fold(definition, await read_saga(self.bus, started.saga_id))
                    if state.ended:
                        return started.saga_id, state
        raise AssertionError("the stream ended")

    async def movements(self) -> list[str]:
        return [line["kind"] for line in (await self.operators.get("/statement")).json()]

    async def screened(self) -> list[ScreenedPayment]:
        database = Database(make_engine(self.settings.url_of("validate_compliance")))
        async with database.transaction() as session:
            found = list((await session.exec(select(ScreenedPayment))).all())
        await database.close()
        return found

    async def balanced(self) -> bool:
        statement: list[dict[str, Any]] = (await self.operators.get("/statement")).json()
        return (await check_books(self.settings, statement)).balanced


@pytest.fixture
async def payments(
    bus: Bus,
    definitions: Definitions,
    tmp_path: Path,
    own_sandbox_url: str,
    own_operators: httpx2.AsyncClient,
) -> AsyncIterator[Payments]:
    await definitions.publish_all((*DEFINITIONS, impatient()), consumers_for)
    settings = ServiceSettings(data=tmp_path / "data")
    environment = {"SAGA_OPERATOR_URL": own_sandbox_url}
    async with serve(domain_actions("payments"), bus, definitions, settings, environment=environment):
        yield Payments(bus, definitions, settings, own_operators)


def impatient() -> SagaDefinition:
    """STANDARD, but an operator gets two tries only."""
    customized = customize({"name": "payment-impatient", "steps": {"execute_mmo": {"retry": _QUICK}}})
    assert customized.definition is not None
    return customized.definition


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda definition: definition.name)
async def test_a_payment_completes_under_every_preset(payments: Payments, definition: SagaDefinition) -> None:
    _, state = await payments.play(definition)
    assert state.status == "completed"
    assert await payments.movements() == ["payout"]
    assert await payments.balanced()


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda definition: definition.name)
async def test_a_dry_run_completes_under_every_preset_and_does_nothing(
    payments: Payments, definition: SagaDefinition
) -> None:
    before = await read_records(payments.settings, [])
    # An operator that is asked would refuse.
    saga_id, state = await payments.play(definition, BLOCKED, dry_run=True)
    assert state.status == "completed"
    assert await payments.movements() == []
    assert await read_records(payments.settings, []) == before
    assert before.pools
    assert await payments.screened() == []
    events = await payments.bus.jetstream.stream_info(payments.bus.names.events)
    assert events.state.messages == 0
    outputs = {
        one.fact.subject: one.fact.data["output"]
        for one in await read_saga(payments.bus, saga_id)
        if one.fact.kind == FactKind.COMPLETED and one.fact.subject in definition.by_name
    }
    assert outputs["execute_mmo"]["paid"] == outputs["lock_exchange_rate"]["payout"]


@pytest.mark.parametrize(
    ("ending", "undone", "movements"),
    [
        (BLOCKED, {"create_payment", "check_liquidity", "lock_exchange_rate"}, []),
        (
            UNDELIVERABLE,
            {"create_payment", "check_liquidity", "lock_exchange_rate", "execute_mmo", "settle_payment"},
            ["payout", "reversal"],
        ),
    ],
)
async def test_a_late_refusal_undoes_everything_before_it(
    payments: Payments, ending: str, undone: set[str], movements: list[str]
) -> None:
    saga_id, state = await payments.play(DEFINITIONS[0], ending)
    assert state.status == "compensated"
    facts = await read_saga(payments.bus, saga_id)
    assert {one.fact.key[0] for one in facts if one.fact.key[1] == FactKind.COMPENSATED} == undone
    assert await payments.movements() == movements
    assert await payments.balanced()


async def test_a_lost_answer_costs_nobody_anything(payments: Payments) -> None:
    _, state = await payments.play(DEFINITIONS[0], LOST_ANSWER)
    assert state.status == "completed"
    assert await payments.movements() == ["payout"]
    assert await payments.balanced()


async def test_a_payout_that_may_have_happened_is_called_back(payments: Payments) -> None:
    # The last try certainly had no effect, but the first one had: what counts is what may have happened.
    _, state = await payments.play(impatient(), STRANDED)
    assert state.status == "compensated"
    assert await payments.movements() == ["payout", "reversal"]
    assert await payments.balanced()


async def test_a_payment_done_again_by_the_code_that_did_it_goes_the_same_way(payments: Payments) -> None:
    saga_id, _ = await payments.play(DEFINITIONS[0])
    facts = await read_saga(payments.bus, saga_id)

    async def told() -> AsyncIterator[tuple[str, list[Recorded]]]:
        yield saga_id, facts

    actions = {action.name: action for action in domain_actions("payments")}
    environment = {"SAGA_OPERATOR_URL": "http://127.0.0.1:9"}
    async with Ground(actions, environment=environment) as ground:
        verdict = await judge(Change(ground=ground), told(), payments.definitions.fetch)
    assert (verdict.judged, verdict.told) == (1, {})
    assert verdict.done_again == dict.fromkeys(actions, 1)
