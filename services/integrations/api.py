"""What the integrations answer over HTTP themselves, because it is in their databases."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import APIRouter

from events.clock import utc_now
from events.database import Database
from saga.action import Action
from saga.service import Databases, ServiceSettings
from services.integrations import api_rules, api_webhooks
from services.integrations.bounded import bounded
from services.integrations.calls import outside
from services.integrations.steps.data_transform import data_transform
from services.integrations.steps.webhook_call import webhook_call
from services.integrations.webhooks import Webhooks


@asynccontextmanager
async def open_api(
    settings: ServiceSettings, environment: Mapping[str, str]
) -> AsyncIterator[Sequence[APIRouter]]:
    """The routers, over the databases that the steps use."""
    async with AsyncExitStack() as stack:
        databases = Databases(settings)
        stack.push_async_callback(databases.close)
        told, transformed = await _of(databases, webhook_call), await _of(databases, data_transform)
        webhooks = Webhooks(told, await stack.enter_async_context(outside(environment)), utc_now)
        transforming = await stack.enter_async_context(bounded(environment))
        yield (
            api_webhooks.endpoints(told, utc_now),
            api_webhooks.deliveries(told, webhooks),
            api_rules.router(transformed, transforming, utc_now),
        )


async def _of(databases: Databases, step: Action) -> Database:
    database = await databases.open(step)
    if database is None:
        raise AssertionError(f"{step.name} has a database")
    return database
