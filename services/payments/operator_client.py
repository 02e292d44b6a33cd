"""The mobile-money operators over HTTP. `SAGA_OPERATOR_URL` says where.

Answers are classified by what they say about the effect: a refusal had none, a server error or a broken
connection may have had one.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from contracts.failure import Unusable
from saga.action import Refused, Unavailable
from services.payments.ports import Disbursement

URL_VARIABLE = "SAGA_OPERATOR_URL"
_TIMEOUT_S = 10.0
_CONNECT_TIMEOUT_S = 3.0


class OperatorError(Exception):
    """The operator's answer leaves it open whether it has paid."""


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
        answer = await self._post(f"/{order.operator}/disbursements", order.key, body)
        return str(answer["reference"])

    async def reverse(self, operator: str, key: str) -> None:
        await self._post(f"/{operator}/reversals", key, {})

    async def notify(self, operator: str, phone: str, key: str, text: str) -> bool:
        """Send a message to the wallet's owner; whether it could be delivered."""
        answer = await self._post(f"/{operator}/notifications", key, {"phone": phone, "text": text})
        return bool(answer["delivered"])

    async def _post(self, path: str, key: str, body: dict[str, Any]) -> dict[str, Any]:
        try:
            response = await self._client.post(path, json=body, headers={"Idempotency-Key": key})
        except httpx2.ConnectError as error:
            raise Unavailable("operator.unreachable", "no connection to the operator") from error
        except httpx2.HTTPError as error:
            raise OperatorError(f"{type(error).__name__} at {path}") from error
        if response.status_code == httpx2.codes.SERVICE_UNAVAILABLE:
            raise Unavailable("operator.unavailable", f"the operator is out of service at {path}")
        if response.status_code == httpx2.codes.UNPROCESSABLE_ENTITY:
            answer = response.json()
            raise Refused(f"operator.{answer['code']}", str(answer["message"]))
        if response.is_error:
            raise OperatorError(f"the operator answered {response.status_code} at {path}")
        return dict(response.json())


@asynccontextmanager
async def operator_client(environment: Mapping[str, str]) -> AsyncIterator[HttpOperator]:
    """A client for the operators at `SAGA_OPERATOR_URL`. Raises Unusable if that is not set."""
    url = environment.get(URL_VARIABLE)
    if not url:
        raise Unusable(
            f"set {URL_VARIABLE} to the operators' base URL (the sandbox: saga sandbox mobile-money)"
        )
    timeout = httpx2.Timeout(_TIMEOUT_S, connect=_CONNECT_TIMEOUT_S)
    # The proxies and credentials of this machine's user are nothing that payments may go through.
    async with httpx2.AsyncClient(base_url=url, timeout=timeout, trust_env=False) as client:
        yield HttpOperator(client)
