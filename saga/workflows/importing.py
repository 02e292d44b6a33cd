"""Many workflows at once: all are judged before any is saved, and each is then saved on its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from contracts.checks import InvalidDefinition
from contracts.failure import Conflict, NotFound
from contracts.pointers import Problem
from contracts.workflows import Compiled, Workflow
from events.definitions import Definitions
from saga.workflows.catalogue import Catalogue, Words
from saga.workflows.checking import judged

type Outcome = Literal["created", "updated", "unchanged", "refused"]


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a document. `version` is the newest one now; `detail` says why it was refused."""

    name: str
    outcome: Outcome
    version: int | None = None
    detail: str = ""


async def judged_all(documents: Sequence[Any], definitions: Definitions) -> list[tuple[Workflow, Compiled]]:
    """The workflows in the documents, and what they would become.

    Raises InvalidDefinition with everything that is wrong; where there are several documents, pointers begin with
    the number of theirs.
    """
    found: list[tuple[Workflow, Compiled]] = []
    problems: list[Problem] = []
    for index, document in enumerate(documents):
        at = f"/{index}" if len(documents) > 1 else ""
        try:
            workflow, made = await judged(document, definitions)
            if workflow.name in {other.name for other, _ in found}:
                problems.append(Problem(f"{at}/name", f"{workflow.name} comes twice"))
            found.append((workflow, made))
        except InvalidDefinition as error:
            problems += [Problem(at + one["pointer"], one["detail"]) for one in error.problems]
    if problems:
        raise InvalidDefinition("workflows", problems)
    return found


async def bring_in(
    workflows: Sequence[Workflow],
    catalogue: Catalogue,
    words: Words,
    *,
    tags: tuple[str, ...],
    activate: bool,
) -> list[Imported]:
    """Save each as a new workflow, or as a further version of the one of its name, unless that is its content.

    Tags are those of new workflows. What contradicts the catalogue is refused; the others are saved.
    """
    return [await _bring_in(workflow, catalogue, words, tags, activate) for workflow in workflows]


async def _bring_in(
    workflow: Workflow, catalogue: Catalogue, words: Words, tags: tuple[str, ...], activate: bool
) -> Imported:
    name = workflow.name
    try:
        try:
            before = (await catalogue.get(name)).record.newest
        except NotFound:
            entry = await catalogue.create(workflow, words, tags=tags, activate=activate)
            return Imported(name, "created", entry.record.newest.number)
        newest = (await catalogue.update(workflow, None, words, activate=activate)).record.newest
        return Imported(name, "unchanged" if newest == before else "updated", newest.number)
    except Conflict as error:
        return Imported(name, "refused", detail=str(error))
