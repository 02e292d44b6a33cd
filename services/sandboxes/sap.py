"""A sandbox of SAP's customers and credit memos, over real HTTP. Run: python -m services.sandboxes.sap

Everything is done once per `Idempotency-Key`, whatever is repeated; what is taken back before it came can never come.
A customer stays as long as any key needs it, then it is flagged for deletion. `PUT /admin` sets latency, an outage,
references whose first answer is lost, customers that are blocked, and whether the posting period is closed.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any

from fastapi import FastAPI, Header, HTTPException
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from services.sandboxes.serving import main

_FIRST_CUSTOMER = 100_001
_FIRST_MEMO = 1_900_000_001


class CustomerRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    external_id: str = Field(min_length=1, max_length=80)
    name: str = Field(min_length=1, max_length=140)
    address: str = Field(default="", max_length=200)


class MemoLine(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    ndc: str
    amount: Decimal = Field(gt=0, max_digits=16)


class MemoRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    customer: str
    reference: str = Field(min_length=1, max_length=64)
    amount: Decimal = Field(gt=0, max_digits=16)
    currency: str = Field(pattern="^[A-Z]{3}$")
    lines: list[MemoLine] = Field(min_length=1)


class Mood(BaseModel):
    """How SAP behaves from now on. `lost_answers`: references whose first credit is posted, but answered with 500."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    down: bool = False
    latency_ms: float = 5.0
    period_closed: bool = False
    blocked: tuple[str, ...] = ()
    lost_answers: tuple[str, ...] = ()


class DeclinedError(Exception):
    """SAP says no, in a word of its own."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.body = {"code": code, "message": message}


@dataclass
class Customer:
    number: str
    name: str
    needed_by: set[str] = field(default_factory=set)
    flagged: bool = False


@dataclass
class Memo:
    """A credit memo; `state` is posted, reversed, or barred: reversed before it came."""

    number: str
    state: str
    reference: str = ""
    customer: str = ""
    amount: Decimal = Decimal(0)
    currency: str = ""


@dataclass
class SapBooks:
    """Customers by external id, credit memos by key. `existing`: customers that were there before anybody asked."""

    existing: tuple[str, ...] = ()
    mood: Mood = field(default_factory=Mood)
    customers: dict[str, Customer] = field(default_factory=dict)
    memos: dict[str, Memo] = field(default_factory=dict)
    withdrawn: set[str] = field(default_factory=set)
    answered: set[str] = field(default_factory=set)
    url: str = ""

    def __post_init__(self) -> None:
        for external_id in self.existing:
            self._customer(external_id, "known before").needed_by.add("before")

    def need_customer(self, key: str, wanted: CustomerRequest) -> dict[str, Any]:
        """The customer, from now on needed by this key. Raises DeclinedError."""
        if key in self.withdrawn:
            raise DeclinedError("F2/118", "this key was withdrawn")
        if wanted.external_id in self.mood.blocked:
            raise DeclinedError("F2/036", f"customer {wanted.external_id} is blocked centrally")
        created = wanted.external_id not in self.customers
        customer = self._customer(wanted.external_id, wanted.name)
        created = created or customer.needed_by == {key}
        customer.needed_by.add(key)
        customer.flagged = False
        return {"number": customer.number, "created": created}

    def withdraw_customer(self, key: str) -> None:
        """This key needs no customer any more."""
        self.withdrawn.add(key)
        for customer in self.customers.values():
            customer.needed_by.discard(key)
            customer.flagged = not customer.needed_by

    def credit(self, key: str, wanted: MemoRequest) -> Memo:
        """The credit memo of this key. Raises DeclinedError."""
        if known := self.memos.get(key):
            if known.state != "posted":
                raise DeclinedError("F5/201", "the memo of this key was reversed")
            return known
        if self.mood.period_closed:
            raise DeclinedError("F5/286", "the posting period is closed")
        if wanted.customer not in {customer.number for customer in self.customers.values()}:
            raise DeclinedError("F5/102", f"no customer {wanted.customer}")
        if sum(line.amount for line in wanted.lines) != wanted.amount:
            raise DeclinedError("F5/702", "the lines do not make the amount")
        self.memos[key] = Memo(
            number=str(_FIRST_MEMO + len(self.memos)),
            state="posted",
            reference=wanted.reference,
            customer=wanted.customer,
            amount=wanted.amount,
            currency=wanted.currency,
        )
        return self.memos[key]

    def reverse(self, key: str) -> Memo:
        """Reverse the memo of this key, or bar it."""
        memo = self.memos.setdefault(key, Memo(number="", state="barred"))
        if memo.state == "posted":
            memo.state = "reversed"
        return memo

    def _customer(self, external_id: str, name: str) -> Customer:
        return self.customers.setdefault(
            external_id, Customer(number=str(_FIRST_CUSTOMER + len(self.customers)), name=name)
        )


type Key = Annotated[str, Header(alias="Idempotency-Key", min_length=1, max_length=255)]


def create_sap(books: SapBooks) -> FastAPI:
    """The HTTP API of SAP."""
    app = FastAPI(title="SAP sandbox", docs_url=None, redoc_url=None)

    async def meet() -> None:
        await asyncio.sleep(books.mood.latency_ms / 1000)
        if books.mood.down:
            raise HTTPException(503, "SAP is out of service")

    @app.exception_handler(DeclinedError)
    async def declined(request: Any, error: DeclinedError) -> JSONResponse:
        return JSONResponse(error.body, status_code=422)

    @app.post("/customers", status_code=201)
    async def customer(wanted: CustomerRequest, key: Key) -> dict[str, Any]:
        await meet()
        return books.need_customer(key, wanted)

    @app.post("/customers/withdrawals")
    async def withdrawal(key: Key) -> dict[str, str]:
        await meet()
        books.withdraw_customer(key)
        return {"state": "withdrawn"}

    @app.post("/credit-memos", status_code=201)
    async def memo(wanted: MemoRequest, key: Key) -> dict[str, str]:
        await meet()
        posted = books.credit(key, wanted)
        if wanted.reference in books.mood.lost_answers and key not in books.answered:
            books.answered.add(key)
            raise HTTPException(500, "something broke")
        return {"number": posted.number, "state": posted.state}

    @app.post("/credit-memos/reversals")
    async def reversal(key: Key) -> dict[str, str]:
        await meet()
        return {"state": books.reverse(key).state}

    @app.get("/ledger")
    async def ledger() -> dict[str, Any]:
        customers = {
            external_id: {"number": one.number, "name": one.name, "flagged": one.flagged}
            for external_id, one in books.customers.items()
        }
        memos = [
            {"key": key, "number": one.number, "state": one.state, "reference": one.reference}
            | {"customer": one.customer, "amount": format(one.amount, "f"), "currency": one.currency}
            for key, one in books.memos.items()
        ]
        return {"customers": customers, "memos": memos}

    @app.put("/admin")
    async def behave(mood: Mood) -> Mood:
        books.mood = mood
        return mood

    return app


@asynccontextmanager
async def serve_sap(books: SapBooks, *, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """SAP on a free loopback port unless told otherwise. Gives its base URL."""
    from saga.api.server import serve_api

    async with serve_api(create_sap(books), host, port) as books.url:
        yield books.url


if __name__ == "__main__":
    main("sap", 8702, lambda given, host, port: serve_sap(SapBooks(), host=host, port=port))
