"""The reference of the HTTP API names every route there is."""

import re
from contextlib import AsyncExitStack
from pathlib import Path

from contracts.actions import DOMAINS
from saga.api.app import create_app, open_parts
from saga.domains import domain_api
from saga.service import ServiceSettings
from tests.docs.test_docs import ROOT
from tests.world import Running

PAGE = (ROOT / "docs/reference/http.md").read_text()


def unnamed(path: str) -> str:
    """The path, whatever its parameters are called."""
    return re.sub(r"\{[^}]*\}", "{}", path)


def documented() -> set[str]:
    """The paths of all rows. `.../x` stands for a path beside or below the one before it."""
    paths = set()
    for row in re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE):
        whole = ""
        for text in re.findall(r"`(?:[A-Z]+ )?(\S+?)`", row):
            if not text.startswith("..."):
                whole = text
                paths.add(unnamed(text))
                continue
            rest = text.removeprefix("...")
            paths |= {unnamed(whole + rest), unnamed(whole.rpartition("/")[0] + rest)}
    return paths


async def test_the_reference_names_every_route(running: Running, data: Path) -> None:
    log_url = f"sqlite+aiosqlite:///{data / 'log.db'}"
    settings = running.bus.settings
    environment = {"NATS_URL": settings.url, "SAGA_BUS_NAMESPACE": settings.namespace}
    async with open_parts(running.bus, running.definitions, log_url) as parts, AsyncExitStack() as stack:
        routers = [
            router
            for domain in DOMAINS
            if (open_api := domain_api(domain))
            for router in await stack.enter_async_context(open_api(ServiceSettings(data=data), environment))
        ]
        app = create_app(parts, routers)
    served = {unnamed(path) for path in app.openapi()["paths"]}
    # The same as /api/v1/breakers, route by route.
    served = {path for path in served if not path.startswith("/api/v1/circuit-breakers")}
    assert len(served) > 40
    assert sorted(served - documented()) == []
