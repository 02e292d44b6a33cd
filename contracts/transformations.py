"""Operations on data, and chains of them, as steps of workflows describe them."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, JsonValue, model_validator

from contracts.generic import Contract, Expression, Name, Version


class MapItems(Contract):
    """Every item becomes what the expression over `item` (and `data`) yields."""

    op: Literal["map"]
    to: Expression


class RenameFields(Contract):
    """Old name to new name, of an object or of every object of a list."""

    op: Literal["rename"]
    fields: dict[str, str] = Field(min_length=1, max_length=100)


class CalculateFields(Contract):
    """New fields by expressions over `item`: of an object or of every object of a list."""

    op: Literal["calculate"]
    fields: dict[str, Expression] = Field(min_length=1, max_length=100)


class FormatFields(Contract):
    """New text fields with `${item.x}` inside (in a definition: `$${item.x}`)."""

    op: Literal["format"]
    fields: dict[str, str] = Field(min_length=1, max_length=100)


class MergeWith(Contract):
    """Objects field by field (what is given wins), lists one after the other."""

    op: Literal["merge"]
    given: JsonValue = Field(alias="with")


class FilterItems(Contract):
    """Keep the items for which the expression over `item` holds."""

    op: Literal["filter"]
    where: Expression


class SortItems(Contract):
    """By fields, in order; a `-` before a field is descending. Missing and null come last."""

    op: Literal["sort"]
    by: tuple[str, ...] = Field(min_length=1, max_length=10)


class Aggregate(Contract):
    of: Literal["count", "sum", "min", "max", "average"]
    field: str = ""


class GroupItems(Contract):
    """A list of `{<by>: value, "items": [...]}` in order of appearance, with aggregates for each group."""

    op: Literal["group"]
    by: str
    aggregates: dict[Name, Aggregate] = Field(default_factory=dict, max_length=20)
    keep_items: bool = True


Operation = Annotated[
    MapItems
    | RenameFields
    | CalculateFields
    | FormatFields
    | MergeWith
    | FilterItems
    | SortItems
    | GroupItems,
    Field(discriminator="op"),
]


class RuleReference(Contract):
    """A stored transformation rule; without a version the one that was stored last."""

    name: Name
    version: Version | None = None


class TransformationRule(Contract):
    """A reusable chain of operations, immutable per version."""

    name: Name
    version: Version = "1"
    description: str = Field(default="", max_length=500)
    operations: tuple[Operation, ...] = Field(min_length=1, max_length=50)


class TransformData(Contract):
    """Put data through operations, one after the other: those of a stored rule, or those given."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "data": [{"carrier": "a", "price": 90}, {"carrier": "b", "price": 40}],
                    "operations": [{"op": "sort", "by": ["price"]}],
                }
            ]
        }
    )

    data: JsonValue
    rule: RuleReference | None = None
    operations: tuple[Operation, ...] = Field(default=(), max_length=50)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.rule is None) == (not self.operations):
            raise ValueError("expected either rule or operations")
        return self


class DataTransformed(Contract):
    """`rule` is the stored rule that was used, as `name@version`."""

    result: JsonValue
    rule: str | None = None
