"""What is left of a document that is no workflow: enough to judge the rest by, or nothing."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.workflows import Workflow
from saga.workflows.mending import mended

WAIT = {"name": "rest", "type": "WAIT", "input": {"for_s": 1}}
BODY = {"steps": [{**WAIT}, {"name": "then", "type": "WAIT", "after": ["rest"], "input": {"for_s": 2}}]}
EACH = {"name": "each", "type": "FOR_EACH", "items": "${input.all}", "do": BODY}
GOOD = {"name": "orders", "deadline_s": 5, "steps": [WAIT, EACH | {"after": ["rest"]}]}
JUNK = st.sampled_from([None, 0, -1, "", "x y", [], {}, [None], {"a": 1}])


def changed(value: Any, *way: Any) -> Any:
    """GOOD with another value at a place."""
    document = copy.deepcopy(GOOD)
    inner: Any = document
    for part in way[:-1]:
        inner = inner[part]
    inner[way[-1]] = value
    return document


def test_fields_that_others_do_not_depend_on_are_left_out() -> None:
    assert mended(changed("soon", "deadline_s")) == mended(
        {k: v for k, v in GOOD.items() if k != "deadline_s"}
    )
    retried = mended(changed({"kind": "fixed", "max_attempts": 0}, "steps", 0, "retry"))
    assert retried == mended(changed("red", "colour")) == Workflow.model_validate(GOOD)
    nameless = mended(changed("a.b", "name"))
    assert nameless is not None
    assert nameless.name == "unnamed"


@pytest.mark.parametrize(
    "way", [("type",), ("input",), ("do", "colour")], ids=lambda way: "/".join(way) if isinstance(way, tuple) else way
)  # fmt: skip
def test_a_step_that_would_be_another_is_only_a_name_and_an_order(way: tuple[str, ...]) -> None:
    found = mended(changed("other", "steps", 1, *way))
    assert found is not None
    assert (found.steps[0].type, found.steps[1].name, found.steps[1].type) == ("WAIT", "each", "ACTION")
    assert found.steps[1].after == ("rest",)


def test_a_step_may_have_several_mistakes() -> None:
    found = mended(
        changed({"name": "each", "type": "WAIT", "input": 5, "colour": 1, "after": ["rest"]}, "steps", 1)
    )
    assert found is not None
    assert (found.steps[1].name, found.steps[1].type, found.steps[1].after) == ("each", "ACTION", ("rest",))


def test_in_a_body_only_the_step_in_question_is_left_out() -> None:
    found = mended(changed("SHELL", "steps", 1, "do", "steps", 0, "type"))
    assert found is not None
    each = found.steps[1]
    assert each.type == "FOR_EACH"
    assert [(step.name, step.type) for step in each.do.steps] == [("rest", "ACTION"), ("then", "WAIT")]


@pytest.mark.parametrize(
    "document",
    [
        7, {}, {"name": "orders", "steps": []}, changed("rest", "steps", 1, "after"),
        changed(["not a name"], "steps", 1, "after"), changed("not a name", "steps", 0, "name"),
    ],
)  # fmt: skip
def test_nothing_is_judged_that_may_be_judged_wrongly(document: Any) -> None:
    assert mended(document) is None


@given(
    st.lists(
        st.tuples(JUNK, st.lists(st.sampled_from(["steps", 0, 1, "do", "after", "type", "name", "input"])))
    )
)
def test_no_document_is_too_odd(changes: list[tuple[Any, list[Any]]]) -> None:
    document: Any = copy.deepcopy(GOOD)
    for value, way in changes:
        inner = document
        for part in way[:-1]:
            try:
                inner = inner[part]
            except (KeyError, IndexError, TypeError):
                break
        if way and (isinstance(inner, dict) or (isinstance(inner, list) and way[-1] in range(len(inner)))):
            inner[way[-1]] = copy.deepcopy(value)
    before = copy.deepcopy(document)
    mended(document)
    assert document == before
