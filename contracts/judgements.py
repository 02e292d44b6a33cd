"""Conditions, choices between branches, and checks of data, as steps of workflows describe them."""

from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, JsonValue, model_validator

from contracts.generic import Contract, Expression, Name, Pointer


class Comparison(Contract):
    """`field` (a JSON pointer into the data) compared with `value`."""

    field: Pointer
    is_: Literal["eq", "ne", "lt", "le", "gt", "ge", "in", "contains", "starts_with", "ends_with", "matches",
                 "exists", "missing"] = Field(alias="is")  # fmt: skip
    value: JsonValue = None


class AllOf(Contract):
    all: tuple["Condition", ...] = Field(min_length=1, max_length=50)


class AnyOf(Contract):
    any: tuple["Condition", ...] = Field(min_length=1, max_length=50)


class Not(Contract):
    not_: "Condition" = Field(alias="not")


Condition = Expression | Comparison | AllOf | AnyOf | Not
"""CEL over `data`, or a tree of comparisons"""


class Branch(Contract):
    name: Name
    when: Condition


class ChooseBranch(Contract):
    """The first branch whose condition holds; `otherwise` if there is none."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "data": {"amount": 900, "country": "CH"},
                    "branches": [
                        {"name": "manual", "when": {"field": "/amount", "is": "gt", "value": 1000}},
                        {"name": "local", "when": "data.country in ['CH', 'LI']"},
                    ],
                    "otherwise": "standard",
                }
            ]
        }
    )

    data: JsonValue
    branches: tuple[Branch, ...] = Field(min_length=1, max_length=50)
    otherwise: Name | None = None


class BranchChosen(Contract):
    """`when: 'steps.<name>.branch == "..."'` makes a later step part of a branch."""

    branch: str


class Check(Contract):
    """A rule: a condition over `data` that must hold, or `message` is said of what `pointer` points to."""

    name: Name
    holds: Condition
    message: str = Field(min_length=1, max_length=500)
    pointer: Pointer = ""


class Validate(Contract):
    """Check data by a JSON Schema and rules; every error is found. `report` lets the saga go on."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "data": {"age": 17, "email": "a@example.com"},
                    "schema": {"type": "object", "required": ["name"]},
                    "rules": [{"name": "adult", "holds": "data.age >= 18", "message": "too young",
                               "pointer": "/age"}],
                    "on_invalid": "report",
                }
            ]
        }
    )  # fmt: skip

    data: JsonValue
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    rules: tuple[Check, ...] = Field(default=(), max_length=100)
    on_invalid: Literal["fail", "report"] = "fail"

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.schema_ is None and not self.rules:
            raise ValueError("nothing to validate by: expected schema, rules or both")
        return self


class DataError(Contract):
    pointer: str
    code: str = Field(description="the keyword of the schema, or the name of the rule")
    message: str


class Validated(Contract):
    """`errors` has at most 100; `total` says how many there are."""

    valid: bool
    errors: tuple[DataError, ...] = ()
    total: int = 0
