"""Live discovery: who offers what on the bus, in which version, in how many replicas."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from nats.js.api import StreamConfig

from contracts.definition import SagaDefinition, Step
from contracts.facts import FactKind
from contracts.offers import Offer, OfferedAction
from events.bus import Bus
from events.clock import utc_now
from events.offers import OfferBucket
from saga.action import Action
from saga.api.app import create_app, open_parts
from saga.api.server import serve_api
from saga.offers import Announcing, by_action
from tests.world import Running, World


@pytest.fixture
async def api(running: Running, data: Path) -> AsyncIterator[httpx2.AsyncClient]:
    async with (
        open_parts(running.bus, running.definitions, f"sqlite+aiosqlite:///{data / 'log.db'}") as parts,
        serve_api(create_app(parts)) as url,
        httpx2.AsyncClient(base_url=url, trust_env=False) as client,
    ):
        yield client


def typed(action: Action, version: str, types: str = "same") -> OfferedAction:
    return OfferedAction(name=action.name, version=version, schema_hash=types)


async def test_replicas_are_counted_while_they_serve_and_not_longer(
    bus: Bus, running: Running, world: World
) -> None:
    a = world.action("a")
    bucket = OfferBucket(bus)
    async with running.serving(a, world.action("b")), running.serving(a):
        offered = by_action(await bucket.read())
        assert {name: one.replicas for name, one in offered.items()} == {"test.a": 2, "test.b": 1}
        assert offered["test.a"].same_types
    assert not await bucket.read()


async def test_versions_and_types_that_differ_are_told_apart(bus: Bus, world: World) -> None:
    a = world.action("a")
    given = [typed(a, "1"), typed(a, "2"), typed(a, "2")]
    offers = [
        Offer(instance=f"i{number}", host="h", pid=number, since=utc_now(), actions=(one,))
        for number, one in enumerate(given)
    ]
    offered = by_action(offers)["test.a"]
    assert (offered.versions, offered.same_types) == ({"1": 1, "2": 2}, True)
    other = offers[0].model_copy(update={"actions": (typed(a, "2", "other"),)})
    assert not by_action([*offers[1:], other])["test.a"].same_types


async def test_a_process_that_is_killed_is_forgotten(bus: Bus, world: World) -> None:
    """The server itself ends a word that is not repeated; here sooner than it does elsewhere."""
    stream = f"KV_{bus.names.offers}"
    config = (await bus.jetstream.stream_info(stream)).config
    await bus.jetstream.update_stream(
        StreamConfig(**{**vars(config), "max_age": 0.5, "duplicate_window": 0.5})
    )
    bucket = OfferBucket(bus)
    announcing = Announcing(bus, [world.action("a")], utc_now)
    await announcing._say()
    assert by_action(await bucket.read())
    async with asyncio.timeout(10):
        while await bucket.read():
            # The server says nothing when an entry ends.
            await asyncio.sleep(0.05)


async def test_the_api_tells_what_is_promised_and_who_offers_it(
    api: httpx2.AsyncClient, running: Running, world: World
) -> None:
    async with running.serving(world.action("a")):
        items = {item["name"]: item for item in (await api.get("/api/v1/actions")).json()["items"]}
        assert items["payments.create_payment"]["replicas"] == 0
        assert items["test.a"]["replicas"] == 1
        live = (await api.get("/api/v1/actions", params={"offered": True})).json()["items"]
        assert [item["name"] for item in live] == ["test.a"]
        answer = (await api.get("/api/v1/actions/test.a")).json()
        assert (answer["domain"], answer["versions"], len(answer["offers"])) == ("test", {"1": 1}, 1)
    found = await api.get("/api/v1/actions", params={"domain": "payments", "q": "exchange rate"})
    assert [item["name"] for item in found.json()["items"]] == ["payments.lock_exchange_rate"]
    shown = (await api.get("/api/v1/actions/payments.lock_exchange_rate")).json()
    assert shown["input_schema"]["properties"]["currency"]
    assert (await api.get("/api/v1/actions/no.such")).status_code == 404


async def test_an_input_that_does_not_fit_is_told_with_pointers(running: Running, world: World) -> None:
    definition = SagaDefinition(
        name="unfit", steps=(Step(name="a", action="test.a", input={"value": "${input.text}"}),)
    )
    await running.publish(definition)
    async with running.serving(world.action("a")):
        saga_id = await running.start(definition, text="many")
        await running.ended(definition, saga_id)
    failed = next(one.fact for one in await running.facts(saga_id) if one.fact.key == ("a", FactKind.FAILED))
    failure = failed.data["failure"]
    assert failure["code"] == "step.input_invalid"
    assert [problem["pointer"] for problem in failure["details"]["problems"]] == ["/input/value"]
