"""Contracts keep their promises: the exported schemas are compared with the contracts of now."""

import json
from pathlib import Path
from typing import Any

import pytest

from contracts.schemas import compare, contracts, export, incompatibilities

SCHEMAS = Path(__file__).parents[2] / "contracts" / "schemas_exported"


def test_no_contract_breaks_its_exported_schema() -> None:
    assert incompatibilities(SCHEMAS) == []


def test_every_contract_is_exported() -> None:
    assert {path.name.removesuffix(".json") for path in SCHEMAS.glob("*.json")} == set(contracts())


def test_export_is_stable(tmp_path: Path) -> None:
    written = export(tmp_path)
    assert {path.name: path.read_text() for path in written} == {
        path.name: path.read_text() for path in SCHEMAS.glob("*.json")
    }


def test_a_contract_that_is_gone_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "payments.Gone.json").write_text(json.dumps({"type": "object"}))
    assert incompatibilities(tmp_path) == ["payments.Gone: the contract is gone"]


OLD: dict[str, Any] = {
    "type": "object",
    "properties": {"a": {"type": "string", "maxLength": 9}, "b": {"$ref": "#/$defs/B"}},
    "required": ["a"],
    "$defs": {"B": {"enum": ["x", "y"]}},
}


def changed(**changes: Any) -> dict[str, Any]:
    return {**OLD, **changes}


@pytest.mark.parametrize(
    ("new", "problem"),
    [
        (changed(properties={"b": OLD["properties"]["b"]}), "/a: the field is gone"),
        (changed(required=["a", "b"]), "/b: has become required"),
        (
            changed(properties={**OLD["properties"], "a": {"type": "integer"}}),
            "/a: type was string, is integer",
        ),
        (
            changed(properties={**OLD["properties"], "a": {"type": "string", "maxLength": 3}}),
            "/a: maxLength has become 3",
        ),
        (changed(**{"$defs": {"B": {"enum": ["x"]}}}), "/b: values are gone: y"),
    ],
)
def test_breaking_changes_are_named_with_their_place(new: dict[str, Any], problem: str) -> None:
    assert problem in compare(OLD, new)


def test_a_new_optional_field_breaks_nothing() -> None:
    assert compare(OLD, changed(properties={**OLD["properties"], "c": {"type": "string"}})) == []
