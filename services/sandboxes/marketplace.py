"""A sandbox of a marketplace over real HTTP: a seller's records, OAuth, claims as cases, decisions by webhook.

A case is opened once per `Idempotency-Key`; each claim has one open case at most. It is decided a moment later, by
what is truly owed and by the mood in which the marketplace is to be for that claim; every change of a case is told
by a signed webhook, but every so often one gets lost (`lose_every`), as in real life. All is in memory.
"""

import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Depends, FastAPI, Header, HTTPException, Query
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, ConfigDict, Field

from contracts.ids import new_saga_id
from contracts.marketplace import RECORDS, Case, CaseRequest
from services.sandboxes.cases import Cases, Owed, Webhooks

_PAGE = 200


@dataclass
class Marketplace:
    """The marketplace with its one seller. `down`: every call of the seller's is answered with 503."""

    records: Mapping[str, Sequence[dict[str, Any]]]
    cases: Cases
    seller_id: str = "SELLER-1"
    down: bool = False
    url: str = ""
    codes: set[str] = field(default_factory=set)
    tokens: set[str] = field(default_factory=set)


class TokenRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    code: str = Field(max_length=128)


type Key = Annotated[str, Header(alias="Idempotency-Key", min_length=1, max_length=255)]


def create_marketplace(market: Marketplace) -> FastAPI:
    """The HTTP API."""
    app = FastAPI(title="Marketplace sandbox", docs_url=None, redoc_url=None)

    async def seller(authorization: Annotated[str, Header()] = "") -> None:
        if market.down:
            raise HTTPException(503, "the marketplace is out of service")
        if authorization.removeprefix("Bearer ") not in market.tokens:
            raise HTTPException(401, "no such token")

    known = [Depends(seller)]

    @app.get("/oauth/authorize")
    async def authorize(state: str, redirect_uri: str) -> RedirectResponse:
        # A real one asks the seller first.
        code = f"code-{new_saga_id()}"
        market.codes.add(code)
        return RedirectResponse(f"{redirect_uri}?{urlencode({'code': code, 'state': state})}", 302)

    @app.post("/oauth/token")
    async def token(body: TokenRequest) -> dict[str, str]:
        if body.code not in market.codes:
            raise HTTPException(400, "the code was used before, or is none of ours")
        market.codes.remove(body.code)
        granted = f"token-{hashlib.sha256(body.code.encode()).hexdigest()[:32]}"
        market.tokens.add(granted)
        return {"access_token": granted, "seller_id": market.seller_id}

    @app.get("/v1/records/{kind}", dependencies=known)
    async def records(
        kind: str,
        after: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=_PAGE)] = _PAGE,
    ) -> dict[str, Any]:
        if kind not in RECORDS:
            raise HTTPException(404, f"no records {kind}")
        rows = market.records.get(kind, ())
        more = after + limit < len(rows)
        return {"items": rows[after : after + limit], "next": after + limit if more else None}

    @app.post("/v1/cases", status_code=201, dependencies=known)
    async def submit(claim: CaseRequest, key: Key) -> Case:
        return market.cases.open(key, claim)

    @app.get("/v1/cases/{case_id}", dependencies=known)
    async def case(case_id: str) -> Case:
        return market.cases.get(case_id)

    @app.post("/v1/withdrawals", dependencies=known)
    async def withdraw(key: Key) -> dict[str, str]:
        return {"status": market.cases.withdraw(key)}

    @app.get("/v1/statement", dependencies=known)
    async def statement() -> list[dict[str, Any]]:
        return [
            {"case_id": case.case_id, "claim_id": case.claim_id, **case.payout.model_dump(mode="json")}
            for case in market.cases.all()
            if case.payout is not None
        ]

    return app


def marketplace_of(
    records: Mapping[str, Sequence[dict[str, Any]]], owed: Sequence[Owed], webhooks: Webhooks
) -> Marketplace:
    """A marketplace with these records, that owes this."""
    invoices = {row["invoice_id"]: row["sha256"] for row in records.get("invoices", ())}
    return Marketplace(records=records, cases=Cases(owed, invoices, webhooks))


@asynccontextmanager
async def serve_marketplace(
    market: Marketplace, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[Marketplace]:
    """The marketplace on a free loopback port, unless told otherwise; its URL is filled in.

    Cases are decided until the block ends.
    """
    from saga.api.server import serve_api

    async with market.cases, serve_api(create_marketplace(market), host, port) as market.url:
        yield market
