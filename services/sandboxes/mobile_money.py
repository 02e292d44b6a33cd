"""A sandbox of four mobile-money operators: pays once per idempotency key, reverses, can be made to fail.

Numbers with a meaning, as real sandboxes have them (last three digits of the phone):

    999  the wallet is blocked: every payout is refused
    998  messages cannot be delivered
    997  the first two tries are answered with 503

`PUT /admin/{operator}` sets latency, the share of calls that fail, and an outage.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Annotated, Any

from fastapi import FastAPI, Header, HTTPException
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import Field as Column
from sqlmodel import SQLModel, col, select

from contracts.ids import new_saga_id
from contracts.payments import Operator
from events.clock import utc_now
from events.columns import DecimalText, UtcText
from events.database import Database, make_engine
from saga.api.server import serve_api

BLOCKED, UNDELIVERABLE, FLAKY = "999", "998", "997"
_FLAKY_FAILURES = 2
_REVERSED_BEFORE = "reversed_before_payout"


class Transfer(SQLModel, table=True):
    """A payout: `paid`, `reversed`, or `barred` if its reversal came before it."""

    __tablename__ = "transfers"

    key: str = Column(primary_key=True)
    reference: str
    operator: str = Column(index=True)
    phone: str = ""
    amount: Decimal = Column(default=Decimal(0), sa_type=DecimalText)
    currency: str = ""
    state: str
    at: datetime = Column(sa_type=UtcText)


@dataclass(frozen=True, slots=True)
class Profile:
    """What distinguishes an operator: the prefix of its references and its limit per payout in US dollars."""

    prefix: str
    currencies: frozenset[str]


PROFILES = {
    Operator.MPESA: Profile("MP", frozenset({"KES", "TZS"})),
    Operator.MTN_MOMO: Profile("MTN", frozenset({"NGN", "GHS", "UGX", "ZAR", "XOF", "XAF", "ZMW", "RWF"})),
    Operator.AIRTEL_MONEY: Profile("AM", frozenset({"KES", "NGN", "GHS", "UGX", "TZS", "ZMW", "RWF"})),
    Operator.ORANGE_MONEY: Profile("OM", frozenset({"XOF", "XAF"})),
}


class Behaviour(BaseModel):
    """How an operator behaves now."""

    model_config = ConfigDict(extra="forbid")

    latency_ms: float = Field(default=0, ge=0, le=60_000)
    failure_rate: float = Field(default=0, ge=0, le=1)
    outage: bool = False


class Payout(BaseModel):
    model_config = ConfigDict(extra="forbid")

    phone: str
    amount: Decimal = Field(gt=0)
    currency: str


class Message(BaseModel):
    model_config = ConfigDict(extra="forbid")

    phone: str
    text: str = Field(max_length=500)


type Key = Annotated[str, Header(alias="Idempotency-Key", min_length=1, max_length=255)]


@dataclass
class _World:
    database: Database
    random: Random
    behaviour: dict[Operator, Behaviour] = field(default_factory=dict)
    tries: Counter[str] = field(default_factory=Counter)

    async def meet(self, operator: Operator) -> None:
        """Behave as set: wait, be out, or fail."""
        now = self.behaviour.setdefault(operator, Behaviour())
        if now.latency_ms:
            await asyncio.sleep(now.latency_ms / 1000)
        if now.outage or self.random.random() < now.failure_rate:
            raise HTTPException(503, "out of service")


def create_sandbox(database: Database, seed: int = 1) -> FastAPI:
    """The operators' HTTP API over a database with the table of `Transfer`."""
    app = FastAPI(title="Mobile-money sandbox", docs_url=None, redoc_url=None)
    # Which calls fail is chance with a seed, so that a run can be repeated.
    world = _World(database, Random(seed))

    @app.post("/{operator}/disbursements", status_code=201)
    async def disburse(operator: Operator, payout: Payout, key: Key) -> Any:
        await world.meet(operator)
        world.tries[key] += 1
        if payout.phone.endswith(FLAKY) and world.tries[key] <= _FLAKY_FAILURES:
            raise HTTPException(503, "try again")
        if payout.currency not in PROFILES[operator].currencies:
            return _refusal("currency", f"{operator} does not pay {payout.currency}")
        if payout.phone.endswith(BLOCKED):
            return _refusal("wallet_blocked", "the recipient's wallet is blocked")
        return await _pay(world.database, operator, payout, key)

    @app.post("/{operator}/reversals")
    async def reverse(operator: Operator, key: Key) -> Any:
        await world.meet(operator)
        return await _reverse(world.database, operator, key)

    @app.post("/{operator}/notifications")
    async def notify(operator: Operator, message: Message, key: Key) -> dict[str, bool]:
        await world.meet(operator)
        return {"delivered": not message.phone.endswith(UNDELIVERABLE)}

    @app.get("/statement")
    async def statement() -> list[dict[str, Any]]:
        return await read_statement(world.database)

    @app.put("/admin/{operator}")
    async def behave(operator: Operator, behaviour: Behaviour) -> Behaviour:
        world.behaviour[operator] = behaviour
        return behaviour

    return app


async def read_statement(database: Database) -> list[dict[str, Any]]:
    """Every transfer the operators know of."""
    async with database.transaction() as session:
        transfers = (await session.exec(select(Transfer).order_by(col(Transfer.at)))).all()
    return [transfer.model_dump(mode="json") for transfer in transfers]


async def _pay(database: Database, operator: Operator, payout: Payout, key: str) -> Any:
    async with database.transaction() as session:
        known = await session.get(Transfer, key)
        if known is not None and known.state != "paid":
            return _refusal(_REVERSED_BEFORE, "a payout with this key was reversed")
        if known is None:
            known = Transfer(
                key=key, reference=_reference(operator), operator=operator, phone=payout.phone,
                amount=payout.amount, currency=payout.currency, state="paid", at=utc_now(),
            )  # fmt: skip
            session.add(known)
        return {"reference": known.reference, "state": known.state}


async def _reverse(database: Database, operator: Operator, key: str) -> Any:
    async with database.transaction() as session:
        transfer = await session.get(Transfer, key)
        if transfer is None:
            # The payout may still be on its way: bar it.
            transfer = Transfer(
                key=key, reference=_reference(operator), operator=operator, state="barred", at=utc_now()
            )
        elif transfer.state == "paid":
            transfer.state = "reversed"
        session.add(transfer)
        return {"reference": transfer.reference, "state": transfer.state}


def _reference(operator: Operator) -> str:
    return f"{PROFILES[operator].prefix}{new_saga_id()[-12:].upper()}"


def _refusal(code: str, message: str) -> JSONResponse:
    return JSONResponse({"code": code, "message": message}, status_code=422)


@asynccontextmanager
async def serve_sandbox(path: Path, *, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """The sandbox on a free loopback port, its transfers in the SQLite file `path`. Gives its base URL."""
    path.parent.mkdir(parents=True, exist_ok=True)
    database = Database(make_engine(f"sqlite+aiosqlite:///{path}", synchronous="NORMAL"))
    try:
        await database.create([Transfer.__table__])  # type: ignore[attr-defined]
        async with serve_api(create_sandbox(database), host, port) as url:
            yield url
    finally:
        await database.close()
