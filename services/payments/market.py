"""The market data the payment services share: rates, pools, corridors, the sanctions list. Read once."""

from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from importlib.resources import files
from typing import Any

import yaml


@dataclass(frozen=True, slots=True)
class Link:
    """One way money can take. Cost in basis points, time in seconds, reliability as a probability."""

    source: str
    target: str
    provider: str
    cost_bps: int
    time_s: int
    reliability: float


@dataclass(frozen=True, slots=True)
class Destination:
    currency: str
    operators: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """`rates` are units per US dollar; `pools` what each pool holds at the start."""

    rates: dict[str, Decimal]
    margin_bps: int
    fee_bps: int
    rate_lock_s: int
    pools: dict[str, Decimal]
    thin_pools: frozenset[str]
    sources: dict[str, str]
    destinations: dict[str, Destination]
    regulated: frozenset[str]
    links: tuple[Link, ...]
    sanctioned: tuple[str, ...]


@lru_cache(maxsize=1)
def market() -> Market:
    """The shipped market data."""
    data = files("services.payments") / "data"
    prices: dict[str, Any] = yaml.safe_load((data / "market.yaml").read_text())
    ways: dict[str, Any] = yaml.safe_load((data / "corridors.yaml").read_text())
    return Market(
        rates={currency: Decimal(rate) for currency, rate in prices["rates"].items()},
        margin_bps=prices["margin_bps"],
        fee_bps=prices["fee_bps"],
        rate_lock_s=prices["rate_lock_s"],
        pools={currency: Decimal(held) for currency, held in prices["pools"].items()},
        thin_pools=frozenset(prices["thin_pools"]),
        sources=ways["sources"],
        destinations={
            country: Destination(place["currency"], frozenset(place["operators"]))
            for country, place in ways["destinations"].items()
        },
        regulated=frozenset(ways["regulated"]),
        links=tuple(Link(*link) for link in ways["links"]),
        sanctioned=tuple((data / "sanctions.txt").read_text().splitlines()),
    )
