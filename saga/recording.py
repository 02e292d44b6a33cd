"""Facts in a file: JSON lines, each a definition or a fact with its place in the stream.

    {"recording": {"format": 1, "made_at": "2026-01-31T12:00:00Z", "contracts": "9f2c...", "redacted": true}}
    {"definition": {"name": "payment-standard", ...}}
    {"sequence": 7, "partition": 0, "stored_at": "...", "fact": {"specversion": "1.0", ...}}
    {"sequence": 8, "partition": 0, "stored_at": "...", "subject": "evt.0...", "payload": "bm8gZmFjdA=="}

`contracts` is a hash of the schemas of all facts. A message that is no fact is kept as `payload`, in base64, and
passed over when facts are read. Whatever else a line says is passed over, too, so the lines of `saga tail` and of
`saga events -o jsonl` are read. Lines may come in any order.
"""

import base64
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ValidationError

from contracts.definition import SagaDefinition
from contracts.facts import SAGA_DATA, STARTED_KEY, STEP_DATA, Fact, Recorded, explain
from contracts.failure import InvalidContract, NotFound
from events.read import StreamMessage
from saga.hooks.redaction import Redactor

FORMAT = 1


@dataclass(slots=True)
class Recording:
    """What was read: definitions by `name@version`, and the facts of every saga in stream order. `header` is
    empty if there was none; `undecodable` counts the messages that are no facts."""

    header: dict[str, Any] = field(default_factory=dict)
    definitions: dict[str, SagaDefinition] = field(default_factory=dict)
    sagas: dict[str, list[Recorded]] = field(default_factory=dict)
    undecodable: int = 0

    def facts(self, saga_id: str | None) -> list[Recorded]:
        """One saga's facts; without an id, those of the only one there is. Raises NotFound, InvalidContract."""
        if saga_id is None:
            if len(self.sagas) != 1:
                raise InvalidContract(f"{len(self.sagas)} sagas are recorded: say which one")
            return next(iter(self.sagas.values()))
        if saga_id not in self.sagas:
            raise NotFound(f"no saga {saga_id} among the {len(self.sagas)} that are recorded")
        return self.sagas[saga_id]


def read_recording(lines: Iterable[str], only: str | None = None) -> Recording:
    """All that the lines say, or (`only`) of one saga.

    Raises InvalidContract with the number of the line that is wrong, or if the format is a later one.
    """
    found = Recording()
    for number, line in enumerate(lines, 1):
        if not line.strip() or (only is not None and '"fact"' in line and only not in line):
            continue
        try:
            _read_line(found, line, only)
        except ValidationError as error:
            raise InvalidContract(f"line {number}: {explain(error)}") from error
        except ValueError as error:
            raise InvalidContract(f"line {number}: {error}") from error
    for facts in found.sagas.values():
        facts.sort(key=lambda recorded: recorded.sequence)
    return found


def _read_line(found: Recording, line: str, only: str | None) -> None:
    content: Any = json.loads(line)
    match content:
        case {"definition": dict() as definition}:
            learned = SagaDefinition.model_validate(definition)
            found.definitions[learned.ref] = learned
        case {"sequence": int() as sequence, "fact": dict() as envelope}:
            fact = Fact.model_validate_json(json.dumps(envelope))
            if only in (None, fact.sagaid):
                found.sagas.setdefault(fact.sagaid, []).append(Recorded(sequence, fact))
        case {"sequence": int(), "payload": str()}:
            found.undecodable += 1
        case {"recording": {"format": int() as version}} if version <= FORMAT:
            found.header = content["recording"]
        case {"recording": dict() as header}:
            raise InvalidContract(
                f"a recording of format {header.get('format')}: only {FORMAT} is known here"
            )
        case _:
            raise InvalidContract('expected {"definition": {...}} or {"sequence": 1, "fact": {...}}')


def header_line(made_at: datetime, redact: Redactor | None) -> str:
    """The first line of a recording."""
    header = {
        "format": FORMAT,
        "made_at": made_at.isoformat(),
        "contracts": contracts_hash(),
        "redacted": redact is not None,
    }
    return json.dumps({"recording": header})


def definition_line(definition: SagaDefinition) -> str:
    """The line of a definition. It is never redacted: its sagas are pinned to its content."""
    return json.dumps({"definition": definition.model_dump(mode="json")})


def message_line(partition: int, message: StreamMessage, fact: Fact | None, redact: Redactor | None) -> str:
    """The line of a message; `fact` is what it says, None if it is no fact."""
    place = {
        "sequence": message.sequence, "partition": partition, "stored_at": message.stored_at.isoformat(),
    }  # fmt: skip
    if fact is None:
        payload = base64.b64encode(message.payload).decode()
        return json.dumps({**place, "subject": message.subject, "payload": payload})
    envelope = fact.model_dump(mode="json")
    if redact is not None:
        envelope["data"] = redact(envelope["data"])
    return json.dumps({**place, "fact": envelope})


def contracts_hash() -> str:
    """SHA-256 over the schemas of all facts."""
    models: dict[str, type[BaseModel]] = {"Fact": Fact}
    models |= {f"saga.{kind}": model for kind, model in SAGA_DATA.items()}
    models |= {f"step.{kind}": model for kind, model in STEP_DATA.items()}
    schemas = {name: model.model_json_schema() for name, model in models.items()}
    return hashlib.sha256(json.dumps(schemas, sort_keys=True).encode()).hexdigest()


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
