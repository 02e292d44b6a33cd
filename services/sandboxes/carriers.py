"""A sandbox of a lead store and of carriers that quote, each a real HTTP server of its own.

A carrier gives one quote per `Idempotency-Key`, whatever is repeated. One that is `down` answers 503. The store
gives leads and the list of carriers, and takes signed webhooks once each.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any

from fastapi import FastAPI, Header, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field

_PREFIX = "whsec_"


class Vehicle(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    year: int
    value: Decimal


class QuoteRequest(BaseModel):
    """What a carrier wants to know."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    reference: str = Field(min_length=1, max_length=64)
    zip: str
    vehicle: Vehicle
    young: bool
    band: str


@dataclass
class Carrier:
    """One carrier. `rate` is the yearly price as a share of the vehicle's value; no quote above `ceiling`."""

    id: str
    rate: Decimal
    latency_ms: float = 5.0
    ceiling: Decimal = Decimal(1_000_000)
    down: bool = False
    url: str = ""
    quotes: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: int = 0

    def quote(self, key: str, request: QuoteRequest) -> dict[str, Any]:
        """The quote for this key, the same every time. Raises HTTPException: 422 for what it does not insure."""
        if key in self.quotes:
            return self.quotes[key]
        if request.vehicle.value > self.ceiling:
            raise HTTPException(422, f"{self.id} insures up to {self.ceiling}")
        # Where somebody lives makes the difference between leads; by digest, it is the same in every run.
        place = hashlib.sha256(f"{self.id}{request.zip}".encode()).digest()[0]
        price = request.vehicle.value * self.rate * (1 + Decimal(place) / 1000)
        price *= Decimal("0.9") if request.young else 1
        self.quotes[key] = {
            "carrier": self.id,
            "reference": request.reference,
            "price": float(price.quantize(Decimal("0.01"))),
        }
        return self.quotes[key]


@dataclass
class Store:
    """The store: leads by id, and the webhooks it was told, by their id."""

    leads: Mapping[str, dict[str, Any]]
    secret: str
    carriers: Sequence[Carrier]
    url: str = ""
    told: dict[str, dict[str, Any]] = field(default_factory=dict)
    heard: Counter[str] = field(default_factory=Counter)


type Key = Annotated[str, Header(alias="Idempotency-Key", min_length=1, max_length=255)]


def create_carrier(carrier: Carrier) -> FastAPI:
    """The HTTP API of one carrier."""
    app = FastAPI(title=f"Carrier {carrier.id}", docs_url=None, redoc_url=None)

    @app.post("/quotes", status_code=201)
    async def quote(request: QuoteRequest, key: Key) -> dict[str, Any]:
        carrier.asked += 1
        await asyncio.sleep(carrier.latency_ms / 1000)
        if carrier.down:
            raise HTTPException(503, f"{carrier.id} is out of service")
        return carrier.quote(key, request)

    return app


def create_store(store: Store) -> FastAPI:
    """The HTTP API of the lead store."""
    app = FastAPI(title="Lead store", docs_url=None, redoc_url=None)

    @app.get("/leads/{lead_id}")
    async def lead(lead_id: str) -> dict[str, Any]:
        if lead_id not in store.leads:
            raise HTTPException(404, f"no lead {lead_id}")
        return store.leads[lead_id]

    @app.get("/carriers")
    async def carriers() -> dict[str, Any]:
        return {"carriers": [{"id": carrier.id, "url": carrier.url} for carrier in store.carriers]}

    @app.post("/hooks")
    async def hook(
        request: Request,
        webhook_id: Annotated[str, Header(alias="webhook-id")],
        timestamp: Annotated[int, Header(alias="webhook-timestamp")],
        signature: Annotated[str, Header(alias="webhook-signature")],
    ) -> dict[str, bool]:
        body = await request.body()
        if not signed(store.secret, webhook_id, timestamp, body, signature):
            raise HTTPException(401, "the signature is not ours")
        store.heard[webhook_id] += 1
        store.told.setdefault(webhook_id, (await request.json())["data"])
        return {"heard": True}

    return app


def signed(secret: str, webhook_id: str, timestamp: int, body: bytes, signature: str) -> bool:
    """Whether one of the signatures is that of the Standard Webhooks secret."""
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        return False
    digest = hmac.new(key, f"{webhook_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    expected = f"v1,{base64.b64encode(digest).decode('ascii')}"
    return any(hmac.compare_digest(expected, one) for one in signature.split())


@asynccontextmanager
async def serve_carriers(store: Store) -> AsyncIterator[Store]:
    """The store and all its carriers, each on a free loopback port; their URLs are filled in."""
    from saga.api.server import serve_api

    async with AsyncExitStack() as stack:
        for carrier in store.carriers:
            carrier.url = await stack.enter_async_context(serve_api(create_carrier(carrier)))
        store.url = await stack.enter_async_context(serve_api(create_store(store)))
        yield store
