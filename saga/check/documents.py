"""Documents to be checked: definitions, workflows and triggers in JSON or YAML, with the lines of their parts."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from contracts.checks import InvalidDefinition
from contracts.definition import Flawed, SagaDefinition
from contracts.failure import InvalidContract, NotFound
from contracts.pointers import place
from contracts.triggers import InvalidTrigger, Trigger, parse_trigger
from contracts.workflows import compile_workflow, parse_workflow
from saga.check.findings import Finding, Placed
from saga.workflows.text import Form, InvalidText, read_one

_SUFFIXES = (".json", ".yaml", ".yml")


@dataclass(slots=True)
class Lines:
    """Where the parts of a text stand, by JSON pointer."""

    root: yaml.Node | None = None

    def of(self, pointer: str) -> int:
        """The line of what a pointer points to, or of the nearest thing around it; 0 without a text."""
        node = self.root
        line = node.start_mark.line + 1 if node is not None else 0
        for part in pointer.split("/")[1:]:
            node = _inner(node, part.replace("~1", "/").replace("~0", "~"))
            if node is None:
                return line
            line = node.start_mark.line + 1
        return line


def _inner(node: yaml.Node | None, part: str) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == part), None)
    if isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
        found: yaml.Node = node.value[int(part)]
        return found
    return None


@dataclass(slots=True)
class Documents:
    """What was read: definitions (those of workflows, too) and triggers with their files, and what was wrong."""

    definitions: list[Placed[SagaDefinition]] = field(default_factory=list)
    triggers: list[Placed[Trigger]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    lines: dict[str, Lines] = field(default_factory=dict)


def read_documents(paths: Sequence[Path]) -> Documents:
    """Everything in these files, and in the JSON and YAML files of these folders. Raises NotFound."""
    found = Documents()
    for path in paths:
        if not path.exists():
            raise NotFound(f"{path}: no such file or folder")
        for file in _files(path):
            _read(found, file)
    return found


def _files(path: Path) -> Iterable[Path]:
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.suffix in _SUFFIXES and file.is_file())
    return [path]


def _read(found: Documents, file: Path) -> None:
    name = str(file)
    try:
        text = file.read_text()
        found.lines[name] = Lines(yaml.compose(text, Loader=yaml.SafeLoader))
        document = read_one(text.encode(), Form.YAML)
    except (yaml.YAMLError, InvalidText, UnicodeDecodeError) as error:
        found.findings.append(Finding("document.invalid", name, "", f"neither JSON nor YAML: {error}"))
        return
    try:
        match document:
            case {"kind": str(), "workflow": _}:
                found.triggers.append(Placed(parse_trigger(document), name))
            case {"steps": list() as steps} if any(isinstance(one, dict) and "type" in one for one in steps):
                compiled = compile_workflow(parse_workflow(document), "1")
                found.definitions += [Placed(one, name) for one in (*compiled.children, compiled.definition)]
            case {"steps": _}:
                found.definitions.append(Placed(SagaDefinition.model_validate(document), name))
            case _:
                raise InvalidContract("it has no steps, and is no trigger with its kind and workflow")
    except (InvalidDefinition, InvalidTrigger) as error:
        found.findings += [
            Finding("document.invalid", name, one["pointer"], one["detail"]) for one in error.problems
        ]
    except ValidationError as error:
        found.findings += [Finding("document.invalid", name, *one) for one in _flaws(document, error)]
    except InvalidContract as error:
        found.findings.append(Finding("document.invalid", name, "", str(error)))


def _flaws(document: Any, error: ValidationError) -> Iterator[tuple[str, str]]:
    for problem in error.errors(include_url=False):
        cause = problem.get("ctx", {}).get("error")
        if isinstance(cause, Flawed):
            yield from ((one.pointer, one.detail) for one in cause.problems)
        else:
            yield place(document, problem["loc"], keep_last=problem["type"] == "missing"), problem["msg"]
