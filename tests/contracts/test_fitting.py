"""What cannot be taken is said, and nothing that may be."""

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, TypeAdapter

from contracts.actions import DOMAINS, ActionContract, domain_actions
from contracts.fitting import Shape, misfit
from contracts.money import Amount, Money

ACTIONS = [contract for domain in DOMAINS for contract in domain_actions(domain)]


class Pair(BaseModel):
    one: int
    two: str = ""


class Wide(BaseModel):
    one: int
    two: str


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")

    one: int


class Tree(BaseModel):
    value: int
    below: "list[Tree]" = []


def given(of: Any) -> Shape:
    schema = TypeAdapter(of).json_schema(mode="serialization")
    return Shape(schema, schema)


def taken(of: Any) -> Shape:
    schema = TypeAdapter(of).json_schema()
    return Shape(schema, schema)


@pytest.mark.parametrize("contract", ACTIONS, ids=lambda contract: contract.name)
def test_what_is_stated_can_be_taken_as_what_it_is(contract: ActionContract) -> None:
    for model in (contract.input, contract.output):
        assert misfit(given(model), taken(model)) == ""


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (int, float), (str, int), (Decimal, Amount), (int, bool), (str, datetime), (int, datetime),
        (str | None, str), (str, str | None), (Literal["a", "b"], str), (list[int], tuple[float, ...]),
        (Any, Money), (Money, Any), (dict[str, Any], Money), (dict[str, int], dict[str, str]),
        (Pair, Pair), (Tree, Tree), (Money | str, Money), (int | None, datetime | None), (list[Any], list[Money]),
        (Strict, Pair), (Pair, Strict),
    ],
    ids=lambda of: getattr(of, "__name__", str(of)) if of is not Amount else "Amount",
)  # fmt: skip
def test_what_may_be_taken_is_left_alone(source: Any, target: Any) -> None:
    assert misfit(given(source), taken(target)) == ""


@pytest.mark.parametrize(
    ("source", "target", "why"),
    [
        (list[int], Money, "array, where object is expected"),
        (Money, int, "object, where integer is expected"),
        (int, str, "integer, where string is expected"),
        (bool | None, list[str], "boolean or null, where array is expected"),
        (Literal[1, 2], str, "integer, where string is expected"),
        (None, str, "null, where string is expected"),
        (list[int], list[Money], "in the list: integer, where object is expected"),
        (Strict, Money, "no field 'amount', which is required"),
        (Wide, Strict, "a field 'two', which is not taken"),
        (dict[Literal["one"], list[int]] | None, str, "null or object, where string is expected"),
    ],
    ids=lambda of: getattr(of, "__name__", str(of)) if of is not Amount else "Amount",
)
def test_what_cannot_be_taken_is_said_with_the_reason(source: Any, target: Any, why: str) -> None:
    assert misfit(given(source), taken(target)) == why


def test_what_is_inside_is_looked_at() -> None:
    class Source(BaseModel):
        pair: dict[str, Pair]
        amount: list[int]

    class Target(BaseModel):
        amount: Money

    assert misfit(given(Source), taken(Target)) == "amount: array, where object is expected"
    inner = given(Source).at(["pair", "any", "one"])
    assert inner.kinds() == frozenset({"integer"})
    assert given(Source).at(["nowhere", "at", "all"]).kinds() is None
