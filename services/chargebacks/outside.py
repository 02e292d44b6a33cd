"""Calls of the outside over HTTP, classified by what an answer says of the effect.

A refusal (4xx) and an outage (503, no connection) say that this call had none, anything else leaves it open. Where
no address is set, the other side counts as away: its sagas wait for it, and those that do not need it go on.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from saga.action import Refused, Unavailable
from saga.http_client import http_client

_TIMEOUT_S = 10.0
_CONNECT_TIMEOUT_S = 3.0


class OutsideError(Exception):
    """The answer leaves it open whether what was asked has been done."""


class Outside:
    """One other side. `name` is the domain of its errors: `sap.unavailable`."""

    def __init__(self, name: str, variable: str, client: httpx2.AsyncClient | None) -> None:
        self._name = name
        self._variable = variable
        self._client = client

    async def call(
        self, method: str, path: str, *, key: str = "", body: Mapping[str, Any] | None = None
    ) -> dict[str, Any] | None:
        """The answer; None if what was asked for does not exist (404).

        Raises Refused, Unavailable, or OutsideError if it is open what has happened.
        """
        if self._client is None:
            raise Unavailable(f"{self._name}.not_configured", f"set {self._variable} to the base URL")
        headers = {"Idempotency-Key": key} if key else {}
        try:
            response = await self._client.request(method, path, json=body, headers=headers)
        except httpx2.ConnectError as error:
            raise Unavailable(f"{self._name}.unreachable", f"no connection to {self._name}") from error
        except httpx2.HTTPError as error:
            raise OutsideError(f"{type(error).__name__} at {path}") from error
        return None if response.status_code == httpx2.codes.NOT_FOUND else self._classified(response, path)

    def _classified(self, response: httpx2.Response, path: str) -> dict[str, Any]:
        if response.status_code == httpx2.codes.SERVICE_UNAVAILABLE:
            raise Unavailable(f"{self._name}.unavailable", f"out of service at {path}")
        try:
            answer = dict(response.json())
        except ValueError as error:
            raise OutsideError(f"no JSON with status {response.status_code} from {path}") from error
        if response.status_code == httpx2.codes.UNPROCESSABLE_CONTENT and "code" in answer:
            raise Refused(
                f"{self._name}.refused",
                str(answer.get("message", "refused")),
                details={"code": str(answer["code"])},
            )
        if response.is_error:
            raise OutsideError(f"status {response.status_code} at {path}")
        return answer


@asynccontextmanager
async def outside(name: str, variable: str, environment: Mapping[str, str]) -> AsyncIterator[Outside]:
    """The other side at the URL that a variable names."""
    url = environment.get(variable)
    if not url:
        yield Outside(name, variable, None)
        return
    timeout = httpx2.Timeout(_TIMEOUT_S, connect=_CONNECT_TIMEOUT_S)
    async with http_client(base_url=url, timeout=timeout) as client:
        yield Outside(name, variable, client)
