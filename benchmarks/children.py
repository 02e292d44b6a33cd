"""`python -m benchmarks.children --items 10000`: one for-each over so many items, everything in one process."""

import argparse
import asyncio
import json
import os
import resource
import tempfile
from pathlib import Path

from pydantic import BaseModel

from contracts.workflows import compile_workflow, parse_workflow
from events.bus import Bus
from events.clock import monotonic
from events.definitions import Definitions
from events.embedded import server
from events.read import read_saga
from events.settings import BusSettings
from events.streams import declare
from saga.action import ActionContext, action
from saga.client import SagaClient
from saga.domains import domain_actions
from saga.service import ServiceSettings, serve, settle
from saga.state import SagaState
from saga.topology import consumers_for

_LOOK_EVERY_S = 0.5


class Number(BaseModel):
    value: int


@action("bench.add_one")
async def add_one(ctx: ActionContext, command: Number) -> Number:
    return Number(value=command.value + 1)


def _workflow(limit: int) -> dict[str, object]:
    step = {"name": "add", "type": "ACTION", "action": "bench.add_one", "input": {"value": "${item}"}}
    body = {"steps": [step], "output": "${steps.add.value}"}
    each = {"name": "each", "type": "FOR_EACH", "items": "${input.items}", "limit": limit, "do": body}
    return {"name": "many", "steps": [each]}


async def run(items: int, limit: int) -> dict[str, object]:
    """Figures of one run."""
    compiled = compile_workflow(parse_workflow(_workflow(limit)), "1")
    async with server(os.environ, sync_interval="2m") as url, await Bus.connect(BusSettings(url=url)) as bus:
        await declare(bus)
        with tempfile.TemporaryDirectory() as data:
            async with Definitions.open(bus) as definitions:
                for definition in (*compiled.children, compiled.definition):
                    await definitions.publish(definition, consumers_for)
                actions = [add_one, *domain_actions("integrations")]
                async with serve(actions, bus, definitions, ServiceSettings(data=Path(data))):
                    settle()
                    client = SagaClient(bus, definitions)
                    begun = monotonic()
                    started = await client.start(compiled.definition.ref, {"items": list(range(items))})
                    state = await _ended(client, started.saga_id)
                    took_s = monotonic() - begun
                facts = await read_saga(bus, started.saga_id)
    results: list[int] = next(
        (one.fact.data["output"]["results"] for one in facts if "output" in one.fact.data), []
    )
    return {
        "items": items,
        "status": state.status,
        "in_order": results == list(range(1, items + 1)),
        "items_per_s": round(items / took_s, 1),
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


async def _ended(client: SagaClient, saga_id: str) -> SagaState:
    while True:
        state = await client.state(saga_id)
        if state.ended:
            return state
        await asyncio.sleep(_LOOK_EVERY_S)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--limit", type=int, default=100)
    given = parser.parse_args()
    print(json.dumps(asyncio.run(run(given.items, given.limit))))
