"""Writes `payments.jsonl`: the same seed gives the same file.

Run: python -m services.payments.sample.generate
"""

import json
import random
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import phonenumbers

from contracts.money import Money
from services.payments.market import market
from services.payments.rules import normalized_phone
from services.sandboxes.profiles import BLOCKED, FLAKY, LOST_ANSWER, MAGIC_ENDINGS, UNDELIVERABLE

SEED = 20261120
ORDINARY = 190
_FIRST = (
    "Amina",
    "Joseph",
    "Grace",
    "Kwame",
    "Fatou",
    "Blessing",
    "Peter",
    "Mary",
    "Chidi",
    "Zainab",
    "Daniel",
)
_LAST = (
    "Mwangi",
    "Okafor",
    "Mensah",
    "Namukasa",
    "Mushi",
    "Dlamini",
    "Diop",
    "Kone",
    "Ngassa",
    "Phiri",
    "Otieno",
)
_PAYERS = (
    "Helen",
    "Thomas",
    "Laura",
    "James",
    "Anna",
    "Paul",
    "Sophie",
    "Michael",
    "Claire",
    "David",
    "Nina",
)
_SURNAMES = (
    "Fletcher",
    "Weber",
    "Dubois",
    "Tremblay",
    "Nkosi",
    "Carter",
    "Hughes",
    "Klein",
    "Moreau",
    "Botha",
)

type Request = dict[str, Any]


class Generator:
    """Makes requests. Every sender is new, so that velocity never refuses one by accident."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - makes samples, guards nothing
        self._number = 0

    def request(self, *, low_usd: int = 20, high_usd: int = 900, ending: str = "") -> Request:
        self._number += 1
        choose = self._random.choice
        market_now = market()
        source = choose(sorted(market_now.sources))
        # Rwanda's pool is all but empty: only those refused for lack of liquidity go there.
        target = choose(sorted(set(market_now.destinations) - {source, "RW"}))
        place = market_now.destinations[target]
        amount = self.amount(market_now.sources[source], low_usd, high_usd)
        return {
            "reference": f"INV-{self._number:05d}",
            "amount": {"amount": amount, "currency": market_now.sources[source]},
            "destination_currency": place.currency,
            "sender": {
                "name": f"{choose(_PAYERS)} {choose(_SURNAMES)}",
                "phone": self.phone(source),
                "country": source,
                "account": f"ACC-{self._number:05d}",
                "kyc_tier": self._tier(high_usd),
            },
            "recipient": {
                "name": f"{choose(_FIRST)} {choose(_LAST)}",
                "phone": self.phone(target, ending),
                "country": target,
                "operator": choose(sorted(place.operators)),
            },
            "purpose": choose(["family support", "school fees", "rent", "goods", "medical bill"]),
            "priority": choose(["cost", "cost", "speed", "reliability"]),
        }

    def _tier(self, high_usd: int) -> int:
        return 3 if high_usd > 900 else self._random.choice([2, 2, 3])

    def amount(self, currency: str, low_usd: int, high_usd: int) -> str:
        dollars = Decimal(self._random.randint(low_usd * 100, high_usd * 100)) / 100
        return format(Money.of(dollars * market().rates[currency], currency).quantized().amount, "f")

    def phone(self, country: str, ending: str = "") -> str:
        example = phonenumbers.example_number_for_type(country, phonenumbers.PhoneNumberType.MOBILE)
        assert example is not None
        pattern = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
        while True:
            tail = f"{self._random.randrange(10_000):04d}"
            if ending:
                tail = tail[: 4 - len(ending)] + ending
            elif tail[1:] in MAGIC_ENDINGS:
                continue
            number = normalized_phone(pattern[:-4] + tail, country)
            if number is not None:
                return number


def lines(seed: int = SEED) -> Iterator[dict[str, Any]]:
    """The whole sample in its final, mixed order."""
    generator = Generator(seed)
    entries = [_completes(generator.request()) for _ in range(ORDINARY)]
    entries += [_completes(generator.request(low_usd=10_500, high_usd=24_000)) for _ in range(6)]
    entries += [_completes(generator.request(ending=FLAKY)) for _ in range(6)]
    entries += [_completes(generator.request(ending=LOST_ANSWER)) for _ in range(4)]
    for refuse, count in _REFUSALS:
        entries += [refuse(generator) for _ in range(count)]
    random.Random(seed).shuffle(entries)  # noqa: S311 - makes samples, guards nothing
    yield from entries


def _completes(request: Request) -> dict[str, Any]:
    return {"request": request, "expect": "completed"}


def _refused(step: str, reason: str, request: Request) -> dict[str, Any]:
    return {"request": request, "expect": "compensated", "refused_at": step, "reason": reason}


def _bad_phone(generator: Generator) -> dict[str, Any]:
    request = generator.request()
    request["recipient"]["phone"] = request["recipient"]["phone"][:-3]
    return _refused("validate_payment", "validation.phone", request)


def _too_much(generator: Generator) -> dict[str, Any]:
    request = generator.request(low_usd=60_000, high_usd=90_000)
    return _refused("validate_payment", "validation.amount_limit", request)


def _no_corridor(generator: Generator) -> dict[str, Any]:
    request = generator.request()
    request["recipient"]["country"], request["destination_currency"] = "BR", "BRL"
    return _refused("validate_payment", "validation.unsupported_corridor", request)


def _no_currency(generator: Generator) -> dict[str, Any]:
    request = generator.request()
    request["amount"]["currency"] = "XQQ"
    return _refused("validate_payment", "validation.unknown_currency", request)


def _sanctioned(generator: Generator) -> dict[str, Any]:
    request = generator.request()
    request["recipient"]["name"] = "Orlenko, Viktor Abramovits"
    return _refused("validate_compliance", "compliance.sanctions", request)


def _unverified(generator: Generator) -> dict[str, Any]:
    request = generator.request(low_usd=400, high_usd=800)
    request["sender"]["kyc_tier"] = 0
    return _refused("validate_compliance", "compliance.kyc_limit", request)


def _thin_pool(generator: Generator) -> dict[str, Any]:
    request = generator.request(low_usd=100, high_usd=300)
    request["destination_currency"] = "RWF"
    request["recipient"] |= {"country": "RW", "operator": "mtn_momo", "phone": generator.phone("RW")}
    return _refused("check_liquidity", "liquidity.insufficient", request)


def _above_operator_limit(generator: Generator) -> dict[str, Any]:
    request = generator.request(low_usd=36_000, high_usd=45_000)
    request["destination_currency"] = "UGX"
    request["sender"] |= {"country": "GB", "phone": generator.phone("GB")}
    request["amount"] = {"amount": generator.amount("GBP", 36_000, 45_000), "currency": "GBP"}
    request["recipient"] |= {"country": "UG", "operator": "airtel_money", "phone": generator.phone("UG")}
    return _refused("execute_mmo", "operator.amount_limit", request)


def _blocked_wallet(generator: Generator) -> dict[str, Any]:
    return _refused("execute_mmo", "operator.wallet_blocked", generator.request(ending=BLOCKED))


def _undeliverable(generator: Generator) -> dict[str, Any]:
    request = generator.request(ending=UNDELIVERABLE)
    return _refused("confirm_payment", "confirmation.undeliverable", request)


_REFUSALS: tuple[tuple[Callable[[Generator], dict[str, Any]], int], ...] = (
    (_bad_phone, 4),
    (_too_much, 3),
    (_no_corridor, 3),
    (_no_currency, 2),
    (_sanctioned, 5),
    (_unverified, 4),
    (_thin_pool, 5),
    (_above_operator_limit, 2),
    (_blocked_wallet, 8),
    (_undeliverable, 6),
)


def main() -> None:
    """Write the file beside this module."""
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines())
    (Path(__file__).parent / "payments.jsonl").write_text(text)


if __name__ == "__main__":
    main()
