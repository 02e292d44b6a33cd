"""SAP's customers and credit memos over HTTP. `SAGA_SAP_URL` says where."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

from contracts.money import Money
from services.chargebacks.outside import Outside, OutsideError, outside
from services.chargebacks.ports import CreditLine, SapCustomer

URL_VARIABLE = "SAGA_SAP_URL"
BREAKER = "sap"


class HttpSap:
    """A Sap behind HTTP."""

    def __init__(self, side: Outside) -> None:
        self._side = side

    async def need_customer(self, key: str, customer: SapCustomer) -> tuple[str, bool]:
        answer = await self._post("/customers", key, asdict(customer))
        return _said(answer, "number"), bool(answer.get("created"))

    async def withdraw_customer(self, key: str) -> None:
        await self._post("/customers/withdrawals", key)

    async def credit(
        self, key: str, customer_number: str, reference: str, amount: Money, lines: Sequence[CreditLine]
    ) -> str:
        body = {
            "customer": customer_number,
            "reference": reference,
            "amount": format(amount.amount, "f"),
            "currency": amount.currency,
            "lines": [{"ndc": line.ndc, "amount": format(line.amount.amount, "f")} for line in lines],
        }
        return _said(await self._post("/credit-memos", key, body), "number")

    async def reverse_credit(self, key: str) -> None:
        await self._post("/credit-memos/reversals", key)

    async def _post(self, path: str, key: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        answer = await self._side.call("POST", path, key=key, body=body)
        if answer is None:
            raise OutsideError(f"SAP has nothing at {path}")
        return answer


def _said(answer: Mapping[str, Any], field: str) -> str:
    if not answer.get(field):
        raise OutsideError(f"SAP's answer has no {field}")
    return str(answer[field])


@asynccontextmanager
async def sap_client(environment: Mapping[str, str]) -> AsyncIterator[HttpSap]:
    """A client for SAP."""
    async with outside("sap", URL_VARIABLE, environment) as side:
        yield HttpSap(side)
