"""What the chargeback services need from outside, as protocols: a database that registers, an SAP that credits."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from contracts.money import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What the federal database says of a number. It counts from `since` to the day before `until`."""

    number: str
    name: str
    state: str
    since: date
    until: date | None

    def active_on(self, day: date) -> bool:
        """Whether it counted on that day, whatever has become of it since."""
        return self.since <= day and (self.until is None or day < self.until)


class FederalDatabase(Protocol):
    """The registrations of those who handle controlled products, and of those with federal prices."""

    async def registration(self, number: str) -> Registration | None:
        """Who buys controlled products, by DEA number. Raises Unavailable."""
        ...

    async def covered_entity(self, number: str) -> Registration | None:
        """Who has 340B prices, by its id. Raises Unavailable."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SapCustomer:
    """A customer as SAP is to know it. `external_id` is the strongest of the numbers it has."""

    external_id: str
    name: str
    address: str


@dataclass(frozen=True, slots=True)
class CreditLine:
    ndc: str
    amount: Money


class Sap(Protocol):
    """SAP's customers and credit memos. Each does a thing once per key.

    Raises Refused, Unavailable, or anything else if the effect is not known.
    """

    async def need_customer(self, key: str, customer: SapCustomer) -> tuple[str, bool]:
        """The customer's number, and whether it was created for this key; it stays as long as any key needs it."""
        ...

    async def withdraw_customer(self, key: str) -> None:
        """This key needs the customer no more, nor ever again."""
        ...

    async def credit(
        self, key: str, customer_number: str, reference: str, amount: Money, lines: Sequence[CreditLine]
    ) -> str:
        """Post a credit memo; its number."""
        ...

    async def reverse_credit(self, key: str) -> None:
        """Reverse the credit memo of that key, or make sure that it can never be posted any more."""
        ...
