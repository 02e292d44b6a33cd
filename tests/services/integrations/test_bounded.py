"""The steps that evaluate: what they state, and that no expression takes time or memory from others."""

import resource
from typing import Any

import pytest

from contracts.failure import Conflict, NotFound
from contracts.ids import new_saga_id
from contracts.integrations import ChooseBranch, RuleReference, TransformationRule, TransformData, Validate
from saga.action import Refused
from saga.execution import Failed
from services.integrations.bounded import Bounded
from services.integrations.rules import find_rule, store_rule
from services.integrations.steps.conditional import conditional
from services.integrations.steps.data_transform import data_transform
from services.integrations.steps.validation import validation
from tests.services.steps import Steps

DOUBLING = {"op": "calculate", "fields": {"x": "item.x + item.x + item.x + item.x"}}


async def test_a_branch_is_chosen_in_order(steps: Steps) -> None:
    told: dict[str, Any] = {"data": {"n": 5}, "branches": [{"name": "a", "when": "data.n > 9"},
                                                          {"name": "b", "when": "data.n > 1"},
                                                          {"name": "c", "when": "true"}]}  # fmt: skip
    assert (await steps.done(conditional, ChooseBranch.model_validate(told), new_saga_id())).branch == "b"
    none = ChooseBranch.model_validate({"data": {"n": 5}, "branches": told["branches"][:1]})
    assert await steps.refused(conditional, none, new_saga_id()) == "conditional.none"
    otherwise = none.model_copy(update={"otherwise": "d"})
    assert (await steps.done(conditional, otherwise, new_saga_id())).branch == "d"


async def test_every_error_in_the_data_is_found(steps: Steps) -> None:
    told: dict[str, Any] = {
        "data": {"age": 17, "mail": "x", "tags": ["a", 1]},
        "schema": {"type": "object", "required": ["name"], "properties": {
            "mail": {"type": "string", "format": "email"}, "tags": {"items": {"type": "string"}}}},
        "rules": [{"name": "adult", "holds": "data.age >= 18", "message": "too young", "pointer": "/age"},
                  {"name": "known", "holds": "data.nobody == 1", "message": "not known"},
                  {"name": "fine", "holds": {"field": "/age", "is": "gt", "value": 1}, "message": "no"}],
    }  # fmt: skip
    report = await steps.done(
        validation, Validate.model_validate(told | {"on_invalid": "report"}), new_saga_id()
    )
    assert not report.valid
    assert {(error.pointer, error.code) for error in report.errors} == {
        ("", "required"), ("/mail", "format"), ("/tags/1", "type"), ("/age", "adult"), ("", "known"),
    }  # fmt: skip
    end = await steps.do(validation, Validate.model_validate(told), new_saga_id())
    assert isinstance(end, Failed)
    assert (end.failure.code, end.failure.effect, end.failure.details["total"]) == (
        "validation.failed",
        "none",
        5,
    )


async def test_errors_are_counted_beyond_those_that_are_told(steps: Steps) -> None:
    told = {"data": ["x"] * 500, "schema": {"items": {"type": "integer"}}, "on_invalid": "report"}
    report = await steps.done(validation, Validate.model_validate(told), new_saga_id())
    assert (len(report.errors), report.total) == (100, 500)


@pytest.mark.parametrize("schema", [
    {"type": "nonsense"}, {"$ref": "https://x.example/schema"}, {"$ref": "#/$defs/none"}, {"pattern": "("},
])  # fmt: skip
async def test_a_schema_that_is_wrong_itself_is_refused(steps: Steps, schema: dict[str, Any]) -> None:
    command = Validate.model_validate({"data": "x", "schema": schema})
    assert await steps.refused(validation, command, new_saga_id()) == "expression.invalid"


def rule(version: str, by: str) -> TransformationRule:
    return TransformationRule.model_validate(
        {"name": "cheapest", "version": version, "operations": [{"op": "sort", "by": [by]}]}
    )


async def test_rules_are_stored_by_name_and_version(steps: Steps) -> None:
    database = await steps.database(data_transform)
    async with database.transaction() as session:
        for version, by in (("1", "price"), ("2", "-price")):
            await store_rule(session, rule(version, by), steps.now())
        await store_rule(session, rule("1", "price"), steps.now())
        with pytest.raises(Conflict):
            await store_rule(session, rule("1", "-price"), steps.now())
        with pytest.raises(NotFound):
            await find_rule(session, RuleReference(name="cheapest", version="9"))
    data = [{"price": 2}, {"price": 1}]
    by_version = TransformData.model_validate({"data": data, "rule": {"name": "cheapest", "version": "1"}})
    output = await steps.done(data_transform, by_version, new_saga_id())
    assert (output.result, output.rule) == ([{"price": 1}, {"price": 2}], "cheapest@1")
    latest = TransformData.model_validate({"data": data, "rule": {"name": "cheapest"}})
    assert (await steps.done(data_transform, latest, new_saga_id())).rule == "cheapest@2"
    unknown = TransformData.model_validate({"data": data, "rule": {"name": "dearest"}})
    assert await steps.refused(data_transform, unknown, new_saga_id()) == "transform.no_rule"


async def test_a_result_that_is_too_large_is_refused(steps: Steps) -> None:
    command = TransformData.model_validate({"data": {"x": "y" * 10_000}, "operations": [DOUBLING] * 3})
    assert await steps.refused(data_transform, command, new_saga_id()) == "expression.invalid"


async def test_what_takes_too_much_memory_is_stopped_and_the_next_call_works(steps: Steps) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    greedy = TransformData.model_validate({"data": {"x": "y" * 10_000}, "operations": [DOUBLING] * 12})
    assert await steps.refused(data_transform, greedy, new_saga_id()) == "expression.exhausted"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000
    modest = TransformData.model_validate({"data": {"x": "y"}, "operations": [DOUBLING]})
    assert (await steps.done(data_transform, modest, new_saga_id())).result == {"x": "yyyy"}


async def test_what_takes_too_long_is_stopped() -> None:
    bounded = Bounded(timeout_s=0.3)
    pairs = {"op": "filter", "where": "data.map(x, data.exists(y, y == -1)).size() > 0"}
    try:
        with pytest.raises(Refused, match="longer than") as caught:
            await bounded.call("transform", data=list(range(90)), operations=[pairs] * 50)
        assert caught.value.failure.code == "expression.exhausted"
        modest = await bounded.call("transform", data=[1], operations=[{"op": "map", "to": "item + 1"}])
        assert modest == [2]
    finally:
        await bounded.close()


async def test_an_expression_has_a_budget_of_iterations() -> None:
    bounded = Bounded()
    nested = {"op": "map", "to": "data.map(a, data.map(b, data.map(c, 1)))"}
    try:
        with pytest.raises(Refused, match="budget"):
            await bounded.call("transform", data=list(range(100)), operations=[nested])
        with pytest.raises(Refused, match="code 0"):
            await bounded.call("transform", data={"a\0": 1}, operations=[nested])
    finally:
        await bounded.close()
