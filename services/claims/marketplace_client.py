"""The marketplace over HTTP. `SAGA_MARKETPLACE_URL` says where.

An answer is classified by what it says of the effect: a refusal (4xx) and an outage (503) say that this call had
none, anything else leaves it open, and the same key asks again.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import httpx2
from pydantic import BaseModel, ValidationError

from contracts.marketplace import Case, CaseRequest, RecordPage
from saga.action import EffectUnknown, Refused, Unavailable
from saga.http_client import http_client
from services.claims.settings import ClaimsSettings

URL_VARIABLE = "SAGA_MARKETPLACE_URL"
_TIMEOUT_S = 10.0
_CONNECT_TIMEOUT_S = 3.0


class Grant(BaseModel):
    """What OAuth gives: a token, and whose it is."""

    access_token: str
    seller_id: str


class MarketplaceClient:
    """The marketplace's API. Raises Refused, Unavailable or EffectUnknown."""

    def __init__(self, client: httpx2.AsyncClient, url: str) -> None:
        self._client = client
        self._url = url.rstrip("/")

    def authorize_url(self, state: str, redirect_uri: str) -> str:
        """Where the seller lets us in. Raises Unavailable if no marketplace is set."""
        return f"{self._base}/oauth/authorize?{urlencode({'state': state, 'redirect_uri': redirect_uri})}"

    async def grant(self, code: str) -> Grant:
        """The token for an authorization code; a code counts once."""
        answer = await self._call("POST", "/oauth/token", body={"code": code})
        return _read(Grant, answer)

    async def page(self, token: str, kind: str, after: int) -> RecordPage:
        answer = await self._call("GET", f"/v1/records/{kind}?after={after}", token)
        return _read(RecordPage, answer)

    async def submit(self, token: str, key: str, claim: CaseRequest) -> Case:
        """Open a case, once per key."""
        answer = await self._call("POST", "/v1/cases", token, key, claim.model_dump(mode="json"))
        return _read(Case, answer)

    async def case(self, token: str, case_id: str) -> Case:
        return _read(Case, await self._call("GET", f"/v1/cases/{quote(case_id, safe='')}", token))

    async def withdraw(self, token: str, key: str) -> str:
        """Take back the case of a key, or bar the key; the case's status."""
        answer = await self._call("POST", "/v1/withdrawals", token, key)
        return str(answer["status"])

    async def statement(self, token: str) -> list[dict[str, Any]]:
        """Every payout that the marketplace says it has made."""
        lines: list[dict[str, Any]] = await self._call("GET", "/v1/statement", token)
        return lines

    @property
    def _base(self) -> str:
        if not self._url:
            # Everything else of this process is to work without a marketplace.
            raise Unavailable("marketplace.not_set", f"set {URL_VARIABLE} to the marketplace's base URL")
        return self._url

    async def _call(
        self, method: str, path: str, token: str = "", key: str = "", body: dict[str, Any] | None = None
    ) -> Any:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if key:
            headers["Idempotency-Key"] = key
        place = path.partition("?")[0]
        try:
            response = await self._client.request(method, f"{self._base}{path}", json=body, headers=headers)
        except httpx2.ConnectError as error:
            raise Unavailable("marketplace.unreachable", "no connection to the marketplace") from error
        except httpx2.HTTPError as error:
            raise EffectUnknown("marketplace.no_answer", f"{type(error).__name__} at {place}") from error
        return _classified(response, place)


def _classified(response: httpx2.Response, place: str) -> Any:
    status = response.status_code
    if status in (httpx2.codes.SERVICE_UNAVAILABLE, httpx2.codes.TOO_MANY_REQUESTS):
        raise Unavailable("marketplace.unavailable", f"the marketplace is out of service at {place}")
    if status in (httpx2.codes.UNAUTHORIZED, httpx2.codes.FORBIDDEN):
        raise Refused(
            "marketplace.access_denied", "the marketplace no longer lets us in: connect the account again"
        )
    if response.is_client_error:
        raise Refused("marketplace.refused", f"the marketplace answered {status} at {place}")
    if response.is_error:
        raise EffectUnknown("marketplace.no_answer", f"the marketplace answered {status} at {place}")
    try:
        return response.json()
    except ValueError as error:
        raise EffectUnknown("marketplace.no_answer", f"no JSON from {place}") from error


def _read[M: BaseModel](model: type[M], answer: Any) -> M:
    try:
        return model.model_validate(answer)
    except ValidationError as error:
        problem = f"the marketplace's {model.__name__} has {error.error_count()} wrong fields"
        raise EffectUnknown("marketplace.no_answer", problem) from error


@dataclass(frozen=True, slots=True)
class Tools:
    """What the steps need of the outside."""

    marketplace: MarketplaceClient
    settings: ClaimsSettings


@asynccontextmanager
async def tools(environment: Mapping[str, str]) -> AsyncIterator[Tools]:
    """The marketplace at `SAGA_MARKETPLACE_URL`, and the settings."""
    timeout = httpx2.Timeout(_TIMEOUT_S, connect=_CONNECT_TIMEOUT_S)
    async with http_client(timeout=timeout) as client:
        marketplace = MarketplaceClient(client, environment.get(URL_VARIABLE, ""))
        yield Tools(marketplace, ClaimsSettings.of(environment))
