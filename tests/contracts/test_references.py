"""References say where data comes from; nothing in them runs."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json

from contracts.failure import InvalidContract
from contracts.references import (
    ITEM_ROOTS,
    MAX_DEPTH,
    MAX_REFERENCES,
    MAX_TEXT,
    InvalidTemplate,
    compile_template,
    condition_references,
    parse_reference,
)

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
            return item.replace("$", "").replace("{{", "")
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
    ("${input.none:-3}", 3), ('${input.none:-"3"}', "3"), ("${input.none:-}", ""), ("${input.none:-a b}", "a b"),
    ("${input.none.deep[0]:-[1]}", [1]), ("${input.nothing:-false}", False), ("${input.n:-9}", 3),
    ("${steps.skipped.value:-no}", "no"), ("${input.nothing:-null}", None), ("x ${input.nothing:--}", "x -"),
    ("{{name}}", "Ann"), ("{{ deep }}", {"a": 1}), ("Dear {{name}}, {{steps.rate.value}}", "Dear Ann, 1.5"),
    ("{{input.n}}", 3), ("{{none:-x}}", "x"), (r"\{{name}}", "{{name}}"), ("yes: {{yes}}", "yes: true"),
    ("{ } }} {", "{ } }} {"),
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


def test_the_content_of_a_value_is_never_read_for_references() -> None:
    template = compile_template({"x": "${input.evil}", "y": "> ${input.evil}"})
    scope = {"input": {"evil": "${input.secret} {{secret}}", "secret": "s"}, "steps": {}}
    assert template.resolve(scope) == {"x": "${input.secret} {{secret}}", "y": "> ${input.secret} {{secret}}"}


def test_items_and_outputs_are_referred_to_only_where_they_are() -> None:
    item = compile_template({"a": "${item}", "b": "no {{item.n}}", "c": "${item[0]:-x}"}, ITEM_ROOTS)
    assert item.resolve({"item": {"n": 1}}) == {"a": {"n": 1}, "b": "no 1", "c": "x"}
    assert compile_template("${output.id}", {"output"}).resolve({"output": {"id": 7}}) == 7
    for text in ("${item}", "${item.x}", "${output.x}"):
        with pytest.raises(InvalidTemplate, match="expected"):
            compile_template(text)
    with pytest.raises(InvalidTemplate, match="expected"):
        compile_template("${input.x}", {"output"})


def test_every_mistake_is_said_with_its_place() -> None:
    with pytest.raises(InvalidTemplate) as caught:
        compile_template({"a/b": ["${x}", {"c": "{{open"}], "fine": "${input.x}", "d": "${steps.x}"})
    assert [problem.pointer for problem in caught.value.problems] == ["/a~1b/0", "/a~1b/1/c", "/d"]


def test_every_use_has_its_place() -> None:
    uses = compile_template({"a": ["${input.x}"], "b": "{{y}} and ${steps.s.z}"}).uses
    assert [(use.pointer, use.reference.text, use.whole) for use in uses] == [
        ("/a/0", "input.x", True), ("/b", "input.y", False), ("/b", "steps.s.z", False),
    ]  # fmt: skip


@pytest.mark.parametrize(("template", "says"), [
    ("x" * (MAX_TEXT + 1), "characters"), (["${input.n}"] * (MAX_REFERENCES + 1), "references"),
    ("${input" + ".a" * 40 + "}", "deep"), ("${input.x[9999999999]}", "no reference"),
])  # fmt: skip
def test_a_template_has_limits(template: Any, says: str) -> None:
    with pytest.raises(InvalidTemplate, match=says):
        compile_template(template)


def test_a_template_has_a_greatest_depth() -> None:
    nested: Any = "${input.n}"
    for _ in range(MAX_DEPTH):
        nested = [nested]
    compile_template(nested)
    with pytest.raises(InvalidTemplate, match="nested"):
        compile_template([nested])


@pytest.mark.parametrize("template", ["${input.big}" * 30, ["${input.big}"] * 30])
def test_what_a_template_yields_has_a_limit(template: Any) -> None:
    compiled = compile_template(template)
    with pytest.raises(InvalidContract, match="1048576"):
        compiled.resolve({"input": {"big": "x" * 60_000}, "steps": {}})


@given(value=JSON, name=NAMES, default=st.integers() | st.booleans() | st.none())
def test_a_default_counts_only_where_there_is_no_value(value: Any, name: str, default: Any) -> None:
    template = compile_template(f"${{input.{name}:-{to_json(default).decode()}}}")
    assert template.resolve({"input": {name: value}, "steps": {}}) == (default if value is None else value)
    assert template.resolve({"input": {}, "steps": {}}) == default


@given(parts=st.lists(st.sampled_from(["name", "n", "yes", "deep.a"]) | st.integers(0, 9), max_size=6))
def test_both_forms_say_the_same(parts: list[str | int]) -> None:
    long = "".join(f"${{input.{part}}}" if isinstance(part, str) else f"-{part}" for part in parts)
    short = "".join(f"{{{{{part}}}}}" if isinstance(part, str) else f"-{part}" for part in parts)
    assert resolve(long) == resolve(short)


@given(text=st.text("${}:-inputsep.[0]\\ ", max_size=40))
def test_any_text_is_a_template_or_refused_by_name(text: str) -> None:
    with suppress(InvalidTemplate):
        compile_template(text)


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
