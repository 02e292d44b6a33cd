"""`saga what-if`, run as people run it: as a process, over real sagas in a stream and in a file."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from contracts.definition import SagaDefinition
from tests.commands import saga
from tests.saga.small import CHAIN, actions, refuse
from tests.world import Running, World


class Cli:
    """Runs `saga` on the bus of the test, over one saga that completed and one that was undone."""

    def __init__(self, running: Running, folder: Path, completed: str, undone: str) -> None:
        settings = running.bus.settings
        self.environment = {**os.environ, "NATS_URL": settings.url, "SAGA_BUS_NAMESPACE": settings.namespace}
        self.folder, self.completed, self.undone = folder, completed, undone

    def definition(self, name: str, definition: SagaDefinition) -> str:
        file = self.folder / name
        file.write_text(definition.model_dump_json())
        return str(file)

    async def run(self, *arguments: str) -> tuple[int, str, str]:
        return await saga(*arguments, env=self.environment, cwd=self.folder)

    async def what_if(self, *arguments: str) -> tuple[int, Any]:
        code, out, err = await self.run("what-if", *arguments, "-o", "json")
        assert code in (0, 10), err
        return code, json.loads(out)


@pytest.fixture
async def cli(running: Running, world: World, tmp_path: Path) -> Cli:
    await running.publish(CHAIN)
    async with running.serving(*actions(world, "a", "b", "c")):
        completed = await running.start(CHAIN, value=1)
        await running.ended(CHAIN, completed)
        world.behaviours["c"] = refuse
        undone = await running.start(CHAIN, value=1)
        await running.ended(CHAIN, undone)
    return Cli(running, tmp_path, completed, undone)


def changed(step: str, **changes: Any) -> SagaDefinition:
    steps = [one.model_copy(update=changes) if one.name == step else one for one in CHAIN.steps]
    return CHAIN.model_copy(update={"version": "2", "steps": tuple(steps)})


async def test_recorded_traffic_is_a_test_of_a_new_version(cli: Cli) -> None:
    same = cli.definition("same.json", CHAIN.model_copy(update={"version": "2"}))
    assert await cli.what_if("--all", "--since", "1h", "--definition", same) == (
        0,
        {"judged": 2, "diverging": 0, "under_way": 0, "cut_off": 0, "reasons": [], "sagas": {}},
    )
    goes_on = cli.definition("goes-on.json", changed("c", on_error="continue"))
    code, verdict = await cli.what_if("--all", "--definition", goes_on)
    assert (code, verdict["judged"], list(verdict["sagas"])) == (10, 2, [cli.undone])
    (reason,) = verdict["reasons"]
    assert (reason["sagas"], reason["step"], reason["what"], reason["would"]) == (1, "a", "undo", "none")


async def test_one_saga_is_told_whole_from_the_stream_and_from_a_file(cli: Cli) -> None:
    doubled = cli.definition("doubled.json", changed("b", input={"value": 7}))
    code, found = await cli.what_if(cli.completed, "--definition", doubled)
    (difference,) = found["divergences"]
    assert (code, difference["step"], difference["what"]) == (10, "b", "input/value")
    assert (difference["was"], difference["would"]) == ("2", "7")
    await cli.run("export", "sagas", "--out", "all.jsonl.zst")
    assert await cli.what_if(cli.completed, "--definition", doubled, "--file", "all.jsonl.zst") == (
        code,
        found,
    )
    code, verdict = await cli.what_if("--all", "--definition", doubled, "--file", "all.jsonl.zst")
    assert (code, verdict["diverging"]) == (10, 2)
    code, out, _ = await cli.run("what-if", cli.completed, "--definition", doubled)
    assert (code, out.splitlines()[0].endswith("b, input/value: was 2, would be 7")) == (10, True)


HANDLERS = """
from pydantic import BaseModel

from saga import ActionContext, Refused, action


class Number(BaseModel):
    value: int = 0


@action("test.b")
async def b(ctx: ActionContext, command: Number) -> Number:
    return Number(value=command.value + {more})


@b.compensation
async def undo(ctx: ActionContext, command: Number, output: Number | None) -> None:
    raise AssertionError("nothing is undone here")


@action("test.c")
async def c(ctx: ActionContext, command: Number) -> Number:
    if command.value > 2:
        raise Refused("test.dear", "too much")
    return Number(value=command.value + 1)


@c.compensation
async def undo_c(ctx: ActionContext, command: Number, output: Number | None) -> None:
    raise AssertionError("nothing is undone here")
"""


async def test_changed_handlers_are_run_on_recorded_inputs(cli: Cli) -> None:
    handlers = cli.folder / "handlers.py"
    handlers.write_text(HANDLERS.replace("{more}", "1"))
    code, found = await cli.what_if(cli.completed, "--handlers", "handlers.py")
    # Its third step is refused, where it was not.
    assert (code, found["run_again"]) == (10, {"test.b": 1, "test.c": 1})
    first = found["divergences"][0]
    assert (first["step"], first["would"]) == ("c", "failed (test.dear)")
    await cli.run("export", "sagas", "--out", "all.jsonl.zst")
    for source in ((), ("--file", "all.jsonl.zst")):
        code, verdict = await cli.what_if("--all", "--since", "1h", "--handlers", "handlers", *source)
        assert (code, verdict["judged"], verdict["run_again"]) == (10, 2, {"test.b": 2, "test.c": 2})
        assert [(one["sagas"], one["was"], one["would"]) for one in verdict["reasons"]] == [
            (1, "completed", "failed (test.dear)"), (1, "failed (test.no)", "failed (test.dear)"),
        ]  # fmt: skip
    handlers.write_text(HANDLERS.replace("{more}", "0"))
    code, out, err = await cli.run("what-if", cli.undone, "--handlers", "handlers.py")
    assert (code, err.splitlines()[0]) == (10, "run again: test.b, test.c")
    assert out.splitlines()[0].endswith("b, output/value: was 3, would be 2")


async def test_a_changed_definition_and_changed_handlers_go_together(cli: Cli) -> None:
    (cli.folder / "handlers.py").write_text(HANDLERS.replace("{more}", "1"))
    low = cli.definition("low.json", changed("c", input={"value": 0}))
    code, found = await cli.what_if(cli.undone, "--definition", low, "--handlers", "handlers.py")
    assert code == 10
    assert {(one["step"], one["would"]) for one in found["divergences"] if one["what"] == "end"} == {
        ("c", "completed")
    }
    assert found["divergences"][-1]["would"] == "completed"


async def test_handlers_that_do_as_before_pass(cli: Cli) -> None:
    only_b, _, _ = HANDLERS.replace("{more}", "1").partition('@action("test.c")')
    (cli.folder / "handlers.py").write_text(only_b)
    code, verdict = await cli.what_if("--all", "--handlers", "handlers.py")
    assert (code, verdict["diverging"], verdict["run_again"]) == (0, 0, {"test.b": 2})


async def test_errors_are_one_line_and_an_exit_code(cli: Cli) -> None:
    same = cli.definition("same.json", CHAIN)
    (cli.folder / "same.py").write_text("nothing = 1")
    other = cli.definition("other.json", CHAIN.model_copy(update={"name": "other"}))
    for code, arguments in (
        (2, ("--definition", same)),
        (2, (cli.completed, "--all", "--definition", same)),
        (2, (cli.completed, "--definition", other)),
        (2, ("--all", "--since", "lately", "--definition", same)),
        (3, (cli.completed, "--definition", "unknown")),
        (3, ("unknown", "--definition", same)),
        (2, ("--all",)),
        (2, ("--all", "--definition", same, "--database-url", "sqlite://")),
        (2, ("--all", "--handlers", "same.py")),
        (2, (cli.completed, "--handlers", "services.payments.steps.create_payment")),
        (3, ("--all", "--handlers", "nowhere.py")),
    ):
        found, out, err = await cli.run("what-if", *arguments)
        assert (found, out, len(err.strip().splitlines())) == (code, "", 1), err
