"""Redrives over HTTP: one saga, and many by a job."""

import asyncio
from typing import Any

import httpx2

from saga.action import ActionContext, Refused
from tests.saga.api.test_api import ended
from tests.saga.small import CHAIN
from tests.world import Number, Running, World

WORDS = {"by": "ada", "reason": "mended"}


async def failed(api: httpx2.AsyncClient, running: Running, world: World) -> dict[str, Any]:
    """A saga that has failed at `c` for lack of luck: its input is odd."""

    async def unlucky(ctx: ActionContext, command: Number) -> Number:
        if command.value % 2:
            raise Refused("test.odd", "odd numbers are unlucky")
        return command

    world.behaviours["c"] = unlucky
    return await ended(api, await running.start(CHAIN, value=1))


async def test_a_saga_is_redriven_with_another_input_and_both_tell_of_it(
    api: httpx2.AsyncClient, running: Running, world: World
) -> None:
    await running.publish(CHAIN)
    async with running.serving(*(world.action(name, compensable=False) for name in "abc")):
        old = await failed(api, running, world)
        path = f"/api/v1/sagas/{old['saga_id']}"
        assert (old["redrives"], old["redriven_as"]) == (None, None)
        dry = await api.post(f"{path}/redrive", json={**WORDS, "edit": {"value": 2}, "dry_run": True})
        assert (dry.status_code, dry.json()["created"], dry.json()["again"]) == (200, False, ["a", "b", "c"])
        done = await api.post(f"{path}/redrive", json={**WORDS, "edit": {"value": 2}})
        assert (done.status_code, done.json()["created"]) == (202, True)
        assert done.headers["Location"] == f"/api/v1/sagas/{done.json()['new_id']}"
        new = await ended(api, done.json()["new_id"])
        again = await api.post(f"{path}/redrive", json={**WORDS, "edit": {"value": 2}})
        other = await api.post(f"{path}/redrive", json={**WORDS, "edit": {"value": 4}})
        told = (await api.get(path)).json()
    assert new["status"] == "completed"
    assert new["redrives"] == {"saga_id": old["saga_id"], "from_steps": ["a"], "job": "", **WORDS}
    assert told["redriven_as"] == new["saga_id"]
    assert (again.status_code, again.json()["created"]) == (202, False)
    assert (other.status_code, other.json()["code"]) == (409, "conflict")


async def test_a_redrive_that_makes_no_sense_says_why(
    api: httpx2.AsyncClient, running: Running, world: World
) -> None:
    await running.publish(CHAIN)
    async with running.serving(*(world.action(name) for name in "abc")):
        old = await failed(api, running, world)
        path = f"/api/v1/sagas/{old['saga_id']}/redrive"
        undone = await api.post(path, json={**WORDS, "from_steps": ["c"]})
        unknown = await api.post(path, json={**WORDS, "from_steps": ["x"]})
        nobody = await api.post(path, json={"reason": "x"})
    assert undone.status_code == 409
    assert "a was undone; b was undone. Redrive it from a" in undone.json()["detail"]
    assert (unknown.status_code, "no step 'x'" in unknown.json()["detail"]) == (422, True)
    assert nobody.status_code == 422
    missing = await api.post("/api/v1/sagas/unknown/redrive", json=WORDS)
    assert missing.status_code == 404


async def test_a_job_is_rehearsed_begun_and_told(
    api: httpx2.AsyncClient, running: Running, world: World
) -> None:
    await running.publish(CHAIN)
    meant = {"sagas": {"definition": "chain", "failure_code": "test.odd"}, "manner": {"edit": {"value": 2}}}
    async with running.serving(*(world.action(name, compensable=False) for name in "abc")):
        old = await failed(api, running, world)
        rehearsed = (await api.post("/api/v1/redrives/rehearse", json=meant)).json()
        begun = await api.post("/api/v1/redrives", json={**meant, **WORDS, "rate_per_s": 100})
        path = begun.headers["Location"]
        async with asyncio.timeout(20):
            while (job := (await api.get(path)).json())["state"] == "running":
                await asyncio.sleep(0.05)
        new = await ended(api, rehearsed["plans"][0]["new_id"])
        listed = (await api.get("/api/v1/redrives")).json()["items"]
        late = await api.post(f"{path}/cancel", json={})
    assert (rehearsed["matched"], rehearsed["plans"][0]["saga_id"]) == (1, old["saga_id"])
    assert begun.status_code == 202
    assert (job["state"], job["matched"], job["redriven"], job["refused"]) == ("done", 1, 1, 0)
    assert new["redrives"]["job"] == job["id"]
    assert listed == [job]
    assert late.status_code == 409
    assert (await api.get("/api/v1/redrives/*")).status_code == 422
    assert (await api.get("/api/v1/redrives/unknown")).status_code == 404
    found = await api.get("/api/v1/sagas", params={"failure_code": "test.odd", "failure_step": "c"})
    assert [one["saga_id"] for one in found.json()["items"]] == [old["saga_id"]]
