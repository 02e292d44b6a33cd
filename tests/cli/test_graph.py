"""`saga graph`, run as people run it: as a process."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from saga.api.app import create_app, open_parts
from saga.api.server import serve_api
from tests.commands import saga
from tests.saga.small import CHAIN, actions, refuse
from tests.world import Running, World

NOWHERE = "http://127.0.0.1:9"


async def graph(*arguments: str, **environment: str) -> tuple[int, str, str]:
    return await saga("graph", *arguments, env={**os.environ, **environment})


@pytest.fixture
async def api(running: Running, data: Path) -> AsyncIterator[str]:
    await running.publish(CHAIN)
    async with (
        open_parts(running.bus, running.definitions, f"sqlite+aiosqlite:///{data / 'log.db'}") as parts,
        serve_api(create_app(parts)) as url,
    ):
        yield url


async def test_what_is_shipped_and_what_is_in_a_file_is_drawn_with_nothing_running(tmp_path: Path) -> None:
    code, out, err = await graph("payment-standard", SAGA_API_URL=NOWHERE)
    assert (code, out.splitlines()[0]) == (0, "flowchart TD"), err
    assert "payments.create_payment<br/>can be undone" in out
    (tmp_path / "chain.json").write_text(CHAIN.model_dump_json())
    code, out, _ = await graph(str(tmp_path / "chain.json"), "--format", "dot", SAGA_API_URL=NOWHERE)
    assert (code, '"a" -> "b"' in out) == (0, True)


async def test_a_saga_is_drawn_with_the_path_it_took(
    api: str, running: Running, world: World, tmp_path: Path
) -> None:
    world.behaviours["c"] = refuse
    async with running.serving(*actions(world, "a", "b", "c")):
        saga_id = await running.start(CHAIN, value=1)
        await running.ended(CHAIN, saga_id)
    out = tmp_path / "path.svg"
    code, _, err = await graph(saga_id, "--out", str(out), SAGA_API_URL=api)
    assert (code, f"svg in {out}" in err) == (0, True)
    texts = [one.text for one in ElementTree.parse(out).iter("{http://www.w3.org/2000/svg}text")]
    assert {"compensated", "aborted: step c", "test.no"} <= set(texts)
    code, drawn, _ = await graph("chain", SAGA_API_URL=api)
    assert (code, "test.b" in drawn) == (0, True)


async def test_the_whole_system_is_drawn_from_what_the_bus_tells(api: str, running: Running) -> None:
    settings = running.bus.settings
    code, out, err = await graph(
        "--topology", "--format", "dot", NATS_URL=settings.url, SAGA_BUS_NAMESPACE=settings.namespace
    )
    assert code == 0, err
    assert '"test.a" -> "test.b" [label="chain"]' in out
    assert "nobody listens" in out


async def test_errors_are_one_line_and_an_exit_code(api: str) -> None:
    assert (await graph(SAGA_API_URL=api))[0] == 2
    assert (await graph("chain", "--topology", SAGA_API_URL=api))[0] == 2
    code, _, err = await graph("unknown", SAGA_API_URL=api)
    assert (code, err.strip()) == (3, "saga: neither a definition nor a saga is named 'unknown'")
    assert (await graph("unknown", SAGA_API_URL=NOWHERE))[0] == 6
