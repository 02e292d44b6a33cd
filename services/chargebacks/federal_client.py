"""The federal database over HTTP. `SAGA_FEDERAL_URL` says where."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import date
from typing import Any
from urllib.parse import quote

from services.chargebacks.outside import Outside, OutsideError, outside
from services.chargebacks.ports import Registration

URL_VARIABLE = "SAGA_FEDERAL_URL"


class HttpFederalDatabase:
    """A FederalDatabase behind HTTP."""

    def __init__(self, side: Outside) -> None:
        self._side = side

    async def registration(self, number: str) -> Registration | None:
        return _registration(await self._side.call("GET", f"/registrations/{quote(number, safe='')}"))

    async def covered_entity(self, number: str) -> Registration | None:
        return _registration(await self._side.call("GET", f"/covered-entities/{quote(number, safe='')}"))


def _registration(answer: dict[str, Any] | None) -> Registration | None:
    if answer is None:
        return None
    try:
        return Registration(
            number=str(answer["number"]),
            name=str(answer["name"]),
            state=str(answer["state"]),
            since=date.fromisoformat(answer["since"]),
            until=date.fromisoformat(answer["until"]) if answer["until"] else None,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise OutsideError(f"no registration: {type(error).__name__}: {error}") from error


@asynccontextmanager
async def federal_client(environment: Mapping[str, str]) -> AsyncIterator[HttpFederalDatabase]:
    """A client for the federal database."""
    async with outside("federal", URL_VARIABLE, environment) as side:
        yield HttpFederalDatabase(side)
