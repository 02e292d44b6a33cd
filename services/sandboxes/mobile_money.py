"""A sandbox of four mobile-money operators over real HTTP. Run: python -m services.sandboxes.mobile_money

It pays once per `Idempotency-Key`, whatever is repeated, and keeps that promise over a restart. A reversal
that comes before its payout bars the payout for ever. `PUT /admin/{operator}` sets latency, the share of
calls that fail, and an outage. The phone numbers with a meaning are in `profiles`.
"""

import asyncio
import signal
from argparse import ArgumentParser
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Annotated, Any

from fastapi import FastAPI, Header
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from contracts.ids import new_saga_id
from contracts.payments import Operator
from events.clock import monotonic, utc_now
from events.database import Database, make_engine
from services.sandboxes.behaviour import Behaviour, DeclinedError, World
from services.sandboxes.profiles import (
    BLOCKED,
    FLAKY,
    LOST_ANSWER,
    PROFILES,
    STRANDED,
    UNDELIVERABLE,
)
from services.sandboxes.transfers import (
    BAR,
    PAYOUT,
    REVERSAL,
    TABLES,
    Movement,
    Notice,
    movements_of,
    read_statement,
)

_FLAKY_FAILURES = 2


class Payout(BaseModel):
    """What is to be paid to whom."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    phone: str = Field(max_length=24)
    amount: Decimal = Field(gt=0, max_digits=18)
    currency: str = Field(max_length=3)


class Message(BaseModel):
    """A text to the owner of a wallet."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    phone: str = Field(max_length=24)
    text: str = Field(max_length=500)


type Key = Annotated[str, Header(alias="Idempotency-Key", min_length=1, max_length=255)]


def create_sandbox(database: Database, *, seed: int = 1, clock_s: Callable[[], float] = monotonic) -> FastAPI:
    """The operators' HTTP API over a database that has the tables of `transfers`."""
    app = FastAPI(title="Mobile-money sandbox", docs_url=None, redoc_url=None)
    # Which calls fail is chance with a seed, so that a run can be repeated.
    world = World(Random(seed), clock_s)  # noqa: S311 - guards nothing

    @app.exception_handler(DeclinedError)
    async def declined(request: Any, error: DeclinedError) -> JSONResponse:
        return JSONResponse(error.body, status_code=error.status)

    @app.post("/{operator}/disbursements", status_code=201)
    async def disburse(operator: Operator, payout: Payout, key: Key) -> Any:
        await world.meet(operator)
        world.tries[key] += 1
        if payout.phone.endswith(FLAKY) and world.tries[key] <= _FLAKY_FAILURES:
            raise DeclinedError(operator, "unavailable", "try again")
        if payout.phone.endswith(STRANDED) and world.tries[key] > 1:
            raise DeclinedError(operator, "unavailable", "out of service")
        answer = await _pay(database, operator, payout, key)
        if payout.phone.endswith((LOST_ANSWER, STRANDED)) and world.tries[key] == 1:
            return JSONResponse({"code": "internal", "message": "something broke"}, status_code=500)
        return answer

    @app.get("/{operator}/disbursements/{key}")
    async def disbursement(operator: Operator, key: str) -> dict[str, Any]:
        await world.meet(operator)
        return await _look_up(database, key)

    @app.post("/{operator}/reversals")
    async def reverse(operator: Operator, key: Key) -> dict[str, Any]:
        await world.meet(operator)
        return await _reverse(database, operator, key)

    @app.post("/{operator}/notifications")
    async def notify(operator: Operator, message: Message, key: Key) -> dict[str, bool]:
        await world.meet(operator)
        return {"delivered": await _deliver(database, operator, message, key)}

    @app.get("/statement")
    async def statement() -> list[dict[str, Any]]:
        return await read_statement(database)

    @app.put("/admin/{operator}")
    async def behave(operator: Operator, behaviour: Behaviour) -> Behaviour:
        world.behave(operator, behaviour)
        return behaviour

    return app


async def _pay(database: Database, operator: Operator, payout: Payout, key: str) -> dict[str, str]:
    async with database.transaction() as session:
        # What was decided for this key comes first: limits and wallets may have changed since.
        known = await movements_of(session, key)
        if known.keys() & {REVERSAL, BAR}:
            raise DeclinedError(operator, "reversed", "a payout with this key was reversed")
        if paid := known.get(PAYOUT):
            return {"reference": paid.reference, "state": "paid"}
        _require_payable(operator, payout)
        reference = _reference(operator)
        session.add(
            Movement(
                key=key, kind=PAYOUT, operator=operator, reference=reference, phone=payout.phone,
                amount=payout.amount, currency=payout.currency, at=utc_now(),
            )
        )  # fmt: skip
        return {"reference": reference, "state": "paid"}


def _require_payable(operator: Operator, payout: Payout) -> None:
    limit = PROFILES[operator].limits.get(payout.currency)
    if limit is None:
        raise DeclinedError(operator, "currency", f"{operator} does not pay {payout.currency}")
    if payout.amount > limit:
        raise DeclinedError(operator, "amount_limit", f"a payout is at most {limit} {payout.currency}")
    if payout.phone.endswith(BLOCKED):
        raise DeclinedError(operator, "wallet_blocked", "the recipient's wallet is blocked")


async def _look_up(database: Database, key: str) -> dict[str, str]:
    async with database.transaction() as session:
        known = await movements_of(session, key)
    if known.keys() & {REVERSAL, BAR}:
        return {"state": "reversed", "reference": ""}
    return {"state": "paid", "reference": known[PAYOUT].reference} if PAYOUT in known else {"state": "none"}


async def _reverse(database: Database, operator: Operator, key: str) -> dict[str, str]:
    async with database.transaction() as session:
        known = await movements_of(session, key)
        if not known.keys() & {REVERSAL, BAR}:
            session.add(_reversal(operator, key, known.get(PAYOUT)))
        return {"state": "reversed"}


def _reversal(operator: Operator, key: str, paid: Movement | None) -> Movement:
    if paid is None:
        # The payout may still be on its way: bar it.
        return Movement(key=key, kind=BAR, operator=operator, reference=_reference(operator), at=utc_now())
    return Movement(
        key=key, kind=REVERSAL, operator=operator, reference=_reference(operator), phone=paid.phone,
        amount=paid.amount, currency=paid.currency, at=utc_now(),
    )  # fmt: skip


async def _deliver(database: Database, operator: Operator, message: Message, key: str) -> bool:
    if message.phone.endswith(UNDELIVERABLE):
        return False
    async with database.transaction() as session:
        if await session.get(Notice, key) is None:
            session.add(Notice(key=key, operator=operator, phone=message.phone, text=message.text))
    return True


def _reference(operator: Operator) -> str:
    return f"{PROFILES[operator].prefix}{new_saga_id()[-12:].upper()}"


@asynccontextmanager
async def open_transfers(path: Path | None) -> AsyncIterator[Database]:
    """The operators' database in the SQLite file `path`, or in memory."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    database = Database(make_engine(f"sqlite+aiosqlite:///{path or ':memory:'}", synchronous="NORMAL"))
    try:
        await database.create(TABLES)
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def serve_sandbox(
    path: Path | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    seed: int = 1,
    clock_s: Callable[[], float] = monotonic,
) -> AsyncIterator[str]:
    """The sandbox by uvicorn, on a free loopback port unless told otherwise. Gives its base URL.

    Its transfers are in the SQLite file `path`; without one in memory, and gone with the block.
    """
    from saga.api.server import serve_api

    async with open_transfers(path) as database:
        async with serve_api(create_sandbox(database, seed=seed, clock_s=clock_s), host, port) as url:
            yield url


async def _run(path: Path | None, host: str, port: int, seed: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with serve_sandbox(path, host=host, port=port, seed=seed) as url:
        print(url, flush=True)
        await stop.wait()


def main() -> None:
    """Serve until SIGINT or SIGTERM; the base URL is printed on stdout."""
    parser = ArgumentParser(prog="mobile_money", description="Mobile-money operators to try payments with.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8700, help="0: a free one")
    parser.add_argument("--data", type=Path, help="SQLite file of the transfers; default: in memory")
    parser.add_argument("--seed", type=int, default=1, help="of the chance by which calls fail")
    given = parser.parse_args()
    asyncio.run(_run(given.data, given.host, given.port, given.seed))


if __name__ == "__main__":
    main()
