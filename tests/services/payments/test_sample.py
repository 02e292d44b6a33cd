"""The sample: reproducible, and its expected outcomes follow from the rules."""

import json
from collections import Counter, defaultdict
from decimal import Decimal
from importlib.resources import files

from services.payments.definitions import DEFINITIONS
from services.payments.market import market
from services.payments.presets import choose
from services.payments.routing import best_route
from services.payments.rules import (
    assess,
    corridor_of,
    in_usd,
    indicative,
    normalized_phone,
    quote,
    validation_problem,
)
from services.payments.sample import Sample, samples
from services.payments.sample.generate import SEED, lines
from services.sandboxes.profiles import BLOCKED, PROFILES, UNDELIVERABLE
from tests.services.orders import to_screen, to_validate

SAMPLES = tuple(samples())


def predicted(sample: Sample) -> tuple[str, str]:
    """At which step the rules refuse the payment and why; nothing twice if they do not."""
    request = sample.request
    preset = choose(request)
    limit = preset.by_name["validate_payment"].input.get("max_amount_usd")
    if problem := validation_problem(market(), to_validate(request, max_amount_usd=limit)):
        return "validate_payment", problem.code
    corridor = corridor_of(request.sender.country, request.recipient.country)
    screened = to_screen(
        request,
        amount_usd=in_usd(market(), request.amount),
        corridor=corridor,
        screening=preset.by_name["validate_compliance"].input["screening"],
    )
    refused = assess(market(), screened, recent_payments=0).problem
    wanted = indicative(market(), request.amount, request.destination_currency)
    short = wanted.amount > market().pools[request.destination_currency]
    if refused or short:
        assert not (refused and short), "which of the two comes first would depend on the preset"
        return (
            ("validate_compliance", refused.code)
            if refused
            else ("check_liquidity", "liquidity.insufficient")
        )
    route = best_route(market().links, corridor, request.priority)
    assert route is not None
    payout = quote(market(), request.amount, request.destination_currency, route.cost_bps).payout
    phone = normalized_phone(request.recipient.phone, request.recipient.country) or ""
    if payout.amount > PROFILES[request.recipient.operator].limits[payout.currency]:
        return "execute_mmo", "operator.amount_limit"
    if phone.endswith(BLOCKED):
        return "execute_mmo", "operator.wallet_blocked"
    if phone.endswith(UNDELIVERABLE):
        return "confirm_payment", "confirmation.undeliverable"
    return "", ""


def test_the_file_is_what_its_generator_writes() -> None:
    shipped = (files("services.payments") / "sample" / "payments.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in shipped] == list(lines(SEED))


def test_every_outcome_follows_from_the_rules() -> None:
    for sample in SAMPLES:
        assert predicted(sample) == (sample.refused_at, sample.reason), sample.request.reference
        assert sample.expect == ("compensated" if sample.reason else "completed")


def test_there_is_something_of_everything() -> None:
    assert len(SAMPLES) >= 200
    assert {choose(sample.request).ref for sample in SAMPLES} == {one.ref for one in DEFINITIONS}
    refused = Counter(sample.refused_at for sample in SAMPLES if sample.refused_at)
    assert refused.keys() == {
        "validate_payment", "validate_compliance", "check_liquidity", "execute_mmo", "confirm_payment",
    }  # fmt: skip
    paid_in = {sample.request.destination_currency for sample in SAMPLES if not sample.reason}
    assert paid_in >= {"KES", "NGN", "GHS", "UGX", "TZS", "ZAR", "XOF", "XAF", "ZMW"}
    assert {sample.request.recipient.operator for sample in SAMPLES} == PROFILES.keys()


def test_no_pool_runs_dry_for_a_payment_that_should_complete() -> None:
    wanted: dict[str, Decimal] = defaultdict(Decimal)
    for sample in SAMPLES:
        if sample.refused_at not in {"validate_payment", "check_liquidity"}:
            reserved = indicative(market(), sample.request.amount, sample.request.destination_currency)
            wanted[reserved.currency] += reserved.amount
    assert {currency for currency, amount in wanted.items() if amount > market().pools[currency]} == set()


def test_no_sender_pays_twice_so_that_the_order_does_not_matter() -> None:
    senders = Counter(sample.request.sender.account for sample in SAMPLES)
    assert senders.most_common(1)[0][1] == 1
    references = Counter(sample.request.reference for sample in SAMPLES)
    assert references.most_common(1)[0][1] == 1
