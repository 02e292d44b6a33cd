"""Exports to Argo: as they were agreed, sound by a lint that finds what is not, and with the same result when run."""

import copy
import json
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from contracts.actions import DOMAINS
from contracts.definition import SagaDefinition
from contracts.failure import InvalidContract
from contracts.ids import new_saga_id
from contracts.workflows import compile_workflow
from events.bus import Bus
from events.read import read_saga
from saga.domains import domain_actions, domain_definitions
from saga.export.argo import export
from saga.export.argo_lint import lint
from saga.service import ServiceSettings, serve
from saga.state import SagaState, StepStatus, fold
from saga.workflows.checking import read_workflow
from services.payments.sample import samples
from services.sandboxes.mobile_money import serve_sandbox
from tests.export.engine import Engine, Pods, pods
from tests.world import Running

GOLDEN = Path(__file__).parent / "golden"
SHIPPED = {one.ref: one for domain in DOMAINS for one in domain_definitions(domain)}

QUOTES = {
    "name": "quotes",
    "steps": [
        {"name": "asked", "type": "DATA_TRANSFORM",
         "input": {"data": {"list": "${input.list}"}, "operations": [{"op": "rename", "fields": {"list": "list"}}]}},
        {"name": "never", "type": "DATA_TRANSFORM", "when": "input.list.size() > 5",
         "input": {"data": {"note": "{{input.note}}"}, "operations": [{"op": "rename", "fields": {"list": "list"}}]}},
        {"name": "each", "type": "FOR_EACH", "after": ["asked", "never"], "items": "${steps.asked.result.list}",
         "limit": 2, "on_item_failure": "continue",
         "do": {"steps": [{"name": "checked", "type": "VALIDATION",
                           "input": {"data": "${item}", "schema": {"type": "integer", "maximum": 10}}}],
                "output": "${item}"}},
        {"name": "done", "type": "DATA_TRANSFORM", "after": ["each"],
         "input": {"data": {"taken": "${steps.each.results}"},
                   "operations": [{"op": "rename", "fields": {"taken": "all"}}]}},
    ],
}  # fmt: skip


def quotes() -> tuple[SagaDefinition, dict[str, SagaDefinition]]:
    made = compile_workflow(read_workflow(QUOTES), "1", lambda ref: None)
    return made.definition, {child.ref: child for child in made.children}


def told(state: SagaState) -> dict[str, Any]:
    """What a saga has come to, but for ids and times."""
    return {
        "status": state.status,
        "steps": {name: (step.status, step.attempt) for name, step in state.steps.items()},
        "abort": (state.abort or {}).get("cause"),
    }


@pytest.mark.parametrize("ref", sorted(SHIPPED))
def test_an_export_is_as_it_was_agreed_and_sound(ref: str) -> None:
    made = export(SHIPPED[ref], SHIPPED)
    assert lint(made.manifest) == []
    golden = GOLDEN / f"{ref.replace('@', '.')}.yaml"
    text = yaml.safe_dump({"warnings": made.warnings, **made.manifest}, sort_keys=False, width=120)
    if os.environ.get("SAGA_WRITE_GOLDEN"):
        golden.write_text(text)
    assert text == golden.read_text(), "make golden, and look at what has changed"


def test_no_golden_file_is_left_of_what_is_not_shipped() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == {ref.replace("@", ".") for ref in SHIPPED}


def test_what_the_steps_say_of_retries_times_and_conditions_is_in_the_manifest() -> None:
    definition, children = quotes()
    made = export(definition.model_copy(update={"deadline_s": 90.5}), children)
    templates = {template["name"]: template for template in made.manifest["spec"]["templates"]}
    assert made.manifest["spec"]["activeDeadlineSeconds"] == 91
    tasks = {task["name"]: task for task in templates["saga"]["dag"]["tasks"]}
    assert tasks["step-never"]["when"] == "{{tasks.step-never-due.outputs.parameters.due}} == true"
    assert tasks["step-never"]["dependencies"] == ["step-never-due"]
    assert tasks["step-each"]["dependencies"] == ["step-each-begin", "step-each-each"]
    each = templates[tasks["step-each-each"]["template"]]
    assert each["parallelism"] == 2
    (child,) = each["dag"]["tasks"]
    assert child["withParam"] == "{{inputs.parameters.children}}"
    undo = {task["name"]: task for task in templates["undo"]["dag"]["tasks"]}
    assert undo["undo-step-asked"]["dependencies"] == ["turn-round", "undo-step-each"]
    assert undo["end"]["dependencies"] == ["undo-step-asked", "undo-step-never"]
    payment = export(SHIPPED["payment-standard@1"], SHIPPED).manifest["spec"]["templates"]
    retry = next(one for one in payment if one["name"] == "do-execute-mmo")["retryStrategy"]
    assert retry["backoff"]["duration"].endswith("ms")
    assert int(retry["limit"]) > 5


def test_a_child_that_is_not_known_is_refused() -> None:
    definition, _ = quotes()
    with pytest.raises(InvalidContract, match=r"step each begins quotes--each@1"):
        export(definition, {})


def _template(spec: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in spec["templates"] if one["name"] == name)
    return found


BROKEN: dict[str, Callable[[dict[str, Any]], None]] = {
    "Argo knows no such field": lambda spec: _template(spec, "start").update(imgae="x"),
    "no template 'nowhere'": lambda spec: spec.update(entrypoint="nowhere"),
    "no task 'step-nine'": lambda spec: _template(spec, "saga")["dag"]["tasks"][2].update(
        dependencies=["step-nine"]
    ),
    "in a circle": lambda spec: _template(spec, "saga")["dag"]["tasks"][0].update(
        dependencies=["step-confirm-payment"]
    ),
    "no DNS-1123 label": lambda spec: _template(spec, "saga")["dag"]["tasks"][2].update(name="Step_2"),
    "'saga' is missing": lambda spec: _template(spec, "saga")["dag"]["tasks"][2].pop("arguments"),
    "nothing is known as {{tasks.x": lambda spec: _template(spec, "undo")["dag"]["tasks"][1].update(
        when="{{tasks.x.outputs.parameters.undo}} == true"
    ),
    "/: ": lambda spec: spec.update(templates="none"),
}


@pytest.mark.parametrize("says", sorted(BROKEN))
def test_the_lint_finds(says: str) -> None:
    manifest = copy.deepcopy(export(SHIPPED["payment-standard@1"], SHIPPED).manifest)
    BROKEN[says](manifest["spec"])
    assert any(says in problem for problem in lint(manifest)), lint(manifest)


# Run as Argo runs it


@pytest.fixture(scope="module")
async def machines() -> AsyncIterator[Pods]:
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    async with pods(2, inherited) as started:
        yield started


@pytest.fixture
async def operators(tmp_path: Path) -> AsyncIterator[str]:
    async with serve_sandbox(tmp_path / "operators.db") as url:
        yield url


async def by_argo(
    machines: Pods, running: Running, definition: SagaDefinition, children: dict[str, SagaDefinition],
    input: dict[str, Any], folder: Path, **environment: str,
) -> tuple[Engine, tuple[str, str], SagaState]:  # fmt: skip
    """The export, executed on a namespace of its own: the engine, how it ended, and the saga."""
    settings = running.bus.settings
    folder.mkdir()
    apart = {
        "NATS_URL": settings.url,
        "SAGA_BUS_NAMESPACE": f"{settings.namespace}-argo",
        "SAGA_DATA": str(folder / "data"),
        "SAGA_LOG_LEVEL": "ERROR",
        **environment,
    }
    engine = Engine(export(definition, children).manifest, machines, folder, new_saga_id(), apart)
    ended = await engine.run(input=json.dumps(input))
    async with await Bus.connect(
        settings.model_copy(update={"namespace": f"{settings.namespace}-argo"})
    ) as bus:
        return engine, ended, fold(definition, await read_saga(bus, engine.uid))


async def choreographed(
    running: Running, domain: str, definition: SagaDefinition, children: dict[str, SagaDefinition],
    input: dict[str, Any], folder: Path, **environment: str,
) -> SagaState:  # fmt: skip
    for one in (*children.values(), definition):
        await running.publish(one)
    settings = ServiceSettings(data=folder, grace_s=0)
    actions = domain_actions(domain)
    async with serve(actions, running.bus, running.definitions, settings, environment=environment):
        return await running.ended(definition, await running.start(definition, **input))


@pytest.mark.parametrize("expect", ["completed", "compensated"])
async def test_a_payment_by_argo_comes_to_what_participants_make_of_it(
    machines: Pods, running: Running, tmp_path: Path, operators: str, expect: str
) -> None:
    definition = SHIPPED["payment-standard@1"]
    late = "execute_mmo" if expect == "compensated" else ""
    sample = next(one for one in samples() if (one.expect, one.refused_at) == (expect, late))
    payment = sample.request.model_dump(mode="json")
    engine, ended, state = await by_argo(
        machines, running, definition, {}, payment, tmp_path / "argo", SAGA_OPERATOR_URL=operators
    )
    usual = await choreographed(
        running, "payments", definition, {}, payment, tmp_path / "usual", SAGA_OPERATOR_URL=operators
    )
    assert told(state) == told(usual)
    assert state.status == expect
    assert ended == (("Succeeded", "Succeeded") if expect == "completed" else ("Failed", "Failed"))
    undone = [name.removeprefix("undo-") for name in engine.ran if name.startswith("undo-")]
    done = [
        name.replace("_", "-") for name, step in state.steps.items() if step.status == StepStatus.COMPENSATED
    ]
    assert set(done) <= set(undone)
    assert bool(undone) is (expect == "compensated")


async def test_children_by_argo_come_to_what_participants_make_of_them(
    machines: Pods, running: Running, tmp_path: Path
) -> None:
    definition, children = quotes()
    given = {"list": [3, 99, 4], "note": "so"}
    engine, ended, state = await by_argo(machines, running, definition, children, given, tmp_path / "argo")
    usual = await choreographed(running, "integrations", definition, children, given, tmp_path / "usual")
    assert told(state) == told(usual)
    assert ended == ("Succeeded", "Succeeded")
    assert (state.status, state.steps["never"].status) == ("completed", "skipped")
    assert engine.ran.count("do-quotes-each-1-checked") == 3
    assert "do-never" not in engine.ran
