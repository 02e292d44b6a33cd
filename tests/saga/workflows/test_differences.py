"""What is different between two documents."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saga.workflows.differences import Difference, differences

WORK, CHECK = {"name": "work", "type": "ACTION"}, {"name": "check", "type": "WAIT", "input": {"for_s": 1}}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@given(VALUES, VALUES)
def test_there_are_none_if_and_only_if_nothing_has_changed(before: Any, after: Any) -> None:
    assert differences(before, before) == []
    assert (differences(before, after) == []) == (_typed(before) == _typed(after))


def _typed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _typed(item) for key, item in value.items()}
    return [_typed(item) for item in value] if isinstance(value, list) else (type(value), repr(value))


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ({"a": 1}, {"a": 1.0}, [Difference("changed", "/a", 1, 1.0)]),
        ({"a": [1]}, {"a": [True]}, [Difference("changed", "/a", [1], [True])]),
        ({"a/b": 1}, {"c": 2}, [Difference("removed", "/a~1b", before=1), Difference("added", "/c", after=2)]),
        ([WORK, CHECK], [CHECK, WORK], [Difference("moved", "", ["work", "check"], ["check", "work"])]),
        ([WORK, CHECK], [CHECK], [Difference("removed", "/0", before=WORK)]),
        ([WORK], [CHECK, WORK], [Difference("added", "/0", after=CHECK)]),
        ([WORK, CHECK], [WORK, CHECK | {"input": {"for_s": 2}}], [Difference("changed", "/1/input/for_s", 1, 2)]),
        ([WORK, WORK], [WORK], [Difference("changed", "", [WORK, WORK], [WORK])]),
    ],
)  # fmt: skip
def test_steps_are_compared_by_their_names(before: Any, after: Any, found: list[Difference]) -> None:
    assert differences(before, after) == found
