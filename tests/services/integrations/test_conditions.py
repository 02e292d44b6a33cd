"""Conditions: trees and expressions say the same; nothing in a value can break out of its place."""

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from contracts.failure import InvalidContract
from contracts.integrations import Branch, ChooseBranch, Condition
from saga.conditions import holds as step_holds
from services.integrations.expressions import evaluate, holds, to_cel

CONDITION: TypeAdapter[Condition] = TypeAdapter(Condition)
DATA: dict[str, Any] = {"n": 5, "s": "abc", "list": ["a", 1], "deep": {"a/b": {"~": True}}, "null": None}


def check(condition: Any, data: Any = DATA) -> bool:
    return holds(CONDITION.validate_python(condition), {"data": data})


def field(name: str, is_: str, value: Any = None) -> dict[str, Any]:
    return {"field": name, "is": is_, "value": value}


@pytest.mark.parametrize(("condition", "expected"), [
    (field("/n", "eq", 5), True), (field("/n", "eq", 5.0), True), (field("/n", "ne", 5), False),
    (field("/n", "lt", 5.5), True), (field("/n", "ge", 6), False), (field("/n", "in", [1, 5]), True),
    (field("/s", "contains", "b"), True), (field("/list", "contains", 1), True),
    (field("/list", "contains", "a"), True),
    (field("/s", "starts_with", "b"), False),
    (field("/s", "ends_with", "c"), True), (field("/s", "matches", "^a.c$"), True), (field("/x", "exists"), False),
    (field("/x", "missing"), True), (field("/deep/a~1b/~0", "eq", True), True), (field("/null", "eq", None), True),
    ({"all": [field("/x", "exists"), field("/x", "gt", 1)]}, False), ({"any": ["data.n > 9", "data.s == 'abc'"]}, True),
    ({"not": {"any": ["false", field("/n", "gt", 4)]}}, False), ("data.list.exists(x, x == 'a')", True),
])  # fmt: skip
def test_conditions_hold_or_not(condition: Any, expected: bool) -> None:
    assert check(condition) is expected


@pytest.mark.parametrize("condition", [
    field("/x", "eq", 1), field("", "exists"), "data.n", "data.", "nobody == 1", field("/s", "lt", 1),
    field("/s", "matches", "("),
])  # fmt: skip
def test_what_cannot_be_judged_is_neither_true_nor_false(condition: Any) -> None:
    with pytest.raises(InvalidContract):
        check(condition)


@pytest.mark.parametrize("condition", [
    {"all": []}, {"all": ["true"], "any": ["true"]}, field("n", "eq"), field("/n", "like"), {}, "x" * 3000,
])  # fmt: skip
def test_what_is_no_condition_is_refused(condition: Any) -> None:
    with pytest.raises(ValidationError):
        CONDITION.validate_python(condition)


def test_a_tree_has_a_greatest_depth() -> None:
    tree: Any = "true"
    for _ in range(9):
        tree = {"not": tree}
    with pytest.raises(InvalidContract, match="nested"):
        check(tree)


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
)


@given(name=TEXTS, value=TEXTS | SCALARS, other=TEXTS | SCALARS)
def test_any_value_under_any_name_is_compared_as_itself(name: str, value: Any, other: Any) -> None:
    pointer = "/" + name.replace("~", "~0").replace("/", "~1")
    assert check(field(pointer, "eq", value), {name: value})
    assert check(field(pointer, "exists"), {name: value})
    same_type = type(value) is type(other)
    if same_type:
        assert check(field(pointer, "eq", other), {name: value}) == (value == other)
    assert check(field(pointer, "in", [value]), {name: value})


TREES = st.recursive(
    st.sampled_from([("true", True), ("data.n == 5", True), ("false", False), ("data.n < 0", False)]),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(
            lambda parts: ({"all": [part for part, _ in parts]}, all(holds for _, holds in parts))
        ),
        st.lists(inner, min_size=1, max_size=3).map(
            lambda parts: ({"any": [part for part, _ in parts]}, any(holds for _, holds in parts))
        ),
        inner.map(lambda part: ({"not": part[0]}, not part[1])),
    ),
    max_leaves=6,
)


@given(tree=TREES)
def test_a_tree_holds_as_logic_says(tree: tuple[Any, bool]) -> None:
    condition, expected = tree
    assume(depth(condition) <= 8)
    assert check(condition) is expected


def depth(condition: Any) -> int:
    if isinstance(condition, str):
        return 0
    (parts,) = condition.values()
    return 1 + max(map(depth, parts if isinstance(parts, list) else [parts]))


VALUES = st.recursive(
    SCALARS | TEXTS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3)
)


@given(value=VALUES)
def test_data_go_through_an_expression_unchanged(value: Any) -> None:
    assert evaluate("data", {"data": value}) == value


def test_a_tree_can_stand_in_a_steps_condition() -> None:
    tree = CONDITION.validate_python(
        {"all": [field("/amount", "gt", 10), {"not": field("/tags", "contains", "x")}]}
    )
    assert step_holds(to_cel(tree, "input"), {"input": {"amount": 11, "tags": ["y"]}, "steps": {}})


def test_branches_have_names() -> None:
    with pytest.raises(ValidationError):
        Branch.model_validate({"name": "a b", "when": "true"})
    with pytest.raises(ValidationError):
        ChooseBranch.model_validate({"data": 1, "branches": []})
