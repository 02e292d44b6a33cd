"""Every rule of the static checks finds what it is for, at its place, and nothing in what is right."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from contracts.checks import contract_of
from contracts.definition import SagaDefinition, Step
from contracts.failure import NotFound
from contracts.offers import Offer, OfferedAction
from contracts.retries import FixedRetry
from contracts.triggers import EventTrigger, Trigger, parse_trigger
from saga.check.children import check_children
from saga.check.documents import read_documents
from saga.check.events import hears_any, stated_events
from saga.check.findings import RULES, Finding, Level, Placed, is_grave
from saga.check.live import check_against, check_offered, check_published
from saga.check.one import check_one
from saga.check.sarif import write_sarif
from saga.check.together import check_together
from saga.check.triggers import check_trigger
from saga.discovery import Discovered
from saga.domains import shipped_definitions
from saga.listening import Heard, Presence

UNDOABLE = frozenset({"t.take", "t.pay"})
ORDER = {
    "type": "object",
    "properties": {"kind": {"enum": ["small", "large"]}, "n": {"type": "integer"}},
    "required": ["kind"],
}


def saga(*steps: Step, **options: Any) -> SagaDefinition:
    return SagaDefinition(name="shop", steps=steps, **options)


def step(name: str, *after: str, action: str = "t.tell", **options: Any) -> Step:
    return Step(name=name, action=action, after=after, **options)


def found(definition: SagaDefinition) -> list[tuple[str, str]]:
    return [(one.rule, one.pointer) for one in check_one(definition, UNDOABLE, at)]


def at(rule: str, pointer: str, detail: str) -> Finding:
    return Finding(rule, "shop@1", pointer, detail)


def test_what_is_shipped_has_nothing_but_notes() -> None:
    every = [Placed(one, one.ref) for one in shipped_definitions()]
    findings = [one for placed in every for one in check_one(placed.content, UNDOABLE, at)]
    assert not is_grave([*findings, *check_together(every, [], stated_events(), nobody)])


def test_a_broken_contract_is_found_at_its_place() -> None:
    unknown = saga(step("a", action="payments.no_such_action"))
    assert found(unknown) == [("contract.broken", "/steps/0/action")]
    assert found(saga(step("a", when="1 +"))) == [("contract.broken", "/steps/0/when")]


def test_a_value_that_cannot_be_taken_where_it_stands_is_found() -> None:
    price = {"amount": "${input.amount}", "currency": "KES", "route_cost_bps": "${steps.route.cost_bps}"}
    steps = (
        step(
            "route", action="payments.optimize_route",
            input={"corridor": "GB-KE", "optimize_for": "cost", "amount_usd": "1"},
        ),
        step("rate", "route", action="payments.lock_exchange_rate", input=price),
    )  # fmt: skip
    assert found(saga(*steps, input_type="payments.PaymentRequest")) == []
    price |= {"amount": "${steps.route.providers}", "currency": "${input.amount}"}
    price["route_cost_bps"] = "${input.sender:-0}"
    wrong = saga(steps[0], steps[1].model_copy(update={"input": price}), input_type="payments.PaymentRequest")
    assert found(SagaDefinition.model_validate(wrong.model_dump(mode="json"))) == [
        ("reference.type", "/steps/1/input/amount"),
        ("reference.type", "/steps/1/input/currency"),
    ]


def test_an_effect_that_stays_is_told_where_something_may_turn_the_saga_round() -> None:
    screen = {"name": "screen", "action": "payments.validate_compliance", "input": {"n": "${input.n}"}}

    def missing(*steps: Any) -> list[str]:
        return [
            one.pointer for one in check_one(saga(*steps), UNDOABLE, at) if one.rule == "compensation.missing"
        ]

    effect = Step.model_validate(screen)
    reads = step("route", action="payments.optimize_route")
    assert missing(effect, reads, step("a", "screen", "route")) == ["/steps/0/action"]
    assert missing(effect, step("beside")) == ["/steps/0/action"]
    assert missing(effect, step("a", "screen", on_error="continue")) == []
    assert (
        missing(step("p", pivot=True), Step.model_validate({**screen, "after": ["p"]}), step("z", "screen"))
        == []
    )
    assert missing(effect, step("p", "screen", pivot=True), step("z", "p")) == ["/steps/0/action"]


@pytest.mark.parametrize(
    "condition",
    ["false", "1 > 2", 'input.kind == "huge"', "input.n > 1 && (input.kind == 'huge')", "input.n == 'one'"],
)
def test_a_condition_that_can_never_hold_is_found_with_what_leans_on_the_step(condition: str) -> None:
    dead = saga(
        step("a", when=condition),
        step("b", "a", input={"x": "${steps.a.x}", "y": "${steps.a.y:-0}"}),
        input_schema=ORDER,
    )
    assert found(dead) == [
        ("condition.never", "/steps/0/when"),
        ("reference.to_dead_step", "/steps/1/input/x"),
    ]


@pytest.mark.parametrize(
    "condition",
    [
        "true",
        'input.kind == "small"',
        'input.kind == "huge" || input.n > 1',
        'input.kind != "huge"',
        "input.n == 3",
    ],
)
def test_a_condition_that_may_hold_is_left_alone(condition: str) -> None:
    assert found(saga(step("a", when=condition), input_schema=ORDER)) == []


def test_delays_that_no_deadline_leaves_time_for_are_found() -> None:
    retry = FixedRetry(max_attempts=3, delay_s=40)
    assert found(saga(step("a", retry=retry, timeout_s=1), deadline_s=60)) == [
        ("retry.exceeds_deadline", "/steps/0/retry"), ("deadline.may_cut", "/deadline_s"),
    ]  # fmt: skip
    assert found(saga(step("a", timeout_s=40), step("b", "a", timeout_s=40), deadline_s=60)) == [
        ("deadline.may_cut", "/deadline_s")
    ]
    assert found(saga(step("a", timeout_s=40), step("b", timeout_s=40), deadline_s=60)) == []


def test_what_stays_done_and_what_is_never_undone_is_told() -> None:
    assert found(saga(step("a", action="t.take", compensate=False), step("b", "a"))) == [
        ("compensation.off", "/steps/0/compensate")
    ]
    retry = FixedRetry(max_attempts=9, delay_s=1)
    behind = saga(step("p", pivot=True), step("a", "p", action="t.take", retry=retry))
    assert found(behind) == [("compensation.unreachable", "/steps/1")]


def test_what_may_fail_when_nothing_can_turn_round_any_more_is_told() -> None:
    assert found(saga(step("p", pivot=True), step("a", "p"))) == [("pivot.behind", "/steps/1/retry")]
    assert found(saga(step("p", pivot=True), step("a", "p", on_error="continue"))) == []
    assert found(saga(step("s"), step("p", "s", pivot=True), step("a", "s"))) == [
        ("pivot.beside", "/steps/2")
    ]


def nested(*children: tuple[str, str], **options: Any) -> list[tuple[str, str]]:
    """Definitions with one child each, by their names."""
    definitions = [
        Placed(
            SagaDefinition(
                name=name,
                steps=(step("s", action="integrations.child_saga", input={"definition": child}, **options),),
            ),
            name,
        )
        for name, child in children
    ]
    return [(one.rule, one.place) for one in check_children(definitions)]


def test_children_that_contain_each_other_for_ever_are_found() -> None:
    assert nested(("p", "p@1")) == [("child.cycle", "p")]
    assert nested(("p", "q@1"), ("q", "p@1"))[0][0] == "child.cycle"
    assert nested(("p", "q@1"), ("q", "p@1"), when="input.n > 0") == []
    assert nested(("p", "${input.child}")) == []


def test_a_child_that_is_not_there_is_told() -> None:
    assert nested(("p", "q@2")) == [("child.unknown", "p")]
    branches = {"one": {"definition": "q@1"}, "two": {"definition": "r@1"}}
    both = saga(step("s", action="integrations.parallel", input={"branches": branches}))
    (told,) = check_children([Placed(both, "b"), Placed(SagaDefinition(name="q", steps=(step("a"),)), "q")])
    assert (told.pointer, "r@1" in told.detail) == ("/steps/0/input", True)


def hears(event: str, workflow: str, **options: Any) -> Placed[Trigger]:
    trigger = parse_trigger(
        {"kind": "EVENT", "name": f"on-{workflow}", "event": event, "workflow": workflow, **options}
    )
    assert isinstance(trigger, EventTrigger)
    return Placed(trigger, f"{workflow}.yaml")


def nobody(event: str) -> bool:
    return False


def together(
    *triggers: Placed[Trigger], hears: Callable[[str], bool] = lambda event: True
) -> list[tuple[str, str]]:
    names = {"one": "t.take", "two": "t.pay"}
    definitions = [
        Placed(SagaDefinition(name=name, steps=(step("a", action=action),)), f"{name}.yaml")
        for name, action in names.items()
    ]
    stated = {"t.take": frozenset({"shop.taken"}), "t.pay": frozenset({"shop.paid"})}
    return [(one.rule, one.place) for one in check_together(definitions, triggers, stated, hears)]


def test_sagas_that_start_each_other_for_ever_are_found() -> None:
    assert together(hears("shop.taken", "two")) == []
    assert together(hears("shop.taken", "two"), hears("shop.paid", "one")) == [("trigger.cycle", "one.yaml")]
    assert together(hears("shop.*", "one")) == [("trigger.cycle", "one.yaml")]
    assert together(hears("shop.taken", "two"), hears("shop.paid", "one", enabled=False)) == []


def hears_subject(subject: str, workflow: str) -> Placed[Trigger]:
    content = {"kind": "EVENT", "name": f"on-{workflow}", "subject": subject, "workflow": workflow}
    return Placed(parse_trigger(content), f"{workflow}.yaml")


def test_sagas_that_start_each_other_by_subjects_are_found() -> None:
    by_event = hears_subject("ns.app.shop.taken.>", "two")
    assert together(by_event, hears("shop.paid", "one")) == [("trigger.cycle", "one.yaml")]
    assert together(hears_subject("evt.*.one.a.completed.*", "one")) == [("trigger.cycle", "one.yaml")]
    assert together(hears_subject("evt.*.other.a.completed.*", "one")) == []


def test_what_is_stated_and_nobody_hears_is_told_once() -> None:
    taken, paid = ("event.unheard", "one.yaml"), ("event.unheard", "two.yaml")
    assert together(hears=nobody) == [taken, paid]
    assert together(hears("shop.taken", "two"), hears=nobody) == [paid]
    assert together(hears_subject("app.shop.*.>", "two"), hears=nobody) == [("trigger.cycle", "two.yaml")]
    assert together(hears("shop.taken", "two", enabled=False), hears=nobody) == [taken, paid]
    assert together(hears=hears_any({"outbox.*", "ns.app.shop.paid.*"}, "ns.app")) == [taken]
    assert together(hears=hears_any({">"}, "ns.app")) == []


def test_a_trigger_of_what_is_not_there_is_told() -> None:
    assert together(hears("shop.taken", "three")) == [("trigger.unknown_workflow", "three.yaml")]
    assert together(hears("payments.nothing_like_it", "one")) == [("event.unstated", "one.yaml")]


def test_what_is_published_is_held_against_who_serves_it() -> None:
    definition = saga(step("a", action="t.a"), step("b", "a", action="t.b"), step("c", "b", action="t.c"))
    discovered = Discovered(
        heard=(
            Heard("t.a", "shop", "_saga", "started"),
            Heard("t.a", "gone", "a", "completed"),
            Heard("t.b", "shop", "no_such_step", "completed"),
            Heard("everything", "*", "*", "*"),
        ),
        present={"t.a": Presence(alive=True), "t.b": Presence(alive=False, pending=3)},
    )
    findings = list(check_published([definition], discovered))
    assert [(one.rule, one.place, one.pointer) for one in findings] == [
        ("action.unserved", "shop@1", "/steps/1/action"),
        ("step.unheard", "shop@1", "/steps/2/action"),
        ("subject.unstated", "t.a", ""),
        ("subject.unstated", "t.b", ""),
    ]


def offering(*actions: OfferedAction) -> list[Offer]:
    return [
        Offer(instance=f"i{pid}", host="h", pid=pid, since=datetime(2026, 1, 1, tzinfo=UTC), actions=(one,))
        for pid, one in enumerate(actions)
    ]


def test_what_is_offered_with_other_types_is_found() -> None:
    contract = contract_of("payments.optimize_route")
    assert contract is not None
    mine = OfferedAction.of(contract)
    other = mine.model_copy(update={"schema_hash": "other"})
    newer = other.model_copy(update={"version": "2"})

    def rules(*actions: OfferedAction) -> list[str]:
        return [f"{one.rule} {one.place}" for one in check_offered(offering(*actions))]

    assert rules(mine, mine, newer) == []
    assert rules(mine, other) == rules(other) == ["action.other_types payments.optimize_route"]
    strange = OfferedAction(name="t.a", schema_hash="x")
    assert rules(strange) == []
    assert rules(strange, strange.model_copy(update={"schema_hash": "y"})) == ["action.other_types t.a"]


def test_what_is_to_be_published_is_held_against_the_versions_that_are() -> None:
    old = saga(step("a"), input_schema=ORDER)
    narrower = {**ORDER, "required": ["kind", "n"]}
    changed = saga(step("b"), input_schema=ORDER)
    newer = saga(step("a"), version="2", input_schema=narrower)
    findings = list(
        check_against([Placed(changed, "c.json"), Placed(newer, "n.json"), Placed(old, "o.json")], [old])
    )
    assert [(one.rule, one.place) for one in findings] == [
        ("version.changed", "c.json"), ("input.incompatible", "n.json"),
    ]  # fmt: skip


BROKEN = """\
name: shop
steps:
  - name: a
    action: t.a
  - name: b
    action: t.b
    after: [nobody]
"""


def test_documents_are_read_with_their_lines(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text(BROKEN)
    (tmp_path / "shop.json").write_text(saga(step("a")).model_dump_json())
    (tmp_path / "on.yaml").write_text("kind: EVENT\nname: on-paid\nevent: shop.paid\nworkflow: shop\n")
    (tmp_path / "odd.yaml").write_text("name: [")
    (tmp_path / "else.yaml").write_text("a: 1\n")
    workflow = {"name": "w", "steps": [{"name": "t", "type": "NO_SUCH_TYPE"}]}
    (tmp_path / "workflow.json").write_text(json.dumps(workflow))
    (tmp_path / "notes.txt").write_text("no document")
    documents = read_documents([tmp_path])
    assert [placed.content.ref for placed in documents.definitions] == ["shop@1"]
    assert [placed.content.name for placed in documents.triggers] == ["on-paid"]
    invalid = {Path(one.place).name: one for one in documents.findings}
    assert invalid.keys() == {"broken.yaml", "odd.yaml", "else.yaml", "workflow.json"}
    broken = invalid["broken.yaml"]
    assert (broken.pointer, documents.lines[broken.place].of(broken.pointer)) == ("/steps/1/after", 7)
    with pytest.raises(NotFound):
        read_documents([tmp_path / "nowhere"])


def test_sarif_names_every_rule_and_places_every_finding() -> None:
    findings = [
        Finding("pivot.beside", "shop.yaml", "/steps/1", "beside", line=7),
        Finding("step.unheard", "shop@1", "/steps/0/action", "unheard"),
    ]
    (run,) = write_sarif(findings, "1.0")["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert rules == list(RULES)
    assert [(one["ruleId"], rules[one["ruleIndex"]], one["level"]) for one in run["results"]] == [
        ("pivot.beside", "pivot.beside", "warning"), ("step.unheard", "step.unheard", "error"),
    ]  # fmt: skip
    placed, unplaced = (one["locations"][0] for one in run["results"])
    assert placed["physicalLocation"] == {
        "artifactLocation": {"uri": "shop.yaml"},
        "region": {"startLine": 7},
    }
    assert "physicalLocation" not in unplaced
    assert is_grave(findings)
    assert not is_grave([Finding("compensation.off", "", "", "")])
    assert {rule.level for rule in RULES.values()} == set(Level)


def given(*workflows: SagaDefinition, **options: Any) -> list[tuple[str, str]]:
    content = {
        "kind": "EVENT",
        "name": "t",
        "event": "payments.payment_settled",
        "workflow": "shop",
    } | options
    placed = Placed(parse_trigger(content), "t.yaml")
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return [(one.rule, one.pointer) for one in check_trigger(placed, workflows, now)]


def test_what_a_trigger_gives_is_held_against_the_event_and_the_workflow() -> None:
    schema = {"type": "object", "properties": {"ref": {"type": "string"}}, "required": ["ref"]}
    shop = saga(step("a"), input_schema=schema)
    assert given(shop, input={"ref": "${event.data.reference}", "at": "${event.time}"}) == []
    assert given(shop, input={"ref": "${event.data.nope:-none}"}) == []
    assert given(shop, input={"ref": "${event.data.nope}"}) == [("trigger.input", "/input/ref")]
    assert given(shop, input={"ref": "${event.sender}"}) == [("trigger.input", "/input/ref")]
    assert given(shop, input={"ref": "${event.data.amount}"}) == [("trigger.input", "/input/ref")]
    assert given(shop, input={"reference": "${event.data.reference}"}) == [("trigger.input", "/input")]
    assert given(shop) == [("trigger.input", "/input")]
    newer = shop.model_copy(update={"version": "2", "input_schema": None})
    assert given(shop, newer) == []
    # Of an event of somebody else's nothing is known.
    assert given(shop, event="shop.sold", input={"ref": "${event.data.nope}"}) == []
    assert given(saga(step("a"))) == []


def test_a_trigger_that_cannot_work_is_found() -> None:
    shop = saga(step("a"))
    assert given(shop, when="event.data.amount >") == [("document.invalid", "/when")]
    assert given(shop, input={"ref": "${event.data.}"}) == [("document.invalid", "/input/ref")]
