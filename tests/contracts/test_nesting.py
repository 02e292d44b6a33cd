"""Data that is nested too deep for its readers is refused before it is sent."""

from typing import Any

import pytest
from pydantic_core import from_json, to_json

from contracts.failure import InvalidContract
from contracts.nesting import MAX_NESTING, check_nesting


def nested(depth: int) -> Any:
    value: Any = 1
    for level in range(depth):
        value = [value] if level % 2 else {"a": value, "b": None}
    return value


def test_what_is_let_through_can_be_read_again() -> None:
    value = nested(MAX_NESTING)
    check_nesting(value, "it")
    assert from_json(to_json(value)) == value


@pytest.mark.parametrize("depth", [MAX_NESTING + 1, 10_000])
def test_deeper_data_is_refused_however_deep_it_is(depth: int) -> None:
    with pytest.raises(InvalidContract, match="the input is nested more than 100 deep"):
        check_nesting(nested(depth), "the input")
