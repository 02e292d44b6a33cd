"""Documents as text: what is written is read as the same, and what JSON cannot say is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saga.workflows.text import Form, InvalidText, read_all, read_one, write_one

TEXTS = st.one_of(
    st.text(),
    st.sampled_from(
        ["yes", "on", "1:30", "08", "1e5", "+.5", "2026-01-31", "~", "null", "<<", "=", "0o7", "5\n"]
    ),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("form", Form)
@given(value=VALUES)
def test_what_is_written_is_read_as_the_same(form: Form, value: Any) -> None:
    found = read_one(write_one(value, form).encode(), form)
    assert (found, repr(found)) == (value, repr(value))


@given(st.binary(max_size=60) | st.text("{}[]:,-&*!#|>\"'%@`? \nab01.e~", max_size=40).map(str.encode))
def test_whatever_is_sent_is_read_or_refused(text: bytes) -> None:
    for form in Form:
        try:
            found = read_one(text, form)
        except InvalidText:
            continue
        assert read_one(write_one(found, Form.YAML).encode(), Form.YAML) == found


@given(st.lists(VALUES, min_size=2, max_size=4))
def test_documents_after_one_another_are_a_stream(values: list[Any]) -> None:
    text = "".join(write_one(value, Form.YAML) for value in values)
    assert read_all(text.encode(), Form.YAML) == values


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("{a: yes, b: 1:30, c: 08001, d: 2026-01-31}", {"a": "yes", "b": "1:30", "c": "08001", "d": "2026-01-31"}),
        ("{a: , b: ~, c: 'null', d: True}", {"a": None, "b": None, "c": "null", "d": True}),
        ("[-5, 1e3, .5, 5., 0]", [-5, 1000.0, 0.5, 5.0, 0]),
        ("on: {1.5: x}", None),
    ],
)  # fmt: skip
def test_yaml_is_read_as_yaml_1_2(written: str, read: Any) -> None:
    if read is None:
        with pytest.raises(InvalidText, match="a key must be a text"):
            read_one(written.encode(), Form.YAML)
    else:
        assert read_one(written.encode(), Form.YAML) == read


@pytest.mark.parametrize(
    ("text", "form", "reason"),
    [
        ("a: &x [1]\nb: *x", Form.YAML, "aliases.* line 2"),
        ("a: !!bool maybe", Form.YAML, "tags"),
        ("a: !!python/object:os.system {}", Form.YAML, "tags"),
        ("a: 1\na: 2", Form.YAML, "come once"),
        ("a: [", Form.YAML, "line"),
        ("a: 1e999", Form.YAML, "range"),
        ("[" * 5_000, Form.YAML, "recursion"),
        ("a: 1\n---\nb: 2", Form.YAML, "one document, not 2"),
        ('{"a": NaN}', Form.JSON, "no JSON"),
        ('{"a": "\\ud800"}', Form.JSON, "no JSON"),
        ("[" * 5_000, Form.JSON, "recursion"),
        ("", Form.JSON, "no JSON"),
    ],
)
def test_what_is_no_document_is_refused_with_the_reason(text: str, form: Form, reason: str) -> None:
    with pytest.raises(InvalidText, match=f"(?s){reason}"):
        read_one(text.encode(), form)


@pytest.mark.parametrize(
    ("text", "form", "count"),
    [
        ("[{}, {}]", Form.JSON, 2),
        ("{}", Form.JSON, 1),
        ("- {}\n- {}", Form.YAML, 2),
        ("{}\n---\n{}", Form.YAML, 2),
    ],
)
def test_several_documents_come_as_a_list_or_a_stream(text: str, form: Form, count: int) -> None:
    assert read_all(text.encode(), form) == [{}] * count


@pytest.mark.parametrize("text", ["", "# nothing", "[]"])
def test_no_document_at_all_is_refused(text: str) -> None:
    with pytest.raises(InvalidText, match="no document"):
        read_all(text.encode(), Form.YAML)


@pytest.mark.parametrize(
    ("header", "form"),
    [
        ("", Form.JSON),
        ("application/json", Form.JSON),
        ("text/x-yaml; charset=utf-8", Form.YAML),
        ("*/*", Form.JSON),
    ],
)
def test_a_header_tells_the_form(header: str, form: Form) -> None:
    assert Form.of(header) is form
