"""A definition is held against the contracts of its actions: all that cannot work is said, with its place."""

from typing import Any

import pytest

from contracts.checks import InvalidDefinition, check_contracts, contract_problems
from contracts.definition import SagaDefinition
from contracts.failure import InvalidContract
from contracts.pointers import Problem, child, find
from events.bus import Bus
from events.definitions import Definitions
from saga.topology import consumers_for
from services.payments.definitions import DEFINITIONS

FETCH = {"name": "fetch", "action": "integrations.http_request", "input": {"url": "https://x.example/"}}


def made(*steps: dict[str, Any], **fields: Any) -> SagaDefinition:
    return SagaDefinition.model_validate({"name": "test", "steps": steps, **fields})


def problems(*steps: dict[str, Any], **fields: Any) -> dict[str, str]:
    return {problem.pointer: problem.detail for problem in contract_problems(made(*steps, **fields))}


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda definition: definition.name)
def test_what_is_shipped_fits_its_contracts(definition: SagaDefinition) -> None:
    assert contract_problems(definition) == []


def test_all_that_cannot_work_is_said_at_once() -> None:
    found = problems(
        FETCH,
        {"name": "a", "action": "integrations.nothing", "after": ["fetch"]},
        {"name": "b", "action": "integrations.validation", "after": ["fetch"],
         "input": {"datas": 1, "rules": [{"name": "${steps.fetch.stauts}"}]}},
        {"name": "c", "action": "test.own", "after": ["fetch"], "when": "steps.fetch.nothing == 1",
         "input": {"x": ["${input.amount.amount}", "${input.amount.sum}"], "y": "${input.sender.name.first}"}},
        input_type="payments.PaymentRequest",
    )  # fmt: skip
    assert found.keys() == {
        "/steps/1/action",
        "/steps/2/input/datas", "/steps/2/input/data", "/steps/2/input/rules/0/name", "/steps/3/when",
        "/steps/3/input/x/1", "/steps/3/input/y",
    }  # fmt: skip
    assert "integrations.http_request" in found["/steps/1/action"]
    assert "takes no such field" in found["/steps/2/input/datas"]
    assert found["/steps/2/input/data"] == "Field required"
    assert "no field 'stauts', but: status" in found["/steps/2/input/rules/0/name"]
    assert "no field 'first' in a value of type string" in found["/steps/3/input/y"]


@pytest.mark.parametrize("reference", [
    "${steps.fetch.status}", "${steps.fetch.body.any.thing[3]}", "${steps.fetch.extracted.x.y}",
    "${steps.fetch.headers.etag}", "${steps.own.what.ever}", "${input.what.ever}",
])  # fmt: skip
def test_what_may_be_there_is_not_refused(reference: str) -> None:
    own = {"name": "own", "action": "test.own", "after": ["fetch"]}
    last = {"name": "last", "action": "test.own", "after": ["own"], "input": {"x": f"a {reference} b"}}
    assert problems(FETCH, own, last) == {}


@pytest.mark.parametrize("reference", [
    "${steps.fetch.status.x}", "${steps.fetch.headers.etag.x}", "${steps.fetch.headers[0]}", "${steps.fetch.x:-1}",
    "{{steps.fetch.x}}",
])  # fmt: skip
def test_what_cannot_be_there_is_refused_even_with_a_default(reference: str) -> None:
    last = {"name": "last", "action": "test.own", "after": ["fetch"], "input": {"x": {"y": reference}}}
    assert problems(FETCH, last).keys() == {"/steps/1/input/x/y"}


@pytest.mark.parametrize(("action", "input", "pointers"), [
    ("http_request", {"url": "${input.url}", "method": "FETCH", "headers": {"X-A": "${input.a}"}}, {"/method"}),
    ("http_request", {"url": "https://x/", "timeout_s": "${input.t}", "redirects": 9}, {"/redirects"}),
    ("http_request", {"url": "https://x/", "auth": {"kind": "bearer", "secret": "Not A Name"}}, {"/auth/secret"}),
    ("http_request", {"url": "https://x/", "undo": {"url": "https://x/$${output.extracted.id}"}}, set()),
    ("data_transform", {"data": "${input.x}", "operations": [{"op": "sort"}, {"op": "fold"}]},
     {"/operations/0/by", "/operations/1"}),
    ("data_transform", {"data": 1, "operations": [{"op": "group", "by": "${input.by}", "surprise": 1}]}, set()),
    ("data_transform", {"data": "${input.x}", "operations": [{"op": "group", "by": "x", "surprise": 1}]},
     {"/operations/0/surprise"}),
    ("conditional", {"data": 1, "branches": [{"name": "a", "when": {"field": "${input.f}", "is": "gt"}}]}, set()),
    ("conditional", {"data": "${input.d}", "branches": "${input.branches}"}, set()),
    ("webhook_call", {"url": "{{hook}}", "type": "a.b", "data": {"x": "{{y}}"}, "secrets": []}, {"/secrets"}),
])  # fmt: skip
def test_what_an_action_would_refuse_in_any_case_is_refused_before(
    action: str, input: dict[str, Any], pointers: set[str]
) -> None:
    found = problems({"name": "a", "action": f"integrations.{action}", "input": input})
    assert found.keys() == {f"/steps/0/input{pointer}" for pointer in pointers}


def test_an_input_type_must_exist() -> None:
    assert problems(FETCH, input_type="payments.Nothing").keys() == {"/input_type"}
    assert problems(FETCH, input_type="nowhere.Nothing").keys() == {"/input_type"}


async def test_what_cannot_work_is_not_published(bus: Bus, definitions: Definitions) -> None:
    wrong = made(FETCH | {"input": {"uri": "https://x.example/"}})
    with pytest.raises(InvalidDefinition) as caught:
        await definitions.publish(wrong, consumers_for)
    assert [problem["pointer"] for problem in caught.value.problems] == [
        "/steps/0/input/url",
        "/steps/0/input/uri",
    ]
    assert await definitions.fetch(wrong.ref) is None
    check_contracts(made(FETCH))


def test_pointers_are_escaped_and_found() -> None:
    pointer = child(child("", "a/b~c"), 1)
    assert pointer == "/a~1b~0c/1"
    assert find({"a/b~c": [0, "x"]}, pointer) == "x"
    assert find({"": 1}, "/") == 1
    assert find(5, "") == 5
    assert str(Problem(pointer, "wrong")) == "/a~1b~0c/1: wrong"
    for wrong in ("a", "/b", "/a~1b~0c/-1", "/a~1b~0c/2", "/a~1b~0c/1/x"):
        with pytest.raises(InvalidContract):
            find({"a/b~c": [0, "x"]}, wrong)
