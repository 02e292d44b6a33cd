"""What the claims answer over HTTP themselves: phases, claims, accounts, and notifications."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import APIRouter

from events.bus import Bus
from events.clock import utc_now
from events.definitions import Definitions
from events.settings import BusSettings
from saga.client import SagaClient
from saga.secrets import LocalSecrets
from saga.service import Databases, ServiceSettings
from services.claims import api_accounts, api_claims, api_live, api_workflow
from services.claims.doors import Doors
from services.claims.marketplace_client import tools
from services.claims.steps.enter_phase import enter_phase


@asynccontextmanager
async def open_api(
    settings: ServiceSettings, environment: Mapping[str, str]
) -> AsyncIterator[Sequence[APIRouter]]:
    """The routers, over the steps' database and a connection to the bus of their own."""
    async with AsyncExitStack() as stack:
        databases = Databases(settings)
        stack.push_async_callback(databases.close)
        database = await databases.open(enter_phase)
        assert database is not None, "the steps have a database"
        bus = await stack.enter_async_context(await Bus.connect(_bus_settings(environment)))
        definitions = await stack.enter_async_context(Definitions.open(bus))
        client = SagaClient(bus, definitions)
        outside = await stack.enter_async_context(tools(environment))
        doors, secrets = Doors(client, database), LocalSecrets(environment)
        yield (
            api_workflow.router(doors, database),
            api_accounts.router(doors, database, outside, secrets, utc_now),
            api_live.router(bus),
            api_claims.router(database, client, utc_now),
        )


def _bus_settings(environment: Mapping[str, str]) -> BusSettings:
    """The bus of this environment, which need not be the process's own."""
    names = {name: f"SAGA_BUS_{name.upper()}" for name in BusSettings.model_fields} | {"url": "NATS_URL"}
    given = {name: environment[variable] for name, variable in names.items() if environment.get(variable)}
    return BusSettings.model_validate(given)
