"""Probes and metrics. Alive: this process works. Ready: bus and log answer."""

import asyncio
from typing import Any

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy.exc import SQLAlchemyError

from saga.api.parts import Parts

_CHECK_S = 1.0
OK = "ok"


def router(parts: Parts) -> APIRouter:
    """The routes over these parts."""
    routes = APIRouter(tags=["health"])

    @routes.get("/livez", operation_id="livez")
    async def livez(response: Response) -> dict[str, Any]:
        alive = parts.log.alive
        response.status_code = 200 if alive else 503
        return {"alive": alive}

    @routes.get("/readyz", operation_id="readyz")
    async def readyz(response: Response) -> dict[str, Any]:
        checks = {"bus": await _bus(parts), "log": await log_check(parts)}
        response.status_code = 200 if all(check == OK for check in checks.values()) else 503
        return {"ready": response.status_code == 200, "checks": checks}

    @routes.get("/metrics", operation_id="metrics", include_in_schema=False)
    async def metrics() -> Response:
        await parts.census.refresh()
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return routes


async def _bus(parts: Parts) -> str:
    if not parts.bus.connected:
        return "not connected"
    try:
        async with asyncio.timeout(_CHECK_S):
            await parts.log.lag()
    except Exception as error:
        return str(error) or type(error).__name__
    return OK


async def log_check(parts: Parts) -> str:
    """`OK` if the log's database answers, else why not."""
    try:
        async with asyncio.timeout(_CHECK_S):
            await parts.queries.applied_sequence()
    except (SQLAlchemyError, TimeoutError, OSError) as error:
        return type(error).__name__
    return OK
