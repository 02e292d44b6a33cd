"""A small seller, the marketplace over real HTTP, and the claims services on a bus."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import httpx2
from sqlmodel import col, select

from contracts.definition import SagaDefinition
from contracts.ids import saga_id_for
from contracts.marketplace import CaseRequest, ClaimKind
from contracts.phases import PHASES, PhaseEntry, phase_saga_key
from events.bus import Bus
from events.database import Database
from events.definitions import Definitions
from events.read import follow, read_saga
from saga.api.app import routed
from saga.api.server import serve_api
from saga.client import SagaClient, StartOptions
from saga.domains import domain_actions
from saga.service import Databases, ServiceSettings, serve
from saga.state import SagaState, fold
from saga.topology import consumers_for
from services.claims.api import open_api
from services.claims.books import Books, compare, read_ledger
from services.claims.definitions import DEFINITIONS
from services.claims.steps.enter_phase import enter_phase
from services.claims.tables import Claim, Connection, Question, Transition
from services.sandboxes.cases import Mood, Owed, Webhooks
from services.sandboxes.marketplace import Marketplace, marketplace_of

SECRET = "whsec_bWFya2V0cGxhY2Ugd2ViaG9va3Mgb2Ygc2FtcGxlcw=="
ACCOUNT = "S-1"
DAY = date(2025, 3, 1)
SKU = "TEA-100"
PRICE = Decimal("20.00")
WORTH = Decimal("17.00")
_PATIENCE_S = 40


def records(
    *lost: int, invoices: int = 2, units: int = 100, bought: date = DAY - timedelta(days=20)
) -> dict[str, list[dict[str, Any]]]:
    """Records of a seller who has lost so many units in so many adjustments; each unit is worth 17.00."""
    return {
        "products": [{"sku": SKU, "title": "Tea", "weight_g": 400, "longest_side_mm": 200}],
        "orders": [
            {"order_id": f"O-{n}", "sku": SKU, "quantity": 1, "unit_price": str(PRICE), "on": str(on)}
            for n, on in enumerate((DAY - timedelta(days=40), DAY + timedelta(days=200)))
        ],
        "adjustments": [
            {
                "adjustment_id": f"A-{n}", "sku": SKU, "reason": "lost", "quantity": quantity,
                "on": str(DAY + timedelta(days=n)),
            }
            for n, quantity in enumerate(lost, 1)
        ],
        "invoices": [
            {
                "invoice_id": f"I-{n}", "supplier": "Leaf Ltd", "sku": SKU, "title": "Tea", "quantity": units,
                "unit_cost": "4.00", "on": str(bought - timedelta(days=n)), "sha256": f"{n:064x}",
            }
            for n in range(1, invoices + 1)
        ],
    }  # fmt: skip


OLD = DAY - timedelta(days=300)
"""Invoices of that day are good enough to ask the seller, and not to submit at once."""


def a_case(**fields: Any) -> CaseRequest:
    """A claim for one lost unit, with its invoice."""
    told: dict[str, Any] = {
        "claim_id": "C-0000000000000001",
        "kind": "lost_inventory",
        "sku": SKU,
        "quantity": 1,
        "amount": {"amount": str(WORTH), "currency": "USD"},
        "records": ["A-1"],
        "documents": [{"invoice_id": "I-1", "sha256": f"{1:064x}", "quantity": 1, "score": 90}],
    }
    return CaseRequest.model_validate(told | fields)


def marketplace(*owed: tuple[int, Mood], lose_every: int = 0, **more: Any) -> Marketplace:
    """A marketplace that owes so many lost units, each claim for them in a mood of its own."""
    truth = [
        Owed(
            kind=ClaimKind.LOST_INVENTORY, records=frozenset({f"A-{n}"}), quantity=quantity,
            amount=WORTH * quantity, mood=mood,
        )
        for n, (quantity, mood) in enumerate(owed, 1)
    ]  # fmt: skip
    webhooks = Webhooks(secret=SECRET, lose_every=lose_every)
    market = marketplace_of(records(*(one[0] for one in owed), **more), truth, webhooks)
    market.cases.think_s = 0.02
    return market


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """The claims services, running; `api` is their own HTTP."""

    bus: Bus
    client: SagaClient
    market: Marketplace
    settings: ServiceSettings
    database: Database
    api: httpx2.AsyncClient
    environment: dict[str, str]

    async def connected(self, account_id: str = ACCOUNT) -> None:
        """Let the account in, without its first phase."""
        token = f"token-{account_id}"
        self.market.tokens.add(token)
        async with self.database.transaction() as session:
            session.add(Connection(account_id=account_id, token=token))

    async def enter(self, entry: PhaseEntry, **options: Any) -> str:
        """Enter a phase by the fact that starts its saga; the saga's id."""
        number = next(phase.number for phase in PHASES.values() if isinstance(entry, phase.entry))
        started = await self.client.start(
            PHASES[number].definition, entry.model_dump(mode="json"), StartOptions(**options)
        )
        return started.saga_id

    async def state(self, saga_id: str) -> SagaState:
        facts = await read_saga(self.bus, saga_id)
        return fold(definition_of(facts[0].fact.definition), facts)

    async def ended(self, saga_id: str) -> SagaState:
        """How a saga has ended, or how it stands when it waits for a person."""
        return await self.until(saga_id, lambda state: state.ended or state.status == "waiting")

    async def until(self, saga_id: str, holds: Callable[[SagaState], bool]) -> SagaState:
        """A saga's state as soon as it fulfils a condition, looked at after every fact."""
        found: list[SagaState] = []

        async def look() -> bool:
            if not await read_saga(self.bus, saga_id):
                return False
            found.append(await self.state(saga_id))
            return holds(found[-1])

        await self.when(look)
        return found[-1]

    async def entered(self, entry: PhaseEntry) -> SagaState:
        """How the saga that an entry starts, whoever makes it, has ended."""
        return await self.ended(saga_id_for(phase_saga_key(entry)))

    async def when(self, holds: Callable[[], Awaitable[bool]]) -> None:
        """Wait until a condition holds, looked at after every fact."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(asyncio.timeout(_PATIENCE_S))
            facts = follow(self.bus, 0, 0, pause_s=0.005)
            stack.push_async_callback(facts.aclose)
            async for _ in facts:
                if await holds():
                    return

    async def at_end(self, *statuses: str) -> list[Claim]:
        """The claims, as soon as they have come to these statuses, whichever to which."""

        async def all_there() -> bool:
            return sorted(claim.status for claim in await self.claims()) == sorted(statuses)

        await self.when(all_there)
        return await self.claims()

    async def claims(self) -> list[Claim]:
        return await self._all(select(Claim).order_by(col(Claim.on)))

    async def questions(self) -> list[Question]:
        return await self._all(select(Question))

    async def trail(self, **of: Any) -> list[tuple[int, str]]:
        """The audit trail, as phase and outcome."""
        rows = await self._all(select(Transition).filter_by(**of).order_by(col(Transition.number)))
        return [(row.phase, row.outcome) for row in rows]

    async def books(self) -> Books:
        statement = [
            {"case_id": case.case_id, "claim_id": case.claim_id, **case.payout.model_dump(mode="json")}
            for case in self.market.cases.all()
            if case.payout
        ]
        return compare(await read_ledger(self.settings, statement))

    async def _all(self, query: Any) -> list[Any]:
        async with self.database.transaction() as session:
            return list((await session.exec(query)).all())


def definition_of(ref: str) -> SagaDefinition:
    return next(one for one in DEFINITIONS if one.ref == ref)


@asynccontextmanager
async def serving(
    bus: Bus, definitions: Definitions, market: Marketplace, settings: ServiceSettings, **more: str
) -> AsyncIterator[Claims]:
    """The claims services and their HTTP API, with webhooks from the marketplace that is being served."""
    await definitions.publish_all(DEFINITIONS, consumers_for)
    environment = {
        "NATS_URL": bus.settings.url,
        "SAGA_BUS_NAMESPACE": bus.settings.namespace,
        "SAGA_MARKETPLACE_URL": market.url,
        "SAGA_SECRET_MARKETPLACE": SECRET,
        "SAGA_CLAIMS_POLL_S": "0.3",
        **more,
    }
    async with AsyncExitStack() as stack:
        actions = domain_actions("claims")
        await stack.enter_async_context(serve(actions, bus, definitions, settings, environment=environment))
        routers = await stack.enter_async_context(open_api(settings, environment))
        url = await stack.enter_async_context(serve_api(routed("claims", routers)))
        market.cases.webhooks.url = f"{url}/api/v1/claims/marketplace-webhook"
        api = await stack.enter_async_context(httpx2.AsyncClient(base_url=url, trust_env=False))
        databases = Databases(settings)
        stack.push_async_callback(databases.close)
        database = await databases.open(enter_phase)
        assert database is not None
        client = SagaClient(bus, definitions)
        yield Claims(
            bus=bus, client=client, market=market, settings=settings, database=database, api=api,
            environment=environment,
        )  # fmt: skip
