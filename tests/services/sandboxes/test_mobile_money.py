"""The sandbox operators over real HTTP."""

import asyncio
import re
import signal
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest

from contracts.ids import new_saga_id
from contracts.payments import Operator
from services.sandboxes.mobile_money import serve_sandbox
from services.sandboxes.profiles import BLOCKED, FLAKY, LOST_ANSWER, PROFILES, STRANDED, UNDELIVERABLE

PHONE = "+254712123456"


def a_payout(**changes: str) -> dict[str, str]:
    return {"phone": PHONE, "amount": "1500.50", "currency": "KES"} | changes


@pytest.fixture
def key() -> str:
    return new_saga_id()


async def pay(
    operators: httpx2.AsyncClient, key: str, operator: str = "mpesa", **changes: str
) -> httpx2.Response:
    return await operators.post(
        f"/{operator}/disbursements", json=a_payout(**changes), headers={"Idempotency-Key": key}
    )


async def reverse(operators: httpx2.AsyncClient, key: str) -> httpx2.Response:
    return await operators.post("/mpesa/reversals", headers={"Idempotency-Key": key})


async def statement_of(operators: httpx2.AsyncClient, key: str) -> list[dict[str, Any]]:
    return [line for line in (await operators.get("/statement")).json() if line["key"] == key]


async def test_a_payout_is_on_the_statement(operators: httpx2.AsyncClient, key: str) -> None:
    answer = await pay(operators, key)
    assert answer.status_code == 201
    (line,) = await statement_of(operators, key)
    assert (line["kind"], line["amount"], line["currency"]) == ("payout", "1500.50", "KES")
    assert line["reference"] == answer.json()["reference"]


async def test_a_key_pays_once_even_at_the_same_time(operators: httpx2.AsyncClient, key: str) -> None:
    answers = await asyncio.gather(*(pay(operators, key) for _ in range(10)))
    assert len({answer.json()["reference"] for answer in answers}) == 1
    assert len(await statement_of(operators, key)) == 1


async def test_a_key_is_reversed_once(operators: httpx2.AsyncClient, key: str) -> None:
    await pay(operators, key)
    await asyncio.gather(*(reverse(operators, key) for _ in range(5)))
    assert [line["kind"] for line in await statement_of(operators, key)] == ["payout", "reversal"]


async def test_a_reversal_leaves_a_tombstone(operators: httpx2.AsyncClient, key: str) -> None:
    await reverse(operators, key)
    refused = await pay(operators, key)
    assert refused.status_code == 422
    assert refused.json()["code"] == PROFILES[Operator.MPESA].words["reversed"]
    (line,) = await statement_of(operators, key)
    assert (line["kind"], line["amount"]) == ("bar", "0")


async def test_what_stands_can_be_looked_up(operators: httpx2.AsyncClient, key: str) -> None:
    async def state() -> str:
        return str((await operators.get(f"/mpesa/disbursements/{key}")).json()["state"])

    assert await state() == "none"
    await pay(operators, key)
    assert await state() == "paid"
    await reverse(operators, key)
    assert await state() == "reversed"


@pytest.mark.parametrize("operator", list(Operator))
async def test_every_operator_has_its_own_limits_and_words(
    operators: httpx2.AsyncClient, operator: Operator
) -> None:
    profile = PROFILES[operator]
    for currency, limit in profile.limits.items():
        at_limit = await pay(operators, new_saga_id(), operator, amount=str(limit), currency=currency)
        assert at_limit.json()["reference"].startswith(profile.prefix)
        above = await pay(operators, new_saga_id(), operator, amount=str(limit + 1), currency=currency)
        assert above.json()["code"] == profile.words["amount_limit"]
    unknown = await pay(operators, new_saga_id(), operator, currency="BRL")
    assert unknown.json()["code"] == profile.words["currency"]


def test_no_two_operators_share_a_word() -> None:
    words = [word for profile in PROFILES.values() for word in profile.words.values()]
    assert len(words) == len(set(words))


async def test_numbers_have_meanings(operators: httpx2.AsyncClient, key: str) -> None:
    assert (await pay(operators, key, phone=PHONE[:-3] + BLOCKED)).status_code == 422
    another = new_saga_id()
    flaky = [(await pay(operators, another, phone=PHONE[:-3] + FLAKY)).status_code for _ in range(3)]
    assert flaky == [503, 503, 201]
    other = new_saga_id()
    lost = [(await pay(operators, other, phone=PHONE[:-3] + LOST_ANSWER)).status_code for _ in range(2)]
    assert lost == [500, 201]
    assert len(await statement_of(operators, other)) == 1
    stranded = new_saga_id()
    codes = [(await pay(operators, stranded, phone=PHONE[:-3] + STRANDED)).status_code for _ in range(3)]
    assert codes == [500, 503, 503]
    assert len(await statement_of(operators, stranded)) == 1


@pytest.mark.parametrize(("phone", "delivered"), [(PHONE, True), (PHONE[:-3] + UNDELIVERABLE, False)])
async def test_a_message_is_delivered_or_not(
    operators: httpx2.AsyncClient, key: str, phone: str, delivered: bool
) -> None:
    for _ in range(2):
        answer = await operators.post(
            "/mpesa/notifications", json={"phone": phone, "text": "x"}, headers={"Idempotency-Key": key}
        )
        assert answer.json() == {"delivered": delivered}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/mpesa/disbursements", a_payout(amount="-1")),
        ("/mpesa/disbursements", a_payout(amount="NaN")),
        ("/mpesa/disbursements", a_payout() | {"more": "1"}),
        ("/nobody/disbursements", a_payout()),
    ],
)
async def test_bad_calls_are_refused(
    operators: httpx2.AsyncClient, key: str, path: str, body: dict[str, str]
) -> None:
    assert (await operators.post(path, json=body, headers={"Idempotency-Key": key})).status_code == 422
    assert await statement_of(operators, key) == []


async def test_without_a_key_nothing_is_paid(operators: httpx2.AsyncClient) -> None:
    assert (await operators.post("/mpesa/disbursements", json=a_payout())).status_code == 422


async def test_an_outage_can_be_set_and_taken_back(own_operators: httpx2.AsyncClient, key: str) -> None:
    await own_operators.put("/admin/mpesa", json={"outage": True})
    assert (await pay(own_operators, key)).status_code == 503
    assert (await pay(own_operators, new_saga_id(), "airtel_money")).status_code == 201
    await own_operators.put("/admin/mpesa", json={})
    assert (await pay(own_operators, key)).status_code == 201


async def test_an_outage_window_ends_by_itself(key: str) -> None:
    now = 0.0
    async with (
        serve_sandbox(clock_s=lambda: now) as url,
        httpx2.AsyncClient(base_url=url, trust_env=False) as operators,
    ):
        await operators.put("/admin/mpesa", json={"outage_s": 60})
        now = 59.9
        assert (await pay(operators, key)).status_code == 503
        now = 60.0
        assert (await pay(operators, key)).status_code == 201


async def test_calls_fail_by_a_chance_that_can_be_repeated() -> None:
    async def run() -> list[int]:
        async with (
            serve_sandbox(seed=7) as url,
            httpx2.AsyncClient(base_url=url, trust_env=False) as operators,
        ):
            await operators.put("/admin/mpesa", json={"failure_rate": 0.5, "latency_ms": 0})
            return [(await pay(operators, f"key-{number}")).status_code for number in range(20)]

    first = await run()
    assert set(first) == {201, 503}
    assert await run() == first


async def test_what_was_paid_is_known_after_a_restart(tmp_path: Path, key: str) -> None:
    references = set()
    for _ in range(2):
        async with (
            serve_sandbox(tmp_path / "operators.db") as url,
            httpx2.AsyncClient(base_url=url, trust_env=False) as operators,
        ):
            references.add((await pay(operators, key)).json()["reference"])
    assert len(references) == 1


async def test_it_runs_as_a_command_until_it_is_told_to_stop(tmp_path: Path) -> None:
    options = ["--port", "0", "--data", str(tmp_path / "operators.db")]
    options = ["--port", "0", "--data", str(tmp_path / "operators.db")]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.sandboxes.mobile_money", *options, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            url = (await process.stdout.readline()).decode().strip()
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
            async with httpx2.AsyncClient(base_url=url, trust_env=False) as operators:
                assert (await operators.get("/statement")).json() == []
    finally:
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
