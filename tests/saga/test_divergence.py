"""Under the same definition no saga diverges; under another one the first difference is named, and why."""

from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.definition import SagaDefinition, Step
from contracts.facts import Recorded
from contracts.subjects import SAGA_STEP
from saga.divergence import diverge
from saga.simulate import HARDEST, Faults, walk
from saga.simulate.corpus import CORPUS
from saga.simulate.stream import simulated_fact

UNDOABLE = ("t.take", "t.pay")
# A walk decides conditions by chance, whatever they say.
PLAIN = [one for one in CORPUS if not any(step.when for step in one.steps)]


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(PLAIN), st.integers(0, 2**32), st.sampled_from([HARDEST, Faults()]))
def test_no_saga_diverges_under_its_own_definition(of: SagaDefinition, seed: int, faults: Faults) -> None:
    facts = walk(of, Random(seed).randrange, faults=faults).facts
    assert diverge(of, of, facts, ()) == []


def test_a_fact_that_the_server_has_stored_twice_makes_no_difference() -> None:
    diamond = next(one for one in CORPUS if one.name == "diamond")
    said = [
        (SAGA_STEP, "started"),
        ("a", "completed"),
        ("c", "completed"),
        ("b", "completed"),
        ("c", "completed"),
    ]
    said += [("d", "completed")]
    facts = [
        Recorded(sequence, simulated_fact(diamond.ref, step, kind))
        for sequence, (step, kind) in enumerate(said, 1)
    ]
    assert diverge(diamond, diamond, facts, ()) == []


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(PLAIN), st.integers(0, 2**32), st.data())
def test_no_redrive_diverges_under_its_own_definition(
    of: SagaDefinition, seed: int, data: st.DataObject
) -> None:
    from_step = data.draw(st.sampled_from(sorted(of.by_name)))
    facts = walk(of, Random(seed).randrange, faults=Faults(), redriven_from=(from_step,)).facts
    assert diverge(of, of, facts, ()) == []


def step(name: str, *after: str, action: str = "t.tell", **options: Any) -> Step:
    return Step(name=name, action=action, after=after, **options)


SHOP = SagaDefinition(
    name="shop",
    steps=(
        step("take", action="t.take", input={"n": "${input.n}"}),
        step("pay", "take", action="t.pay", input={"sum": "${steps.take.sum}"}),
        step("tell", "pay", input={"id": "${steps.pay.id}"}),
    ),
)


def told(*said: tuple[str, str, dict[str, Any]]) -> list[Recorded]:
    facts = []
    for sequence, (name, kind, data) in enumerate(said, 1):
        fact = simulated_fact(SHOP.ref, name, kind)
        facts.append(Recorded(sequence, fact.model_copy(update={"data": data})))
    return facts


CARRIED: dict[str, Any] = {"input": {}, "steps": {}}
DONE = told(
    (SAGA_STEP, "started", {"input": {"n": 2}}),
    ("take", "started", {"input": {"n": 2}, "attempt": 1}),
    ("take", "completed", {"output": {"sum": 10}, "carried": CARRIED}),
    ("pay", "started", {"input": {"sum": 10}, "attempt": 1}),
    ("pay", "completed", {"output": {"id": "p"}, "carried": CARRIED}),
    ("tell", "completed", {"output": {}, "carried": CARRIED}),
)
FAILURE = {"code": "t.no", "message": "no", "effect": "none"}
UNDONE = [
    *DONE[:5],
    *told(
        *[(SAGA_STEP, "x", {})] * 5,
        ("tell", "failed", {"failure": FAILURE, "attempt": 1}),
        (SAGA_STEP, "aborted", {"cause": "step", "step": "tell", "failure": FAILURE}),
        ("pay", "compensated", {}),
        ("take", "compensated", {}),
    )[5:],
]


def differences(*steps: Step, facts: list[Recorded] = DONE) -> list[tuple[str, str, str, str]]:
    new = SHOP.model_copy(update={"steps": steps, "version": "2"})
    return [(one.step, one.what, one.was, one.would) for one in diverge(SHOP, new, facts, UNDOABLE)]


TAKE, PAY, TELL = SHOP.steps


def test_a_condition_that_now_holds_back_a_step_is_told_with_what_hangs_on_it() -> None:
    skipped = PAY.model_copy(update={"when": "steps.take.sum > 100"})
    found = differences(TAKE, skipped, TELL)
    assert found[:2] == [
        ("pay", "end", "completed", "skipped"),
        ("tell", "input/id", "'p'", "None"),
    ]


def test_another_input_is_told_by_its_fields() -> None:
    doubled = PAY.model_copy(update={"input": {"sum": "${steps.take.sum}", "currency": "GBP"}})
    assert differences(TAKE, doubled, TELL) == [("pay", "input/currency", "None", "'GBP'")]


def test_another_order_is_told_by_what_makes_a_step_due() -> None:
    early = TELL.model_copy(update={"after": ("take",), "input": {}})
    assert differences(TAKE, PAY, early) == [
        ("tell", "cause", "pay.completed", "take.completed"),
        ("tell", "input/id", "'p'", "None"),
    ]


def test_of_a_step_that_is_new_nothing_is_known_nor_of_what_leans_on_it() -> None:
    check = step("check", "take")
    leaning = PAY.model_copy(update={"after": ("check",), "input": {"sum": "${steps.check.sum}"}})
    found = differences(TAKE, check, leaning, TELL)
    assert ("check", "end", "never ran", "completed") in found
    assert ("check", "unknown", "never ran", "nothing is recorded of what it does") in found
    assert (
        "pay",
        "unknown",
        "completed",
        "its input refers to an output of which nothing is recorded",
    ) in found
    assert [one[1] for one in found if one[0] == "tell"] == ["unknown"]


def test_a_step_that_is_gone_is_told() -> None:
    assert differences(TAKE, PAY) == [("tell", "end", "completed", "never ran")]


def test_a_failure_that_no_longer_turns_the_saga_round_changes_its_end() -> None:
    goes_on = TELL.model_copy(update={"on_error": "continue"})
    assert differences(TAKE, PAY, goes_on, facts=UNDONE) == [
        ("take", "undo", "compensated", "none"),
        ("pay", "undo", "compensated", "none"),
        (SAGA_STEP, "status", "compensated", "completed"),
    ]


def test_what_is_no_longer_undone_is_told() -> None:
    kept = PAY.model_copy(update={"compensate": False})
    assert differences(TAKE, kept, TELL, facts=UNDONE) == [("pay", "undo", "compensated", "none")]


def test_input_that_can_no_longer_be_made_fails_the_step() -> None:
    missing = PAY.model_copy(update={"input": {"sum": "${steps.take.total}"}})
    found = differences(TAKE, missing, TELL)
    assert found[0] == ("pay", "end", "completed", "failed (step.input_invalid)")
    assert found[-1] == (SAGA_STEP, "status", "completed", "compensated")
