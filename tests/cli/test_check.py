"""`saga check`, run as people run it: as a process."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

from nats.js.api import ConsumerConfig

from contracts.triggers import TriggerRecord, parse_trigger
from events.triggers import TriggerBucket
from saga.domains import domain_actions
from services.payments.definitions import STANDARD
from tests.commands import saga
from tests.saga.small import CHAIN, actions
from tests.world import Running, World

BESIDE = """\
name: shop
steps:
  - {name: pay, action: shop.pay, pivot: true}
  - {name: tell, action: shop.tell}
"""


async def check(*arguments: str, cwd: Path, **environment: str) -> tuple[int, str, str]:
    return await saga(
        "check",
        *arguments,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **environment},
    )


async def test_what_is_shipped_passes(tmp_path: Path) -> None:
    code, out, err = await check("-f", "json", cwd=tmp_path)
    assert code == 0, err
    assert {one["level"] for one in json.loads(out)["findings"]} <= {"note"}


async def test_what_is_wrong_is_told_with_file_and_line_and_exits_with_ten(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(BESIDE)
    code, out, err = await check("shop.yaml", cwd=tmp_path)
    assert (code, out.startswith("shop.yaml:4 /steps/1: warning pivot.beside: tell runs beside")) == (
        10,
        True,
    ), out
    assert err.strip() == "0 errors, 1 warnings, 0 notes"
    code, out, _ = await check("shop.yaml", "--format", "sarif", cwd=tmp_path)
    (run,) = json.loads(out)["runs"]
    assert (code, run["results"][0]["ruleId"]) == (10, "pivot.beside")


async def test_contracts_that_break_what_was_promised_are_found(tmp_path: Path) -> None:
    promised = tmp_path / "promised"
    promised.mkdir()
    (promised / "Gone.json").write_text("{}")
    (tmp_path / "fine.yaml").write_text("name: fine\nsteps: [{name: a, action: shop.a}]\n")
    code, out, _ = await check("fine.yaml", "--schemas", str(promised), cwd=tmp_path)
    assert (code, "contract.incompatible: Gone: the contract is gone" in out) == (10, True)
    assert (await check("none.yaml", cwd=tmp_path))[0] == 3


async def test_the_bus_tells_who_is_missing(running: Running, world: World, tmp_path: Path) -> None:
    await running.publish(CHAIN)
    changed = CHAIN.model_copy(update={"description": "another content"})
    (tmp_path / "chain.json").write_text(changed.model_dump_json())
    settings = running.bus.settings
    told = {"NATS_URL": settings.url, "SAGA_BUS_NAMESPACE": settings.namespace}
    async with running.serving(*actions(world, "a", "b", "c")):
        code, out, err = await check("--live", "-f", "json", cwd=tmp_path, **told)
        assert (code, [one["rule"] for one in json.loads(out)["findings"] if one["level"] != "note"]) == (
            0,
            [],
        ), err
    code, out, _ = await check("chain.json", "--live", "-f", "json", cwd=tmp_path, **told)
    rules = [one["rule"] for one in json.loads(out)["findings"]]
    assert (code, rules) == (10, ["version.changed", *["action.unserved"] * 3])


async def test_the_bus_tells_who_hears_events_and_what_triggers_start(
    running: Running, tmp_path: Path
) -> None:
    await running.publish(STANDARD)
    settings = running.bus.settings
    told = {"NATS_URL": settings.url, "SAGA_BUS_NAMESPACE": settings.namespace}

    async def found() -> set[tuple[str, str]]:
        _, out, err = await check("standard.json", "--live", "-f", "json", cwd=tmp_path, **told)
        assert out, err
        events = [one for one in json.loads(out)["findings"] if one["rule"].startswith(("event", "trigger"))]
        return {(one["rule"], one["detail"].split()[2 if "unheard" in one["rule"] else 0]) for one in events}

    (tmp_path / "standard.json").write_text(STANDARD.model_dump_json())
    settled, reversed_, receipt = (
        ("event.unheard", f"payments.{name},")
        for name in ("payment_settled", "settlement_reversed", "payment_confirmed")
    )
    async with running.serving(*domain_actions("payments")[:1]):
        assert await found() == {settled, reversed_, receipt}
        jetstream, names = running.bus.jetstream, running.bus.names
        config = ConsumerConfig(
            durable_name="books", filter_subject=f"{settings.namespace}.app.payments.payment_settled.*"
        )
        await jetstream.add_consumer(names.events, config)
        # Whoever hears everything hears no one fact in particular.
        await jetstream.add_consumer(
            names.facts(0), ConsumerConfig(durable_name="all", filter_subject=f"{settings.namespace}.evt.>")
        )
        trigger = parse_trigger(
            {
                "kind": "EVENT",
                "name": "t",
                "event": "payments.payment_confirmed",
                "workflow": "no_such_workflow",
            }
        )
        now = datetime.now(UTC)
        record = TriggerRecord(trigger=trigger, generation=1, created_at=now, updated_at=now)
        await TriggerBucket(running.bus).write("t", record, 0)
        assert await found() == {reversed_, ("trigger.unknown_workflow", "t")}
