"""A sandbox of the federal database of registrations, over real HTTP. Run: python -m services.sandboxes.federal FILE

It only answers questions. A registration with `stumbles` answers its first questions with 503, one that is `down`
answers every question so; `PUT /admin` with `{"down": true}` takes the whole database away until it is given back.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import yaml
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, ConfigDict

from services.sandboxes.serving import main


class Registered(BaseModel):
    """One registration. It counts from `since` to the day before `until`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    state: str = "active"
    since: date = date(2020, 1, 1)
    until: date | None = None
    stumbles: int = 0
    down: bool = False


class Mood(BaseModel):
    """How the database behaves from now on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    down: bool = False
    latency_ms: float = 3.0


@dataclass
class Federal:
    """The registrations by DEA number, and the covered entities by their 340B id."""

    registrations: Mapping[str, Registered] = field(default_factory=dict)
    covered_entities: Mapping[str, Registered] = field(default_factory=dict)
    mood: Mood = field(default_factory=Mood)
    asked: Counter[str] = field(default_factory=Counter)
    url: str = ""

    async def look_up(self, among: Mapping[str, Registered], number: str) -> dict[str, Any]:
        """The registration of a number. Raises HTTPException: 404, or 503 while it is not to be had."""
        self.asked[number] += 1
        await asyncio.sleep(self.mood.latency_ms / 1000)
        found = among.get(number)
        if self.mood.down or (found and (found.down or self.asked[number] <= found.stumbles)):
            raise HTTPException(503, "the registry is out of service")
        if found is None:
            raise HTTPException(404, f"no registration {number}")
        return {"number": number} | found.model_dump(mode="json", include={"name", "state", "since", "until"})


def create_federal(federal: Federal) -> FastAPI:
    """The HTTP API of the database."""
    app = FastAPI(title="Federal database sandbox", docs_url=None, redoc_url=None)

    @app.get("/registrations/{number}")
    async def registration(number: str) -> dict[str, Any]:
        return await federal.look_up(federal.registrations, number)

    @app.get("/covered-entities/{number}")
    async def covered_entity(number: str) -> dict[str, Any]:
        return await federal.look_up(federal.covered_entities, number)

    @app.put("/admin")
    async def behave(mood: Mood) -> Mood:
        federal.mood = mood
        return mood

    return app


def read_federal(path: Path) -> Federal:
    """The database in a YAML file: `registrations` and `covered_entities`, each by number."""
    content = yaml.safe_load(path.read_text())
    return Federal(_registered(content["registrations"]), _registered(content["covered_entities"]))


def _registered(content: Mapping[str, Any]) -> dict[str, Registered]:
    return {number: Registered.model_validate(found) for number, found in content.items()}


@asynccontextmanager
async def serve_federal(federal: Federal, *, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """The database on a free loopback port unless told otherwise. Gives its base URL."""
    from saga.api.server import serve_api

    async with serve_api(create_federal(federal), host, port) as federal.url:
        yield federal.url


if __name__ == "__main__":
    main(
        "federal", 8703, lambda given, host, port: serve_federal(read_federal(given[0]), host=host, port=port),
        files=("registrations",),
    )  # fmt: skip
