"""What casefiles answer over HTTP themselves: the records that steps work on, for people.

Who asks is said by the header `Saga-User`, which whatever stands before the API must set: nothing here proves it.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import APIRouter

from events.clock import utc_now
from saga.service import Databases, ServiceSettings
from services.casefiles import api_casefiles, api_sessions
from services.casefiles.steps.create_casefile import create_casefile


@asynccontextmanager
async def open_api(
    settings: ServiceSettings, environment: Mapping[str, str]
) -> AsyncIterator[Sequence[APIRouter]]:
    """The routers, over the database that the steps use."""
    async with AsyncExitStack() as stack:
        databases = Databases(settings)
        stack.push_async_callback(databases.close)
        database = await databases.open(create_casefile)
        assert database is not None
        yield api_casefiles.router(database, utc_now), api_sessions.router(database, utc_now)
