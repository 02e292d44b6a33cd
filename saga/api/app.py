"""The FastAPI application over open parts."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version

from fastapi import APIRouter, FastAPI, Request, Response
from starlette.types import Message

from contracts.facts import MAX_FACT_BYTES
from events.advisories import Undertaker
from events.breakers import BreakerBucket
from events.bus import Bus
from events.clock import utc_now
from events.deadletters_census import Census
from events.definitions import Definitions
from saga.api import (
    actions,
    breakers,
    dead_letters,
    definitions,
    executions,
    health,
    hooks,
    interventions,
    metrics,
    orchestration_health,
    orchestrations,
    policies,
    problems,
    reasons,
    redrives,
    replays,
    sagas,
    triggers,
    workflow_templates,
    workflows,
)
from saga.api.parts import Parts
from saga.breaker_ledger import Ledger
from saga.client import SagaClient
from saga.log.queries import Queries
from saga.log.service import LogService
from saga.log.store import open_log
from saga.redriving.restart import Redriver
from saga.redriving.runner import RedriveRunner
from saga.secrets import LocalSecrets
from saga.service import ServiceSettings
from saga.triggers.firing import Firer
from saga.triggers.keeping import Triggers
from saga.workflows.catalogue import Catalogue

type Next = Callable[[Request], Awaitable[Response]]


def create_app(parts: Parts, more: Sequence[APIRouter] = ()) -> FastAPI:
    """The API, and what domains answer beside it."""
    modules = (
        reasons, sagas, replays, interventions, redrives, executions, metrics, orchestrations, dead_letters,
        breakers, definitions, actions, policies, health, orchestration_health, triggers, hooks, workflows,
        workflow_templates,
    )  # fmt: skip
    return routed("Saga log", [*(module.router(parts) for module in modules), *more])


def routed(title: str, routers: Sequence[APIRouter]) -> FastAPI:
    """An application of these routes, with problems for errors and a limit for bodies.

    Documentation pages that load scripts from elsewhere are off; `/openapi.json` is there.
    """
    app = FastAPI(
        title=title,
        version=version("choreographed-sagas"),
        docs_url=None,
        redoc_url=None,
        responses=problems.PROBLEM_RESPONSES,
    )
    problems.install(app)
    app.add_middleware(BodyLimit)
    for router in routers:
        app.include_router(router)
    return app


class BodyLimit:
    """Refuses bodies over 256 KiB, before they are read when their length is declared, else while reading."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self._app = app

    async def __call__(
        self, scope: dict[str, object], receive: Callable[[], Awaitable[Message]], send: object
    ) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        declared = request.headers.get("content-length", "0")
        if declared.isdigit() and int(declared) > MAX_FACT_BYTES:
            await self._refuse(request, scope, receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > MAX_FACT_BYTES:
                await self._refuse(request, scope, receive, send)
                return
        given = False

        async def again() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, again, send)

    async def _refuse(self, request: Request, scope: object, receive: object, send: object) -> None:
        detail = f"the body is larger than {MAX_FACT_BYTES} bytes"
        answer = problems.problem(request, 413, "request.too_large", detail)
        await answer(scope, receive, send)  # type: ignore[arg-type]


@asynccontextmanager
async def open_parts(
    bus: Bus, definitions: Definitions, log_url: str, environment: Mapping[str, str] = os.environ
) -> AsyncIterator[Parts]:
    """The saga log, running, and everything the API needs besides. Secrets come from the environment."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_log(log_url))
        await stack.enter_async_context(Undertaker(bus))
        log = await stack.enter_async_context(LogService(bus, database, definitions))
        default = ServiceSettings().breaker_config
        breakers = await stack.enter_async_context(Ledger(default, utc_now, BreakerBucket(bus)))
        client = SagaClient(bus, definitions)
        catalogue = await stack.enter_async_context(Catalogue.open(bus, definitions, client))
        triggers = await stack.enter_async_context(Triggers.open(bus, catalogue, definitions))
        queries = Queries(database)
        await stack.enter_async_context(RedriveRunner(bus, Redriver(bus, definitions), queries))
        yield Parts(
            bus=bus,
            definitions=definitions,
            client=client,
            log=log,
            queries=queries,
            breakers=breakers,
            census=Census(bus),
            catalogue=catalogue,
            triggers=triggers,
            firer=Firer(bus, catalogue),
            secrets=LocalSecrets(environment),
        )
