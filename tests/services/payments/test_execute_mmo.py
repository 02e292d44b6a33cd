"""Paying out over real HTTP: once per key, whatever is lost, late or down."""

from datetime import timedelta
from typing import Any

import httpx2
import pytest

from contracts.breakers import BreakerConfig
from contracts.failure import Unusable
from contracts.ids import new_saga_id
from contracts.payments import Operator
from saga.breaker import Breakers
from saga.execution import Deferred, Done, Failed, counts_against
from services.payments.operator_client import operator_client
from services.payments.steps.execute_mmo import execute_mmo
from services.sandboxes.profiles import BLOCKED, FLAKY, LOST_ANSWER
from tests.services.orders import PHONE, to_pay
from tests.services.steps import Steps, open_steps


@pytest.fixture
def saga_id() -> str:
    return new_saga_id()


async def movements(operators: httpx2.AsyncClient, saga_id: str) -> list[str]:
    statement: list[dict[str, Any]] = (await operators.get("/statement")).json()
    return [line["kind"] for line in statement if line["key"].startswith(saga_id)]


async def test_a_payout_happens_once(steps: Steps, operators: httpx2.AsyncClient, saga_id: str) -> None:
    first = await steps.done(execute_mmo, to_pay(), saga_id)
    assert first.operator_reference.startswith("MP")
    assert await steps.done(execute_mmo, to_pay(), saga_id) == first
    assert await movements(operators, saga_id) == ["payout"]


async def test_a_payout_is_called_back_once(
    steps: Steps, operators: httpx2.AsyncClient, saga_id: str
) -> None:
    await steps.done(execute_mmo, to_pay(), saga_id)
    for _ in range(2):
        assert await steps.undo(execute_mmo, to_pay(), saga_id) == Done(None)
    assert await movements(operators, saga_id) == ["payout", "reversal"]


async def test_a_lost_answer_does_not_pay_twice(
    steps: Steps, operators: httpx2.AsyncClient, saga_id: str
) -> None:
    command = to_pay(PHONE[:-3] + LOST_ANSWER)
    lost = await steps.do(execute_mmo, command, saga_id)
    assert isinstance(lost, Failed)
    assert (lost.failure.effect, lost.failure.retryable) == ("unknown", True)
    await steps.done(execute_mmo, command, saga_id)
    assert await movements(operators, saga_id) == ["payout"]


async def test_a_payout_whose_answer_was_lost_can_be_called_back(
    steps: Steps, operators: httpx2.AsyncClient, saga_id: str
) -> None:
    command = to_pay(PHONE[:-3] + LOST_ANSWER)
    await steps.do(execute_mmo, command, saga_id)
    assert await steps.undo(execute_mmo, command, saga_id) == Done(None)
    assert await movements(operators, saga_id) == ["payout", "reversal"]


async def test_a_reversal_before_the_payout_bars_it(steps: Steps, sandbox_url: str, saga_id: str) -> None:
    async with operator_client({"SAGA_OPERATOR_URL": sandbox_url}) as operator:
        await operator.reverse(Operator.MPESA, f"{saga_id}.execute_mmo")
    assert await steps.refused(execute_mmo, to_pay(), saga_id) == "operator.reversed"


@pytest.mark.parametrize(
    ("operator", "currency"),
    [("mpesa", "KES"), ("mtn_momo", "GHS"), ("airtel_money", "UGX"), ("orange_money", "XOF")],
)
async def test_every_operators_own_word_becomes_our_code(steps: Steps, operator: str, currency: str) -> None:
    def paying(phone: str, amount: str, currency: str) -> Any:
        return to_pay(phone, operator=operator, payout={"amount": amount, "currency": currency})

    for code, command in (
        ("operator.wallet_blocked", paying(PHONE[:-3] + BLOCKED, "100", currency)),
        ("operator.amount_limit", paying(PHONE, "999999999", currency)),
        ("operator.currency", paying(PHONE, "100", "BRL")),
    ):
        assert await steps.refused(execute_mmo, command, new_saga_id()) == code


async def test_a_short_failure_is_one_to_try_again(steps: Steps, saga_id: str) -> None:
    command = to_pay(PHONE[:-3] + FLAKY)
    for attempt in (1, 2):
        failed = await steps.do(execute_mmo, command, saga_id, attempt)
        assert isinstance(failed, Failed)
        assert (failed.failure.code, failed.failure.retryable) == ("operator.unavailable", True)
    assert isinstance(await steps.do(execute_mmo, command, saga_id, attempt=3), Done)


async def test_an_operator_that_cannot_be_reached_is_one_to_try_again(tmp_path: Any, saga_id: str) -> None:
    async with open_steps(tmp_path) as unreachable:
        failed = await unreachable.do(execute_mmo, to_pay(), saga_id)
    assert isinstance(failed, Failed)
    assert (failed.failure.code, failed.failure.effect) == ("operator.unreachable", "none")


async def test_an_expired_rate_pays_nothing_and_bars_what_may_be_on_its_way(
    steps: Steps, operators: httpx2.AsyncClient, saga_id: str
) -> None:
    command = to_pay(rate_expires_at=steps.now())
    assert await steps.refused(execute_mmo, command, saga_id) == "operator.rate_expired"
    assert await movements(operators, saga_id) == ["bar"]


async def test_what_was_paid_before_the_rate_expired_stays_paid(
    steps: Steps, operators: httpx2.AsyncClient, saga_id: str
) -> None:
    command = to_pay(PHONE[:-3] + LOST_ANSWER, rate_expires_at=steps.now() + timedelta(minutes=5))
    assert isinstance(await steps.do(execute_mmo, command, saga_id), Failed)
    steps.skew = timedelta(minutes=6)
    # A crash leaves the attempt's number as it was.
    assert isinstance(await steps.do(execute_mmo, command, saga_id), Done)
    assert await movements(operators, saga_id) == ["payout"]


async def test_one_operators_outage_stops_only_its_own_payments(
    tmp_path: Any, own_sandbox_url: str, own_operators: httpx2.AsyncClient
) -> None:
    await own_operators.put("/admin/mpesa", json={"outage": True})
    async with open_steps(tmp_path / "data", own_sandbox_url) as steps:
        steps.breakers = Breakers(
            BreakerConfig(failure_threshold=3, reset_timeout_s=30), fails=counts_against
        )
        for _ in range(3):
            assert await steps.refused(execute_mmo, to_pay(), new_saga_id()) == "operator.unavailable"
        assert isinstance(await steps.do(execute_mmo, to_pay(), new_saga_id()), Deferred)
        assert isinstance(await steps.do(execute_mmo, to_pay(operator="airtel_money"), new_saga_id()), Done)


async def test_without_an_operator_there_is_a_clear_word() -> None:
    with pytest.raises(Unusable, match="SAGA_OPERATOR_URL"):
        async with operator_client({}):
            pass
