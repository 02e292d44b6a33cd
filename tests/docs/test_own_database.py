"""The guide to a database of one's own: its snippets are run together, on either database."""

import asyncio
import sys
from types import ModuleType

import httpx2

from events.bus import Bus
from events.database import Database
from events.definitions import Definitions
from saga.outboxes import open_outbox
from tests.docs.test_docs import ROOT, blocks
from tests.world import Running

GUIDE = ROOT / "docs/guides/own-database.md"
_NAME = "own_database_guide"


def guide_for(bus: Bus) -> ModuleType:
    """The snippets as one module, hearing the namespace of the test. Tables can be declared once only."""
    step, web, _, hearing = blocks(GUIDE, "python")
    module = sys.modules.get(_NAME)
    if module is None:
        module = sys.modules[_NAME] = ModuleType(_NAME)
        exec(compile(step + web, GUIDE.name, "exec"), module.__dict__)
    hearing = hearing.replace('"app.', f'"{bus.subjects.events_root}.').replace(
        "SAGA-EVENTS", bus.names.events
    )
    exec(compile(hearing, GUIDE.name, "exec"), module.__dict__)
    return module


async def test_an_order_over_http_ends_as_stock_reserved_and_mail_sent(
    running: Running, bus: Bus, definitions: Definitions, database: Database
) -> None:
    guide = guide_for(bus)
    await running.publish(guide.PURCHASE)
    await database.create([guide.Order.__table__])
    mail: asyncio.Queue[str] = asyncio.Queue()
    guide.listen(bus.broker, mail)
    await bus.broker.start()
    async with (
        running.serving(guide.reserve_stock),
        open_outbox(database, bus, definitions, source="/shop") as outbox,
        httpx2.AsyncClient(
            transport=httpx2.ASGITransport(guide.shop(database, outbox)), base_url="http://shop"
        ) as shop,
    ):
        answers = [await shop.post("/orders/7", params={"item": "tea", "quantity": "2"}) for _ in range(2)]
        (saga_id,) = {answer.json()["saga_id"] for answer in answers}
        assert (await running.ended(guide.PURCHASE, saga_id)).status == "completed"
        async with asyncio.timeout(20):
            assert await mail.get() == "8 tea left"
    assert mail.empty()
