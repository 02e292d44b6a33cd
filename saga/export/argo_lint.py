"""What is wrong with an Argo manifest, as far as can be told without Argo: fields that Argo does not know, and names
that lead nowhere. hera's models accept unknown fields silently, so what they lose is looked for.
"""

import json
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from typing import Any

from hera.workflows import models
from pydantic import ValidationError

from contracts.facts import explain

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_REFERENCE = re.compile(r"\{\{([^{}]*)\}\}")
_GLOBALS = {"workflow.uid", "workflow.name", "workflow.status"}


def lint(manifest: dict[str, Any]) -> list[str]:
    """All that is wrong, each with its JSON pointer; empty for a sound manifest."""
    try:
        workflow = models.Workflow.model_validate(manifest)
    except ValidationError as error:
        return [f"/: {explain(error)}"]
    kept = json.loads(workflow.model_dump_json(by_alias=True, exclude_none=True))
    problems = [f"{pointer}: Argo knows no such field" for pointer in _lost(manifest, kept, "")]
    return problems + list(_names(manifest["spec"]))


def _lost(given: Any, kept: Any, pointer: str) -> Iterator[str]:
    if isinstance(given, dict) and isinstance(kept, dict):
        for key, value in given.items():
            if key not in kept:
                yield f"{pointer}/{key}"
            else:
                yield from _lost(value, kept[key], f"{pointer}/{key}")
    elif isinstance(given, list) and isinstance(kept, list):
        for index, value in enumerate(given):
            yield from _lost(value, kept[index], f"{pointer}/{index}")


def _names(spec: dict[str, Any]) -> Iterator[str]:
    templates = {template["name"]: template for template in spec.get("templates", [])}
    if len(templates) < len(spec.get("templates", [])):
        yield "/spec/templates: two templates have the same name"
    for field in ("entrypoint", "onExit"):
        if field in spec and spec[field] not in templates:
            yield f"/spec/{field}: no template {spec[field]!r}"
    given = {f"workflow.parameters.{one['name']}" for one in spec.get("arguments", {}).get("parameters", [])}
    for index, template in enumerate(spec.get("templates", [])):
        at = f"/spec/templates/{index}"
        if not _LABEL.fullmatch(template["name"]):
            yield f"{at}/name: {template['name']!r} is no DNS-1123 label"
        known = given | _GLOBALS
        known |= {f"inputs.parameters.{one['name']}" for one in _parameters(template, "inputs")}
        if "dag" in template:
            yield from _dag(template["dag"]["tasks"], templates, known, f"{at}/dag/tasks")
        else:
            yield from _unknown(template.get("container", {}), known, f"{at}/container")


def _dag(tasks: list[dict[str, Any]], templates: dict[str, Any], known: set[str], at: str) -> Iterator[str]:
    by_name = {task["name"]: task for task in tasks}
    if len(by_name) < len(tasks):
        yield f"{at}: two tasks have the same name"
    before = {task["name"]: [*task.get("dependencies", [])] for task in tasks}
    for index, task in enumerate(tasks):
        place = f"{at}/{index}"
        if not _LABEL.fullmatch(task["name"]):
            yield f"{place}/name: {task['name']!r} is no DNS-1123 label"
        called = templates.get(task.get("template", ""))
        if called is None:
            yield f"{place}/template: no template {task.get('template')!r}"
        for other in before[task["name"]]:
            if other not in by_name:
                yield f"{place}/dependencies: no task {other!r}"
        wanted = {one["name"] for one in _parameters(called or {}, "inputs")}
        told = {one["name"] for one in task.get("arguments", {}).get("parameters", [])}
        for name in sorted(wanted ^ told):
            yield f"{place}/arguments: {name!r} is {'missing' if name in wanted else 'no input of the template'}"
        here = known | {
            f"tasks.{other}.outputs.parameters.{one['name']}"
            for other in _all_before(task["name"], before)
            for one in _parameters(templates.get(by_name.get(other, {}).get("template", ""), {}), "outputs")
        }
        if "withParam" in task:
            here |= {"item", "item.saga", "item.definition"}
        yield from _unknown(task, here, place)
    try:
        TopologicalSorter(before).prepare()
    except CycleError as error:
        yield f"{at}: tasks wait for each other in a circle: {' -> '.join(error.args[1])}"


def _all_before(task: str, before: dict[str, list[str]]) -> set[str]:
    found: set[str] = set()
    left = list(before.get(task, []))
    while left:
        if (name := left.pop()) not in found:
            found.add(name)
            left += before.get(name, [])
    return found


def _parameters(template: dict[str, Any], which: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = template.get(which, {}).get("parameters", [])
    return found


def _unknown(value: Any, known: set[str], at: str) -> Iterator[str]:
    """References to what is not there."""
    match value:
        case str():
            for reference in _REFERENCE.findall(value):
                if reference.strip() not in known:
                    yield f"{at}: nothing is known as {{{{{reference}}}}}"
        case dict():
            for key, item in value.items():
                yield from _unknown(item, known, f"{at}/{key}")
        case list():
            for index, item in enumerate(value):
                yield from _unknown(item, known, f"{at}/{index}")
