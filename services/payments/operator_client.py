"""The mobile-money operators over HTTP. `SAGA_OPERATOR_URL` says where.

An answer is classified by what it says of the effect: a refusal (422) and an outage (503) say that this
call had none, anything else leaves it open.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import httpx2

from contracts.failure import Unusable
from saga.action import Refused, Unavailable
from saga.http_client import http_client
from services.payments.ports import Disbursement

URL_VARIABLE = "SAGA_OPERATOR_URL"
_TIMEOUT_S = 10.0
_CONNECT_TIMEOUT_S = 3.0

_MEANINGS = {
    "operator.wallet_blocked": ("2040", "PAYEE_NOT_ALLOWED_TO_RECEIVE", "DP00900001012", "60019"),
    "operator.amount_limit": ("17", "PAYEE_LIMIT_REACHED", "DP00900001004", "60011"),
    "operator.currency": ("SFC_IC0003", "INVALID_CURRENCY", "DP00900001010", "60003"),
    "operator.reversed": ("R000001", "RESOURCE_ALREADY_EXIST", "DP00900001005", "60030"),
}
# Every operator has its own words for the same thing; no two of them use one word for different things.
_CODES = {word: code for code, words in _MEANINGS.items() for word in words}


class OperatorError(Exception):
    """The operator's answer leaves it open whether it has done what was asked."""


class HttpOperator:
    """A MobileMoneyOperator behind HTTP."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client

    async def disburse(self, order: Disbursement) -> str:
        body = {
            "phone": order.phone,
            "amount": format(order.amount.amount, "f"),
            "currency": order.amount.currency,
        }
        answer = await self._call("POST", f"/{order.operator}/disbursements", order.key, body)
        return str(answer["reference"])

    async def find(self, operator: str, key: str) -> str | None:
        answer = await self._call("GET", f"/{operator}/disbursements/{quote(key, safe='')}", key)
        return str(answer["reference"]) if answer["state"] == "paid" else None

    async def reverse(self, operator: str, key: str) -> None:
        await self._call("POST", f"/{operator}/reversals", key)

    async def notify(self, operator: str, phone: str, key: str, text: str) -> bool:
        body = {"phone": phone, "text": text}
        answer = await self._call("POST", f"/{operator}/notifications", key, body)
        return bool(answer["delivered"])

    async def _call(
        self, method: str, path: str, key: str, body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        headers = {"Idempotency-Key": key}
        try:
            response = await self._client.request(method, path, json=body, headers=headers)
        except httpx2.ConnectError as error:
            raise Unavailable("operator.unreachable", "no connection to the operator") from error
        except httpx2.HTTPError as error:
            raise OperatorError(f"{type(error).__name__} at {path}") from error
        return _classified(response, path)


def _classified(response: httpx2.Response, path: str) -> dict[str, Any]:
    if response.status_code == httpx2.codes.SERVICE_UNAVAILABLE:
        raise Unavailable("operator.unavailable", f"the operator is out of service at {path}")
    try:
        answer = dict(response.json())
    except ValueError as error:
        raise OperatorError(f"no JSON with status {response.status_code} from {path}") from error
    if response.status_code == httpx2.codes.UNPROCESSABLE_CONTENT and "code" in answer:
        word = str(answer["code"])
        raise Refused(
            _CODES.get(word, "operator.refused"),
            str(answer.get("message", "refused")),
            details={"operator_code": word},
        )
    if response.is_error:
        raise OperatorError(f"the operator answered {response.status_code} at {path}")
    return answer


@asynccontextmanager
async def operator_client(environment: Mapping[str, str]) -> AsyncIterator[HttpOperator]:
    """A client for the operators at `SAGA_OPERATOR_URL`. Raises Unusable if that is not set."""
    url = environment.get(URL_VARIABLE)
    if not url:
        raise Unusable(f"set {URL_VARIABLE} to the operators' base URL (to try: saga sandbox mobile-money)")
    timeout = httpx2.Timeout(_TIMEOUT_S, connect=_CONNECT_TIMEOUT_S)
    async with http_client(base_url=url, timeout=timeout) as client:
        yield HttpOperator(client)
