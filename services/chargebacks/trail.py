"""The compliance trail: what every step said of a claim, chained by hash, and the check that nothing was changed.

A document chains its entries to each other, the first one to the document before. Who changes, drops or inserts
anything breaks the chain from there on; who cuts off the end must be caught by the last hash, told elsewhere.

`python -m services.chargebacks.trail FILE` checks an export (JSON lines), against a last hash if one is given.
"""

import hashlib
import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from contracts.chargebacks import RecordTrail
from contracts.failure import EXIT_USAGE

GENESIS = "0" * 64
BROKEN = 10
_HEAD = ("saga_id", "kind", "recorded_at")

type Document = dict[str, Any]


def recorded(command: RecordTrail, *, saga_id: str, at: datetime, previous: str) -> Document:
    """The document of a claim that was decided."""
    entries: list[Any] = [
        entry.model_dump(mode="json") for entry in command.entries if entry.status is not None
    ]
    decision = command.model_dump(mode="json", exclude={"entries", "reviewers"})
    decision["reviewers"] = [reviewer for reviewer in command.reviewers if reviewer]
    return _document("recorded", saga_id, at, previous, [decision, *entries])


def withdrawn(*, saga_id: str, at: datetime, previous: str, hash: str) -> Document:
    """The document that says that an earlier one, of that hash, does not count any more."""
    return _document("withdrawn", saga_id, at, previous, [{"withdraws": hash}])


def problems(documents: Iterable[Document], *, previous: str = GENESIS, last: str = "") -> list[str]:
    """What is wrong with a trail from a hash on: nothing, if every document follows from the one before."""
    found, expected = [], previous
    for position, document in enumerate(documents, 1):
        try:
            chained = _document(
                document["kind"],
                document["saga_id"],
                datetime.fromisoformat(document["recorded_at"]),
                document["previous"],
                [entry["said"] for entry in document["entries"]],
            )
        except (KeyError, TypeError, ValueError) as error:
            found.append(f"document {position}: {type(error).__name__}: {error}")
            continue
        if chained["previous"] != expected:
            found.append(f"document {position} does not follow the one before it")
        if {name: document.get(name) for name in chained} != chained:
            found.append(f"document {position} of saga {document['saga_id']} was changed")
        # What follows is judged by what this one says of itself, so that each break is told once.
        expected = str(document.get("hash"))
    if last and expected != last:
        found.append(f"the trail ends with {expected}, expected {last}")
    return found


def _document(kind: str, saga_id: str, at: datetime, previous: str, said: Sequence[Any]) -> Document:
    head = {"saga_id": saga_id, "kind": kind, "recorded_at": at.isoformat()}
    entries, link = [], previous
    for one in said:
        link = _hash([link, one])
        entries.append({"said": one, "hash": link})
    return head | {
        "previous": previous,
        "entries": entries,
        "hash": _hash([link, *(head[name] for name in _HEAD)]),
    }


def _hash(content: Any) -> str:
    # Sorted, so that a trail that went through other hands still has its hashes.
    canonical = json.dumps(json.loads(to_json(content)), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def main(arguments: Sequence[str]) -> int:
    """Check an exported file; the exit code is 10 if it was changed."""
    if not arguments:
        print("usage: python -m services.chargebacks.trail FILE [LAST_HASH]", file=sys.stderr)
        return EXIT_USAGE
    documents = [json.loads(line) for line in Path(arguments[0]).read_text().splitlines() if line.strip()]
    found = problems(documents, last=arguments[1] if len(arguments) > 1 else "")
    for problem in found:
        print(problem)
    if not found:
        last = documents[-1]["hash"] if documents else GENESIS
        print(f"{len(documents)} documents, unchanged, up to {last}")
    return BROKEN if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
