"""What the payments tell everyone: once for each that happened, also when it is undone, on either database."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from contracts.events import EventMessage
from contracts.payments import ReceiptIssued, SettlementBooked, SettlementReversed
from events.bus import Bus
from events.definitions import Definitions
from saga.domains import domain_actions
from saga.service import ServiceSettings, serve
from saga.topology import consumers_for
from services.payments.books import check_books
from services.payments.definitions import DEFINITIONS, STANDARD
from services.sandboxes.profiles import UNDELIVERABLE
from tests.conftest import own_database
from tests.services.orders import PHONE, RECIPIENT, a_request
from tests.world import Running

_DATA = {model.event_name: model for model in (ReceiptIssued, SettlementBooked, SettlementReversed)}


@pytest.fixture(params=["sqlite", "postgresql"])
async def settings(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ServiceSettings]:
    """A SQLite file for each service, or one PostgreSQL database for all of them."""
    if request.param == "sqlite":
        yield ServiceSettings(data=tmp_path / "data", grace_s=0)
        return
    async with own_database(request.getfixturevalue("postgres_url")) as url:
        yield ServiceSettings(data=tmp_path / "data", database_url=url, grace_s=0)


@pytest.fixture
async def payments(
    running: Running, bus: Bus, definitions: Definitions, settings: ServiceSettings, own_sandbox_url: str
) -> AsyncIterator[Running]:
    await definitions.publish_all(DEFINITIONS, consumers_for)
    environment = {"SAGA_OPERATOR_URL": own_sandbox_url}
    async with serve(domain_actions("payments"), bus, definitions, settings, environment=environment):
        yield running


async def pay(payments: Running, ending: str = "") -> tuple[str, str]:
    """One payment to its end: its saga, and how it ended."""
    phone = PHONE[: len(PHONE) - len(ending)] + ending
    request = a_request(recipient=RECIPIENT | {"phone": phone})
    saga_id = await payments.start(STANDARD, **request.model_dump(mode="json"))
    return saga_id, (await payments.ended(STANDARD, saga_id)).status


async def told(bus: Bus, wanted: int) -> list[EventMessage]:
    """So many events, in stream order, each of the shape that its contract promises."""
    subject = f"{bus.subjects.events_root}.payments.>"
    subscription = await bus.jetstream.subscribe(subject, stream=bus.names.events, ordered_consumer=True)
    events = [EventMessage.decode((await subscription.next_msg(timeout=20)).data) for _ in range(wanted)]
    await subscription.unsubscribe()
    assert all(_DATA[event.type].model_validate(event.data) for event in events)
    return events


async def test_every_payment_is_told_once_and_the_books_balance(
    payments: Running, settings: ServiceSettings, own_operators: httpx2.AsyncClient
) -> None:
    ends = await asyncio.gather(*(pay(payments) for _ in range(6)))
    assert {status for _, status in ends} == {"completed"}
    events = await told(payments.bus, 12)
    for saga_id, _ in ends:
        types = [event.type for event in events if event.sagaid == saga_id]
        assert sorted(types) == ["payments.payment_confirmed", "payments.payment_settled"]
    booked = [event.data["entry"] for event in events if event.type == SettlementBooked.event_name]
    assert booked == sorted(booked), "the ledger's order is the stream's"
    books = await check_books(settings, (await own_operators.get("/statement")).json())
    assert books.balanced, books.differences


async def test_a_settlement_that_is_reversed_is_told_both_times(payments: Running) -> None:
    saga_id, status = await pay(payments, UNDELIVERABLE)
    assert status == "compensated"
    settled, reversed_ = await told(payments.bus, 2)
    assert (settled.type, reversed_.type) == ("payments.payment_settled", "payments.settlement_reversed")
    assert settled.subject == reversed_.subject == saga_id
    assert reversed_.data["entry"] == settled.data["entry"] + 1
