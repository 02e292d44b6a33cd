"""JSON Schemas of every contract, for services in other languages, and the check that promises are kept.

A change is compatible if every message that was valid stays valid, and every field that was promised is
still there. Whoever must break a contract gives it a new name.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from contracts.actions import DOMAINS, domain_actions
from contracts.breakers import BreakerConfig, BreakerEvent
from contracts.chargebacks import ChargebackDocument, Decision
from contracts.definition import SagaDefinition
from contracts.directives import Directives
from contracts.events import EventMessage
from contracts.facts import SAGA_DATA, STEP_DATA, Fact
from contracts.offers import Offer
from contracts.payments import PaymentRequest
from contracts.phases import PHASES
from contracts.policies import Policies
from contracts.sessions import SessionRecord
from contracts.trail import TrailBlock

# What no action takes or states: inputs of sagas, and the payload of a signal.
_INPUTS: dict[str, tuple[type[BaseModel], ...]] = {
    "payments": (PaymentRequest,),
    "chargebacks": (ChargebackDocument, Decision),
    "claims": tuple(phase.entry for phase in PHASES.values()),
}


def contracts() -> dict[str, type[BaseModel]]:
    """Every contract by the name of its schema file."""
    named: dict[str, type[BaseModel]] = {
        "Fact": Fact,
        "EventMessage": EventMessage,
        "SagaDefinition": SagaDefinition,
        "BreakerConfig": BreakerConfig,
        "BreakerEvent": BreakerEvent,
        "Directives": Directives,
        "Offer": Offer,
        "Policies": Policies,
        "SessionRecord": SessionRecord,
        "TrailBlock": TrailBlock,
    }
    for prefix, data in (("saga", SAGA_DATA), ("step", STEP_DATA)):
        named |= {f"data.{prefix}.{kind}": model for kind, model in data.items()}
    for domain in DOMAINS:
        for action in domain_actions(domain):
            given = (action.input, action.output, *action.emits)
            named |= {f"{domain}.{model.__name__}": model for model in given}
    for domain, models in _INPUTS.items():
        named |= {f"{domain}.{model.__name__}": model for model in models}
    return named


def schema(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a contract."""
    return model.model_json_schema()


def export(folder: Path) -> list[Path]:
    """Write all schemas into a folder; the paths written."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, model in sorted(contracts().items()):
        path = folder / f"{name}.json"
        path.write_text(json.dumps(schema(model), indent=2, sort_keys=True) + "\n")
        written.append(path)
    return written


def incompatibilities(folder: Path) -> list[str]:
    """How the contracts of now break those exported into a folder."""
    now = contracts()
    problems = []
    for path in sorted(folder.glob("*.json")):
        name = path.name.removesuffix(".json")
        promised = json.loads(path.read_text())
        if name not in now:
            problems.append(f"{name}: the contract is gone")
        else:
            problems += [f"{name}{problem}" for problem in compare(promised, schema(now[name]))]
    return problems


def compare(promised: dict[str, Any], present: dict[str, Any]) -> list[str]:
    """How one schema breaks another, as JSON pointers and reasons."""
    return list(_compare(promised, present, promised, present, "", frozenset()))


def _compare(
    old: Any, new: Any, old_root: dict[str, Any], new_root: dict[str, Any], at: str, seen: frozenset[str]
) -> Iterator[str]:
    old, new = _resolved(old, old_root), _resolved(new, new_root)
    if not isinstance(old, dict) or not isinstance(new, dict):
        if old != new:
            yield f"{at}: was {old}, is {new}"
        return
    mark = f"{at}:{id(old)}"
    if mark in seen or len(seen) > 64:
        return
    seen |= {mark}
    for field in old.get("properties", {}).keys() - new.get("properties", {}).keys():
        yield f"{at}/{field}: the field is gone"
    for field in set(new.get("required", [])) - set(old.get("required", [])):
        yield f"{at}/{field}: has become required"
    if old.get("type") != new.get("type"):
        yield f"{at}: type was {old.get('type')}, is {new.get('type')}"
    if gone := _values(old) - _values(new if "enum" in new else old):
        yield f"{at}: values are gone: {', '.join(sorted(gone))}"
    if "enum" not in old and "enum" in new:
        yield f"{at}: values have been restricted"
    yield from _narrowed(old, new, at)
    for field in old.get("properties", {}).keys() & new.get("properties", {}).keys():
        yield from _compare(
            old["properties"][field], new["properties"][field], old_root, new_root, f"{at}/{field}", seen
        )
    if "items" in old and "items" in new:
        yield from _compare(old["items"], new["items"], old_root, new_root, f"{at}/items", seen)


_UPPER_LIMITS = ("maxLength", "maximum", "maxItems")
_LOWER_LIMITS = ("minLength", "minimum", "minItems")


def _narrowed(old: dict[str, Any], new: dict[str, Any], at: str) -> Iterator[str]:
    for limit in _UPPER_LIMITS:
        if limit in new and new[limit] < old.get(limit, float("inf")):
            yield f"{at}: {limit} has become {new[limit]}"
    for limit in _LOWER_LIMITS:
        if limit in new and new[limit] > old.get(limit, 0):
            yield f"{at}: {limit} has become {new[limit]}"
    if "pattern" in new and new["pattern"] != old.get("pattern"):
        yield f"{at}: pattern has become {new['pattern']}"


def _values(schema: dict[str, Any]) -> set[str]:
    return {str(value) for value in schema.get("enum", [])}


def _resolved(schema: Any, root: dict[str, Any]) -> Any:
    while isinstance(schema, dict) and "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rsplit("/", 1)[1]]
    return schema
