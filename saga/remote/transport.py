"""Asking the HTTP API: one session, for the client and for the command line. Problems become exceptions."""

import asyncio
from collections.abc import AsyncIterator, Callable, Container, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any
from urllib.parse import quote

import httpx2
from pydantic import BaseModel

from events.clock import monotonic
from saga.remote.errors import RemoteUnavailable, WaitTimeout, error_of, unreachable

type Query = Mapping[str, Any]

ANY = "*"
"""An ETag that fits whatever is there"""

_LONG_POLL_S = 10.0
_PATIENCE_S = 20.0
_FIRST_BACKOFF_S, _LAST_BACKOFF_S = 0.1, 2.0


@dataclass(frozen=True, slots=True)
class Answer:
    """JSON data (None: no body) and headers of an answer."""

    body: Any
    headers: Mapping[str, str]


class Transport:
    """A session with the API at a URL; close it in the event loop that used it."""

    def __init__(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        self._url = url
        self._client = httpx2.AsyncClient(
            base_url=url, headers=dict(headers or {}), timeout=_LONG_POLL_S + _PATIENCE_S, trust_env=False
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def ask(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Any = None,
        headers: Mapping[str, str | None] | None = None,
        accept: Container[int] = (),
    ) -> Answer:
        """One answer. What is None in query and headers is left out.

        `accept`: statuses whose answer is none the less what was asked for.
        Raises RemoteError as the problem says, RemoteUnavailable if there is no answer.
        """
        sent = {name: value for name, value in (headers or {}).items() if value is not None}
        # An empty query would take away one that is in the path.
        given: dict[str, Any] = {"params": _plain(query)} if query else {}
        if body is not None:
            given["json"] = body
        try:
            response = await self._client.request(method, path, headers=sent, **given)
        except httpx2.HTTPError as error:
            raise unreachable(self._url, error) from error
        if not response.is_success and response.status_code not in accept:
            raise error_of(response)
        return Answer(response.json() if response.content else None, response.headers)

    async def items(self, path: str, query: Query | None = None) -> AsyncIterator[dict[str, Any]]:
        """The items of all pages, each page asked for when it is needed. Raises as `ask`."""
        cursor = None
        while True:
            page = (await self.ask("GET", path, query={**(query or {}), "cursor": cursor})).body
            for item in page["items"]:
                yield item
            if (cursor := page.get("next_cursor")) is None:
                return

    async def all[Item: BaseModel](
        self, path: str, model: type[Item], query: Query | None = None
    ) -> AsyncIterator[Item]:
        """As `items`, each of a type."""
        async for item in self.items(path, query):
            yield model.model_validate(item)

    async def until(
        self, execution_id: str, over: Callable[[dict[str, Any]], bool], timeout_s: float
    ) -> dict[str, Any]:
        """The execution as soon as that holds of it. The API answers when something has happened to it; while the
        API is away it is asked again, less and less often.

        Raises RemoteNotFound, WaitTimeout.
        """
        until, sequence, backoff_s = monotonic() + timeout_s, 0, _FIRST_BACKOFF_S
        while (left_s := until - monotonic()) > 0:
            query = {"after_sequence": sequence, "wait_s": min(left_s, _LONG_POLL_S)}
            try:
                execution = (await self.ask("GET", route("executions", execution_id), query=query)).body
            except RemoteUnavailable:
                await asyncio.sleep(min(backoff_s, left_s))
                backoff_s = min(backoff_s * 2, _LAST_BACKOFF_S)
                continue
            if over(execution):
                return dict(execution)
            sequence, backoff_s = execution["sequence"], _FIRST_BACKOFF_S
        raise WaitTimeout(f"execution {execution_id} has not ended within {timeout_s:g} s; it goes on")


def route(*parts: str) -> str:
    """The path of what these name, below the API's root."""
    return "/api/v1/" + "/".join(quote(part, safe="") for part in parts)


def _plain(query: Query) -> dict[str, Any]:
    return {name: _text(value) for name, value in query.items() if value is not None}


def _text(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_text(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return value.value if isinstance(value, Enum) else value
