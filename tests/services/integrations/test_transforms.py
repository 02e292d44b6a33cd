"""Operations of a transformation: each does what it says, in order, and says where it cannot."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from contracts.failure import InvalidContract
from contracts.integrations import Operation
from services.integrations.transforms import transform

OPERATIONS: TypeAdapter[tuple[Operation, ...]] = TypeAdapter(tuple[Operation, ...])
QUOTES: list[dict[str, Any]] = [
    {"carrier": "b", "price": 40, "zone": 1}, {"carrier": "a", "price": 90, "zone": 2},
    {"carrier": "c", "price": 40, "zone": 1},
]  # fmt: skip


def run(data: Any, *operations: dict[str, Any]) -> Any:
    return transform(data, OPERATIONS.validate_python(operations))


@pytest.mark.parametrize(("data", "operation", "expected"), [
    ([1, 2], {"op": "map", "to": "item * 2 + size(data)"}, [4, 6]),
    ([{"x": 1}], {"op": "map", "to": "{'y': item.x, 'z': [item.x]}"}, [{"y": 1, "z": [1]}]),
    ({"a": 1, "b": 2}, {"op": "rename", "fields": {"a": "c"}}, {"c": 1, "b": 2}),
    ([{"a": 1}], {"op": "rename", "fields": {"a": "b"}}, [{"b": 1}]),
    ({"a": 1, "b": 2}, {"op": "rename", "fields": {"a": "b", "b": "a"}}, {"b": 1, "a": 2}),
    ({"net": 10.0}, {"op": "calculate", "fields": {"gross": "item.net * 1.5"}}, {"net": 10.0, "gross": 15.0}),
    ({"a": "x", "n": 2}, {"op": "format", "fields": {"t": "${item.a}-${item.n}${item.q:-!}"}},
     {"a": "x", "n": 2, "t": "x-2!"}),
    ({"a": {"x": 1}, "b": 1}, {"op": "merge", "with": {"a": {"y": 2}, "b": 2}}, {"a": {"x": 1, "y": 2}, "b": 2}),
    ([1], {"op": "merge", "with": [2]}, [1, 2]),
    ([1, 2, 3], {"op": "filter", "where": "item > 1"}, [2, 3]),
    ([{"n": None}, {"n": 2}, {}, {"n": 1.5}], {"op": "sort", "by": ["n"]}, [{"n": 1.5}, {"n": 2}, {"n": None}, {}]),
    (QUOTES, {"op": "sort", "by": ["price", "-carrier"]}, [QUOTES[2], QUOTES[0], QUOTES[1]]),
    (QUOTES, {"op": "group", "by": "zone", "keep_items": False, "aggregates": {
        "n": {"of": "count"}, "sum": {"of": "sum", "field": "price"}, "best": {"of": "min", "field": "price"},
        "mean": {"of": "average", "field": "price"}, "most": {"of": "max", "field": "nothing"}}},
     [{"zone": 1, "n": 2, "sum": 80, "best": 40, "mean": 40.0, "most": None},
      {"zone": 2, "n": 1, "sum": 90, "best": 90, "mean": 90.0, "most": None}]),
    ([{"k": True}, {"k": 1}], {"op": "group", "by": "k"},
     [{"k": True, "items": [{"k": True}]}, {"k": 1, "items": [{"k": 1}]}]),
])  # fmt: skip
def test_operations_do_what_they_say(data: Any, operation: dict[str, Any], expected: Any) -> None:
    assert run(data, operation) == expected


@pytest.mark.parametrize(("data", "operation", "says"), [
    (1, {"op": "map", "to": "item"}, "expected a list"), ([1], {"op": "rename", "fields": {"a": "b"}}, "an object"),
    ({"a": 1}, {"op": "rename", "fields": {"x": "b"}}, "no field 'x'"),
    ({"a": 1, "b": 2}, {"op": "rename", "fields": {"a": "b"}}, "same name"),
    ([1], {"op": "merge", "with": {}}, "two objects or two lists"),
    ([1], {"op": "filter", "where": "item"}, "true or false"),
    ([{"a": 1}, {"a": "x"}], {"op": "sort", "by": ["a"]}, "no order"),
    ([{"a": []}], {"op": "group", "by": "a"}, "group by"),
    ([{"a": "x"}], {"op": "group", "by": "b", "aggregates": {"s": {"of": "sum", "field": "a"}}}, "expected numbers"),
    ([0] * 10_001, {"op": "filter", "where": "true"}, "at most 10000"),
    ({}, {"op": "format", "fields": {"a": "${item.x}"}}, "no 'x'"),
    ({}, {"op": "format", "fields": {"a": "${input.x}"}}, "no reference"),
    ([1], {"op": "map", "to": "duration('1s')"}, "no JSON"),
])  # fmt: skip
def test_what_cannot_be_done_says_where(data: Any, operation: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidContract, match=says) as caught:
        run(data, operation)
    assert str(caught.value).startswith(f"/operations/0: {operation['op']}")


def test_operations_come_one_after_the_other() -> None:
    best = run(
        QUOTES, {"op": "filter", "where": "item.price < 50"}, {"op": "sort", "by": ["carrier"]},
        {"op": "map", "to": "item.carrier"},
    )  # fmt: skip
    assert best == ["b", "c"]


ROWS = st.lists(st.fixed_dictionaries({"k": st.sampled_from("abc"), "n": st.integers(-99, 99)}), max_size=20)


@given(rows=ROWS)
def test_sorting_is_stable_and_descending_is_its_mirror(rows: list[dict[str, Any]]) -> None:
    assert run(rows, {"op": "sort", "by": ["n"]}) == sorted(rows, key=lambda row: row["n"])
    assert run(rows, {"op": "sort", "by": ["-n"]}) == sorted(rows, key=lambda row: -row["n"])


@given(rows=ROWS)
def test_grouping_loses_nothing(rows: list[dict[str, Any]]) -> None:
    groups = run(rows, {"op": "group", "by": "k", "aggregates": {"sum": {"of": "sum", "field": "n"}}})
    assert sum(group["sum"] for group in groups) == sum(row["n"] for row in rows)
    assert sorted(str(row) for group in groups for row in group["items"]) == sorted(map(str, rows))
    assert [group["k"] for group in groups] == list(dict.fromkeys(row["k"] for row in rows))


@given(rows=ROWS)
def test_what_is_renamed_there_and_back_is_as_before(rows: list[dict[str, Any]]) -> None:
    there, back = {"op": "rename", "fields": {"k": "key"}}, {"op": "rename", "fields": {"key": "k"}}
    assert run(rows, there, back) == rows


@given(rows=ROWS)
def test_filter_splits_what_its_opposite_leaves(rows: list[dict[str, Any]]) -> None:
    kept = run(rows, {"op": "filter", "where": "item.n > 0"})
    left = run(rows, {"op": "filter", "where": "!(item.n > 0)"})
    assert len(kept) + len(left) == len(rows)
    assert all(row["n"] > 0 for row in kept)
