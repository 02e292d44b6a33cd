"""Each step on its real database, under the guard: done once, undone once, refused for a reason."""

import asyncio
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlmodel import select

from contracts.ids import new_saga_id
from contracts.payments import RateLocked
from saga.execution import Done, Failed, Gone
from services.payments.market import market
from services.payments.rules import VELOCITY_COUNT
from services.payments.steps.check_liquidity import check_liquidity
from services.payments.steps.confirm_payment import confirm_payment, receipt_hash
from services.payments.steps.create_payment import create_payment
from services.payments.steps.lock_exchange_rate import lock_exchange_rate
from services.payments.steps.optimize_route import optimize_route
from services.payments.steps.settle_payment import settle_payment
from services.payments.steps.validate_compliance import validate_compliance
from services.payments.steps.validate_payment import validate_payment
from services.payments.tables import LedgerEntry, Payment, Pool, PoolEntry, RateLock, Receipt, ScreenedPayment
from services.sandboxes.profiles import UNDELIVERABLE
from tests.services.orders import (
    PHONE,
    RECIPIENT,
    a_request,
    to_confirm,
    to_create,
    to_lock,
    to_reserve,
    to_screen,
    to_settle,
    to_validate,
)
from tests.services.steps import Steps

UNDOABLE = [
    (create_payment, to_create(a_request()), Payment),
    (check_liquidity, to_reserve(), PoolEntry),
    (lock_exchange_rate, to_lock(), RateLock),
    (settle_payment, to_settle(), LedgerEntry),
]
undoable = pytest.mark.parametrize(
    ("action", "command", "table"), UNDOABLE, ids=[action.name for action, _, _ in UNDOABLE]
)


@pytest.fixture
def saga_id() -> str:
    return new_saga_id()


@undoable
async def test_a_repeated_delivery_does_it_once(steps, saga_id, action, command, table) -> None:  # type: ignore[no-untyped-def]
    first = await steps.do(action, command, saga_id)
    assert await steps.do(action, command, saga_id, attempt=2) == first
    assert len(await steps.rows(action, select(table))) == 1


@undoable
async def test_a_repeated_undo_undoes_it_once(steps, saga_id, action, command, table) -> None:  # type: ignore[no-untyped-def]
    await steps.done(action, command, saga_id)
    assert await steps.undo(action, command, saga_id) == Done(None)
    after_one = await steps.rows(action, select(table))
    assert await steps.undo(action, command, saga_id) == Done(None)
    assert await steps.rows(action, select(table)) == after_one


@undoable
async def test_an_undo_that_comes_first_bars_the_step(steps, saga_id, action, command, table) -> None:  # type: ignore[no-untyped-def]
    assert await steps.undo(action, command, saga_id) == Done(None)
    assert await steps.do(action, command, saga_id) == Gone()
    assert await steps.rows(action, select(table)) == []


async def test_a_payment_is_created_and_cancelled(steps: Steps, saga_id: str) -> None:
    created = await steps.done(create_payment, to_create(a_request()), saga_id)
    (payment,) = await steps.rows(create_payment, select(Payment))
    assert (payment.payment_id, payment.status, payment.amount) == (
        created.payment_id,
        "created",
        Decimal("250.00"),
    )
    await steps.undo(create_payment, to_create(a_request()), saga_id)
    (payment,) = await steps.rows(create_payment, select(Payment))
    assert payment.status == "cancelled"


async def test_a_valid_payment_is_valued_and_its_number_normalized(steps: Steps, saga_id: str) -> None:
    request = a_request(recipient=RECIPIENT | {"phone": "0712 123 456"})
    validated = await steps.done(validate_payment, to_validate(request), saga_id)
    assert validated.corridor == "GB-KE"
    assert validated.amount_usd == Decimal("317.26")
    assert validated.recipient_phone == PHONE


async def test_an_invalid_payment_is_refused(steps: Steps, saga_id: str) -> None:
    command = to_validate(a_request(destination_currency="UGX"))
    assert await steps.refused(validate_payment, command, saga_id) == "validation.unsupported_payout"


async def test_a_route_is_chosen(steps: Steps, saga_id: str) -> None:
    command = optimize_route.input(corridor="GB-KE", amount_usd="317.26", optimize_for="cost")
    route = await steps.done(optimize_route, command, saga_id)
    assert (route.hops[0], route.hops[-1]) == ("GB", "KE")
    nowhere = optimize_route.input(corridor="GB-BR", amount_usd="317.26", optimize_for="cost")
    assert await steps.refused(optimize_route, nowhere, saga_id) == "route.none"


async def test_screening_counts_the_senders_payments_of_a_day(steps: Steps) -> None:
    command = to_screen(a_request(), screening="reduced")
    for _ in range(VELOCITY_COUNT["reduced"]):
        await steps.done(validate_compliance, command, new_saga_id())
    assert await steps.refused(validate_compliance, command, new_saga_id()) == "compliance.velocity"
    steps.skew = timedelta(days=1, seconds=1)
    await steps.done(validate_compliance, command, new_saga_id())


async def test_a_refused_payment_does_not_count_and_stays_refused(steps: Steps, saga_id: str) -> None:
    sanctioned = to_screen(a_request(recipient=RECIPIENT | {"name": "Bakary Tsongo, Colonel"}))
    assert await steps.refused(validate_compliance, sanctioned, saga_id) == "compliance.sanctions"
    assert await steps.rows(validate_compliance, select(ScreenedPayment)) == []
    # A second delivery gets the refusal that was noted, even if the list has changed meanwhile.
    again = await steps.do(validate_compliance, to_screen(a_request()), saga_id)
    assert isinstance(again, Failed)
    assert again.failure.code == "compliance.sanctions"


async def test_the_pool_is_never_overdrawn_by_payments_at_the_same_time(steps: Steps) -> None:
    command = to_reserve("100000.00")
    reserved = Decimal(100_000) / market().rates["GBP"] * market().rates["KES"]
    fitting = int(market().pools["KES"] // reserved)
    await steps.database(check_liquidity)
    ends = await asyncio.gather(
        *(steps.do(check_liquidity, command, new_saga_id()) for _ in range(fitting + 8))
    )
    refused = [end.failure.code for end in ends if isinstance(end, Failed)]
    assert refused == ["liquidity.insufficient"] * 8
    (pool,) = await steps.rows(check_liquidity, select(Pool).where(Pool.currency == "KES"))
    entries = await steps.rows(check_liquidity, select(PoolEntry))
    assert 0 <= pool.free < reserved
    assert pool.held + sum(entry.change for entry in entries) == pool.free


async def test_released_liquidity_can_be_reserved_again(steps: Steps, saga_id: str) -> None:
    everything = to_reserve("360000.00")
    await steps.done(check_liquidity, everything, saga_id)
    assert await steps.refused(check_liquidity, everything, new_saga_id()) == "liquidity.insufficient"
    await steps.undo(check_liquidity, everything, saga_id)
    await steps.done(check_liquidity, everything, new_saga_id())


async def test_a_currency_without_a_pool_is_refused(steps: Steps, saga_id: str) -> None:
    assert await steps.refused(check_liquidity, to_reserve(currency="BRL"), saga_id) == "liquidity.no_pool"


async def test_a_rate_is_locked_until_it_expires(steps: Steps, saga_id: str) -> None:
    locked: RateLocked = await steps.done(lock_exchange_rate, to_lock(), saga_id)
    lasts = locked.expires_at - steps.now()
    assert timedelta(0) < lasts <= timedelta(seconds=market().rate_lock_s)
    assert str(locked.fee) == "3.80 GBP"
    await steps.undo(lock_exchange_rate, to_lock(), saga_id)
    (lock,) = await steps.rows(lock_exchange_rate, select(RateLock))
    assert lock.status == "released"


async def test_there_is_no_rate_for_an_unknown_currency(steps: Steps, saga_id: str) -> None:
    assert await steps.refused(lock_exchange_rate, to_lock(currency="BRL"), saga_id) == "rate.none"


async def test_a_payment_settles_once_and_is_reversed_by_an_entry(steps: Steps, saga_id: str) -> None:
    settled = await steps.done(settle_payment, to_settle(), saga_id)
    assert settled.entry == 1
    await steps.undo(settle_payment, to_settle(), saga_id)
    booked = await steps.rows(settle_payment, select(LedgerEntry))
    assert [entry.reverses for entry in booked] == [None, f"{saga_id}.settle_payment"]
    assert booked[1].previous_hash == settled.entry_hash


async def test_a_receipt_is_issued_once_and_its_hash_can_be_checked(steps: Steps, saga_id: str) -> None:
    confirmed = await steps.done(confirm_payment, to_confirm(), saga_id)
    assert await steps.done(confirm_payment, to_confirm(), saga_id) == confirmed
    (receipt,) = await steps.rows(confirm_payment, select(Receipt))
    assert receipt.hash == confirmed.receipt_hash == receipt_hash(confirmed.receipt_number, to_confirm())


async def test_a_receipt_that_cannot_be_delivered_is_refused(steps: Steps, saga_id: str) -> None:
    undeliverable = to_confirm(phone=PHONE[:-3] + UNDELIVERABLE)
    assert await steps.refused(confirm_payment, undeliverable, saga_id) == "confirmation.undeliverable"
    assert await steps.rows(confirm_payment, select(Receipt)) == []
