"""What distinguishes the sandbox's four operators: currencies, limits, latency, and their words for errors.

Limits are per payout, in the payout's currency. The words follow the style of each operator's public
documentation; they are not a promise about any operator's production system.

Numbers with a meaning, as real sandboxes have them, are the last three digits of the recipient's phone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Literal

from contracts.payments import Operator

BLOCKED = "999"
"""The wallet is blocked: every payout is refused."""
UNDELIVERABLE = "998"
"""Messages cannot be delivered."""
FLAKY = "997"
"""The first two tries are answered with 503 and have no effect."""
LOST_ANSWER = "996"
"""The first try pays, but is answered with 500."""

STRANDED = "995"
"""The first try pays, but is answered with 500; every later try is answered with 503. Reversals work."""

MAGIC_ENDINGS = frozenset({BLOCKED, UNDELIVERABLE, FLAKY, LOST_ANSWER, STRANDED})

Meaning = Literal["wallet_blocked", "amount_limit", "currency", "reversed", "unavailable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One operator. `prefix` begins its references, `latency_ms` is what every call takes."""

    prefix: str
    latency_ms: float
    limits: Mapping[str, Decimal]
    words: Mapping[Meaning, str]


def _limits(**limits: int) -> Mapping[str, Decimal]:
    return MappingProxyType({currency: Decimal(limit) for currency, limit in limits.items()})


PROFILES: Mapping[Operator, Profile] = MappingProxyType(
    {
        Operator.MPESA: Profile(
            prefix="MP",
            latency_ms=8,
            limits=_limits(KES=7_000_000, TZS=140_000_000),
            words={
                "wallet_blocked": "2040",
                "amount_limit": "17",
                "currency": "SFC_IC0003",
                "reversed": "R000001",
                "unavailable": "26",
            },
        ),
        Operator.MTN_MOMO: Profile(
            prefix="MTN",
            latency_ms=6,
            limits=_limits(
                NGN=80_000_000, GHS=800_000, UGX=190_000_000, ZAR=950_000, XOF=31_000_000,
                XAF=31_000_000, ZMW=1_400_000, RWF=70_000_000,
            ),
            words={
                "wallet_blocked": "PAYEE_NOT_ALLOWED_TO_RECEIVE",
                "amount_limit": "PAYEE_LIMIT_REACHED",
                "currency": "INVALID_CURRENCY",
                "reversed": "RESOURCE_ALREADY_EXIST",
                "unavailable": "SERVICE_UNAVAILABLE",
            },
        ),
        Operator.AIRTEL_MONEY: Profile(
            prefix="AM",
            latency_ms=5,
            limits=_limits(
                KES=3_900_000, NGN=46_000_000, GHS=460_000, UGX=110_000_000, TZS=78_000_000,
                ZMW=800_000, RWF=40_000_000,
            ),
            words={
                "wallet_blocked": "DP00900001012",
                "amount_limit": "DP00900001004",
                "currency": "DP00900001010",
                "reversed": "DP00900001005",
                "unavailable": "DP00900001001",
            },
        ),
        Operator.ORANGE_MONEY: Profile(
            prefix="OM",
            latency_ms=10,
            limits=_limits(XOF=31_000_000, XAF=31_000_000),
            words={
                "wallet_blocked": "60019",
                "amount_limit": "60011",
                "currency": "60003",
                "reversed": "60030",
                "unavailable": "60000",
            },
        ),
    }
)  # fmt: skip
