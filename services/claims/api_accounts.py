"""`/api/v1/claims/accounts`, `/oauth/callback`: how an account lets us in; and the marketplace's webhooks.

The token that OAuth gives stays in our database: phase 1 is entered when it is there.
"""

import hmac
from typing import Annotated

import structlog
from fastapi import APIRouter, Header, Query, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlmodel import select

from contracts.facts import explain
from contracts.failure import Conflict, InvalidContract, NotFound, Unusable
from contracts.ids import new_saga_id
from contracts.integrations import Url
from contracts.marketplace import Case
from contracts.phases import AccountId, Run
from events.clock import Clock
from events.database import Database
from saga.action import Refused, Unavailable
from saga.secrets import Secrets
from saga.signatures import InvalidSignature, check_signature
from services.claims.api_workflow import PhaseAnswer
from services.claims.doors import Doors
from services.claims.marketplace_client import Tools
from services.claims.store import reading
from services.claims.tables import Connection

log = structlog.get_logger(__name__)

SECRET = "marketplace"  # noqa: S105 - the name of one
_CALLBACK = "/api/v1/claims/oauth/callback"


class ConnectRequest(BaseModel):
    """Whose account is to be connected; `base_url` is where the seller's browser reaches this API."""

    model_config = ConfigDict(extra="forbid")

    account_id: AccountId
    base_url: Url


class ConnectAnswer(BaseModel):
    """Where the seller lets us in."""

    account_id: str
    authorize_url: str


class WebhookAnswer(BaseModel):
    """The phase that was entered by it, if one was."""

    entered: PhaseAnswer | None


class _Told(BaseModel):
    type: str = Field(max_length=64)
    data: Case


def router(doors: Doors, database: Database, tools: Tools, secrets: Secrets, clock: Clock) -> APIRouter:
    """The routes over the claims' database."""
    routes = APIRouter(prefix="/api/v1/claims", tags=["claims"])

    @routes.post("/accounts", status_code=201, operation_id="connectAccount")
    async def connect(body: ConnectRequest) -> ConnectAnswer:
        state = new_saga_id()
        async with database.transaction() as session:
            row = await session.get(Connection, body.account_id) or Connection(account_id=body.account_id)
            # Until the seller has let us in again, the token that is there goes on to count.
            row.state = state
            session.add(row)
        try:
            url = tools.marketplace.authorize_url(state, f"{body.base_url.rstrip('/')}{_CALLBACK}")
        except Unavailable as error:
            raise Unusable(str(error)) from error
        return ConnectAnswer(account_id=body.account_id, authorize_url=url)

    @routes.get("/oauth/callback", status_code=202, operation_id="completeConnection")
    async def complete(
        code: Annotated[str, Query(min_length=1, max_length=128)],
        state: Annotated[str, Query(min_length=1, max_length=64)],
        run: Run = "1",
    ) -> PhaseAnswer:
        account_id = await _granted(database, tools, code, state, clock)
        return PhaseAnswer.of(await doors.enter(1, {"account_id": account_id, "run": run}))

    @routes.post("/marketplace-webhook", status_code=202, operation_id="hearMarketplace")
    async def hear(
        request: Request,
        webhook_id: Annotated[str, Header(alias="webhook-id", max_length=256)],
        timestamp: Annotated[int, Header(alias="webhook-timestamp")],
        signature: Annotated[str, Header(alias="webhook-signature", max_length=2_048)],
    ) -> WebhookAnswer:
        body = await request.body()
        if abs(clock().timestamp() - timestamp) > tools.settings.webhook_tolerance_s:
            raise InvalidSignature(
                f"its timestamp is more than {tools.settings.webhook_tolerance_s:g} s from now"
            )
        try:
            secret = (await secrets.get(SECRET, None)).get_secret_value()
        except Refused as error:
            raise Unusable(f"signatures cannot be checked: {error}") from error
        check_signature(webhook_id, timestamp, body, signature, [secret])
        try:
            told = _Told.model_validate_json(body)
        except ValidationError as error:
            raise InvalidContract(f"the webhook's body: {explain(error)}") from error
        opened = await doors.told(told.data)
        return WebhookAnswer(entered=PhaseAnswer.of(opened) if opened else None)

    return routes


async def _granted(database: Database, tools: Tools, code: str, state: str, clock: Clock) -> str:
    """The account that is let in by this code. Raises NotFound (no such round trip), Conflict, Unusable."""
    async with reading(database) as session:
        row = (await session.exec(select(Connection).where(Connection.state == state))).one_or_none()
    if row is None or not hmac.compare_digest(row.state, state):
        raise NotFound("nobody is being connected with this state: begin again")
    try:
        grant = await tools.marketplace.grant(code)
    except Refused as error:
        raise Conflict(f"the marketplace does not take the code: {error}") from error
    except Unavailable as error:
        raise Unusable(str(error)) from error
    async with database.transaction() as session:
        row.token, row.seller_id, row.state, row.connected_at = (
            grant.access_token,
            grant.seller_id,
            "",
            clock(),
        )
        session.add(row)
    return row.account_id
