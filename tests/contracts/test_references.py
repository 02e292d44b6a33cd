"""References say where data comes from; nothing in them runs."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.failure import InvalidContract
from contracts.references import compile_template, condition_references, parse_reference

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,8}", fullmatch=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner)
)  # fmt: skip
SCOPE: dict[str, Any] = {
    "input": {"name": "Ann", "tags": ["x", "y"], "n": 3, "yes": True, "nothing": None, "deep": {"a": 1}},
    "steps": {"rate": {"value": "1.5"}},
}


def resolve(value: Any) -> Any:
    return compile_template(value).resolve(SCOPE)


@given(path=st.lists(NAMES | st.integers(0, 99), min_size=1, max_size=5))
def test_a_reference_reads_back_as_it_is_written(path: list[str | int]) -> None:
    text = "input" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    reference = parse_reference(text)
    assert reference.text == text
    assert reference.path == tuple(path)


@given(value=JSON)
def test_what_holds_no_reference_stays_as_it_is(value: Any) -> None:
    def escaped(item: Any) -> Any:
        if isinstance(item, str):
            # `$$${` is not an escaped `$${`, so a dollar before a reference is left out of this property.
            return item.replace("$", "")
        if isinstance(item, dict):
            return {key: escaped(inner) for key, inner in item.items()}
        return [escaped(inner) for inner in item] if isinstance(item, list) else item

    template = compile_template(escaped(value))
    assert template.resolve(SCOPE) == escaped(value)
    assert template.references == ()


@given(value=JSON, name=NAMES)
def test_a_whole_reference_keeps_the_type(value: Any, name: str) -> None:
    template = compile_template({"x": f"${{input.{name}}}"})
    assert template.resolve({"input": {name: value}, "steps": {}}) == {"x": value}


@pytest.mark.parametrize(("template", "expected"), [
    ("${input.tags[1]}", "y"), ("${input.n}", 3), ("${steps.rate.value}", "1.5"), ("${input.deep}", {"a": 1}),
    ("Dear ${input.name}, no ${input.n}", "Dear Ann, no 3"), ("$${input.name}", "${input.name}"), ("5 $", "5 $"),
    ("${input.nothing.more}", None), ("${steps.skipped.value}", None), (["${input.yes}"], [True]),
])  # fmt: skip
def test_references_are_filled_in(template: Any, expected: Any) -> None:
    assert resolve(template) == expected


@pytest.mark.parametrize("text", [
    "", "name", "output.x", "input", "steps.rate", "steps[0].x", "input..x", "input.x()", "input.1x", "input.x[-1]",
    "input.__class__.__bases__()",
])  # fmt: skip
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(InvalidContract, match=r"expected|must name"):
        compile_template(f"${{{text}}}")


def test_an_open_brace_is_refused() -> None:
    with pytest.raises(InvalidContract, match="without its"):
        compile_template("${input.name")


@pytest.mark.parametrize("template", ["${input.missing}", "${input.tags[9]}", "${steps.rate.missing}"])
def test_a_field_that_is_not_there_is_named(template: str) -> None:
    with pytest.raises(InvalidContract, match="no "):
        resolve(template)


@pytest.mark.parametrize("template", ["x ${input.deep}", "x ${input.tags}", "x ${input.nothing}"])
def test_only_simple_values_go_into_text(template: str) -> None:
    with pytest.raises(InvalidContract, match="inside text"):
        resolve(template)


def test_a_condition_says_what_it_reads() -> None:
    found = condition_references('input.amount.value > 10 && steps.rate.value != "steps.a.b" && x.input.y')
    assert [reference.text for reference in found] == ["input.amount.value", "steps.rate.value"]
    with pytest.raises(InvalidContract):
        condition_references("steps.rate")
