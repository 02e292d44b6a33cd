"""Facts in a file: JSON lines, each a definition or a fact with its place in the stream.

    {"definition": {"name": "payment-standard", ...}}
    {"sequence": 7, "fact": {"specversion": "1.0", ...}}

Whatever else a line says is passed over, so the lines of `saga tail` and of `saga events -o jsonl` are read,
too. Lines may come in any order.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from contracts.definition import SagaDefinition
from contracts.facts import STARTED_KEY, Fact, Recorded, explain
from contracts.failure import InvalidContract, NotFound


@dataclass(slots=True)
class Recording:
    """What was read: definitions by `name@version`, and the facts of every saga in stream order."""

    definitions: dict[str, SagaDefinition] = field(default_factory=dict)
    sagas: dict[str, list[Recorded]] = field(default_factory=dict)

    def facts(self, saga_id: str | None) -> list[Recorded]:
        """One saga's facts; without an id, those of the only one there is. Raises NotFound, InvalidContract."""
        if saga_id is None:
            if len(self.sagas) != 1:
                raise InvalidContract(f"{len(self.sagas)} sagas are recorded: say which one")
            return next(iter(self.sagas.values()))
        if saga_id not in self.sagas:
            raise NotFound(f"no saga {saga_id} among the {len(self.sagas)} that are recorded")
        return self.sagas[saga_id]


def read_recording(lines: Iterable[str]) -> Recording:
    """All that the lines say. Raises InvalidContract with the number of the line that is wrong."""
    found = Recording()
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                _read_line(found, line)
            except ValidationError as error:
                raise InvalidContract(f"line {number}: {explain(error)}") from error
            except ValueError as error:
                raise InvalidContract(f"line {number}: {error}") from error
    for facts in found.sagas.values():
        facts.sort(key=lambda recorded: recorded.sequence)
    return found


def _read_line(found: Recording, line: str) -> None:
    content: Any = json.loads(line)
    match content:
        case {"definition": dict() as definition}:
            learned = SagaDefinition.model_validate(definition)
            found.definitions[learned.ref] = learned
        case {"sequence": int() as sequence, "fact": dict() as envelope}:
            fact = Fact.model_validate_json(json.dumps(envelope))
            found.sagas.setdefault(fact.sagaid, []).append(Recorded(sequence, fact))
        case _:
            raise InvalidContract('expected {"definition": {...}} or {"sequence": 1, "fact": {...}}')


def require_pinned(definition: SagaDefinition, facts: Iterable[Recorded]) -> None:
    """Raises InvalidContract if the saga was started with another content of this definition."""
    for recorded in facts:
        fact = recorded.fact
        if fact.definition != definition.ref:
            raise InvalidContract(f"saga {fact.sagaid} is of {fact.definition}, and this is {definition.ref}")
        pinned = fact.data.get("definition_hash") if fact.key == STARTED_KEY else None
        if pinned and pinned != definition.content_hash:
            raise InvalidContract(
                f"saga {fact.sagaid} started with another content of {definition.ref} than the one given"
            )
