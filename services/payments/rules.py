"""The rules of payments, as functions of values: what may be paid, at what risk, at which price."""

from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_UP, Decimal
from typing import Any

import phonenumbers
import pycountry
from rapidfuzz import fuzz, process, utils

from contracts.money import Money, minor_digits
from contracts.payments import Screening, ValidateCompliance, ValidatePayment
from services.payments.market import Market

BASIS_POINTS = Decimal(10_000)
MIN_AMOUNT_USD = Decimal(1)
MAX_AMOUNT_USD = Decimal(50_000)
SANCTION_MATCH = 90
SUSPICIOUS_MATCH = 80
KYC_LIMIT_USD = {0: Decimal(200), 1: Decimal(1_000), 2: Decimal(10_000), 3: Decimal(50_000)}
MAX_RISK: dict[Screening, int] = {"reduced": 75, "standard": 65, "enhanced": 50}
VELOCITY_WINDOW_S = 86_400
VELOCITY_COUNT: dict[Screening, int] = {"reduced": 10, "standard": 25, "enhanced": 15}


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a payment is refused: a stable code and a sentence."""

    code: str
    message: str


def in_usd(market: Market, money: Money) -> Decimal:
    """The mid-market value in US dollars, to the cent. Raises KeyError for a currency without a rate."""
    return (money.amount / market.rates[money.currency]).quantize(Decimal("0.01"))


def corridor_of(source: str, destination: str) -> str:
    return f"{source}-{destination}"


# Validation


def normalized_phone(phone: str, country: str) -> str | None:
    """The number in E.164 form if it is valid and belongs to the country, else None."""
    try:
        number = phonenumbers.parse(phone, country)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number) or phonenumbers.region_code_for_number(number) != country:
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def validation_problem(market: Market, command: ValidatePayment) -> Problem | None:
    """The first reason to refuse the payment, or None."""
    return (
        _currency_problem(command)
        or _corridor_problem(market, command)
        or _amount_problem(market, command)
        or _party_problem(command)
    )


def _currency_problem(command: ValidatePayment) -> Problem | None:
    for currency in (command.amount.currency, command.destination_currency):
        if pycountry.currencies.get(alpha_3=currency) is None:
            return Problem("validation.unknown_currency", f"{currency} is no ISO 4217 currency")
    return None


def _corridor_problem(market: Market, command: ValidatePayment) -> Problem | None:
    sender, recipient, currency = command.sender, command.recipient, command.amount.currency
    destination = market.destinations.get(recipient.country)
    if market.sources.get(sender.country) != currency or destination is None:
        return Problem(
            "validation.unsupported_corridor",
            f"{currency} from {sender.country} to {recipient.country} is not offered",
        )
    pays = (command.destination_currency, str(recipient.operator))
    if pays[0] != destination.currency or pays[1] not in destination.operators:
        operators = ", ".join(sorted(destination.operators))
        return Problem(
            "validation.unsupported_payout",
            f"{recipient.country} is paid in {destination.currency} by {operators}, not {' by '.join(pays)}",
        )
    return None


def _amount_problem(market: Market, command: ValidatePayment) -> Problem | None:
    amount = command.amount
    if -int(amount.amount.normalize().as_tuple().exponent) > minor_digits(amount.currency):
        return Problem("validation.amount_precision", f"{amount} is finer than the currency's minor unit")
    usd = in_usd(market, amount)
    highest = min(MAX_AMOUNT_USD, command.max_amount_usd or MAX_AMOUNT_USD)
    if not MIN_AMOUNT_USD <= usd <= highest:
        return Problem("validation.amount_limit", f"{usd} USD is not between {MIN_AMOUNT_USD} and {highest}")
    return None


def _party_problem(command: ValidatePayment) -> Problem | None:
    phones = []
    for who, party in (("sender", command.sender), ("recipient", command.recipient)):
        phone = normalized_phone(party.phone, party.country)
        if phone is None:
            return Problem("validation.phone", f"the {who}'s phone number is not valid in {party.country}")
        phones.append(phone)
    if phones[0] == phones[1]:
        return Problem("validation.same_party", "sender and recipient have the same phone")
    return None


# Compliance


@dataclass(frozen=True, slots=True)
class Assessment:
    """What screening found. `problem` is set if the payment must be refused."""

    risk_score: int
    best_match: int
    reasons: tuple[str, ...]
    problem: Problem | None


def best_sanction_match(sanctioned: tuple[str, ...], names: tuple[str, ...]) -> tuple[int, str]:
    """The highest similarity in percent of any name with the list, order of words aside."""
    best = (0, "")
    for name in names:
        found: Any = process.extractOne(
            name, sanctioned, scorer=fuzz.token_sort_ratio, processor=utils.default_process
        )
        if found is not None and int(found[1]) > best[0]:
            best = (int(found[1]), found[0])
    return best


def assess(market: Market, command: ValidateCompliance, recent_payments: int) -> Assessment:
    """Screen a payment: sanctions, know-your-customer tier, velocity, and a risk score from 0 to 100."""
    match, listed = best_sanction_match(market.sanctioned, (command.sender.name, command.recipient.name))
    score, reasons = _risk(market, command, recent_payments, match)
    problem = None
    kyc_limit = KYC_LIMIT_USD[command.sender.kyc_tier]
    if match >= SANCTION_MATCH:
        problem = Problem(
            "compliance.sanctions", f"a party matches the sanctions list ({listed!r}, {match} %)"
        )
    elif command.amount_usd > kyc_limit:
        problem = Problem(
            "compliance.kyc_limit", f"tier {command.sender.kyc_tier} may send up to {kyc_limit} USD"
        )
    elif recent_payments >= VELOCITY_COUNT[command.screening]:
        problem = Problem("compliance.velocity", f"{recent_payments} payments of this sender within a day")
    elif score > MAX_RISK[command.screening]:
        problem = Problem("compliance.risk", f"risk {score} is above {MAX_RISK[command.screening]}")
    return Assessment(score, match, reasons, problem)


def _risk(
    market: Market, command: ValidateCompliance, recent_payments: int, match: int
) -> tuple[int, tuple[str, ...]]:
    limit = KYC_LIMIT_USD[command.sender.kyc_tier]
    factors = [
        (min(30, int(command.amount_usd / limit * 30)), "amount against the tier's limit"),
        (15 if command.corridor in market.regulated else 0, "regulated corridor"),
        ((3 - command.sender.kyc_tier) * 7, "verification tier"),
        (min(20, recent_payments), "payments within a day"),
        (25 if match >= SUSPICIOUS_MATCH else 0, "name close to the sanctions list"),
    ]
    return min(100, sum(points for points, _ in factors)), tuple(
        reason for points, reason in factors if points
    )


# Prices


@dataclass(frozen=True, slots=True)
class Quote:
    rate: Decimal
    fee: Money
    payout: Money


def quote(market: Market, amount: Money, currency: str, route_cost_bps: int = 0) -> Quote:
    """The price of a payment: our fee and the way's cost in the source currency, and what is paid out.

    The payout is `(amount - fee) * rate`, rounded down to the currency's minor unit.
    """
    share = (market.fee_bps + route_cost_bps) / BASIS_POINTS
    fee = Money(amount=amount.amount * share, currency=amount.currency).quantized()
    rate = _rate(market, amount.currency, currency) * (1 - market.margin_bps / BASIS_POINTS)
    rate = rate.quantize(Decimal("0.000001"), ROUND_DOWN)
    return Quote(rate, fee, _rounded(amount.amount - fee.amount, rate, currency, ROUND_DOWN))


def indicative(market: Market, amount: Money, currency: str) -> Money:
    """What to set aside before the rate is locked: the mid-market value rounded up, above any quote."""
    return _rounded(amount.amount, _rate(market, amount.currency, currency), currency, ROUND_UP)


def _rate(market: Market, source: str, destination: str) -> Decimal:
    return market.rates[destination] / market.rates[source]


def _rounded(amount: Decimal, rate: Decimal, currency: str, rounding: str) -> Money:
    unit = Decimal(1).scaleb(-minor_digits(currency))
    return Money(amount=(amount * rate).quantize(unit, rounding), currency=currency)
