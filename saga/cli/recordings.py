"""Recorded facts as the command line finds them: a file, stdin, and the definitions that go with them."""

import sys
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from contracts.definition import SagaDefinition
from contracts.facts import explain
from contracts.failure import InvalidContract
from saga.archive import archived_lines, read_lines
from saga.cli.remote import read_document
from saga.recording import Recording, read_recording


def read_file(file: str, only: str | None = None) -> Recording:
    """The recording in a file (compressed, if it ends in .zst), an archive's folder, or on stdin for `-`.

    `only`: of this saga. Raises NotFound, InvalidContract with the number of the line that is wrong.
    """
    if file == "-":
        return read_recording(sys.stdin, only)
    path = Path(file)
    return read_recording(archived_lines(path) if path.is_dir() else read_lines(path), only)


def read_definition(file: Path) -> SagaDefinition:
    """A definition in JSON or YAML. Raises NotFound, InvalidContract."""
    try:
        return SagaDefinition.model_validate(read_document(str(file)))
    except ValidationError as error:
        raise InvalidContract(f"{file}: {explain(error)}") from error


def definitions_at_hand(file: Path | None) -> Callable[[str], SagaDefinition | None]:
    """Finds, by `name@version`, the definition in the file, else those that are shipped."""
    given = read_definition(file) if file else None

    def known(ref: str) -> SagaDefinition | None:
        return given if given is not None and given.ref == ref else shipped_definition(ref)

    return known


def is_file(what: str) -> bool:
    """Whether this names a file of a definition, and not a definition or a saga."""
    return Path(what).suffix in (".json", ".yaml", ".yml")


def shipped_definition(ref: str) -> SagaDefinition | None:
    """The one that is shipped, by name or `name@version`."""
    from saga.domains import shipped_definitions

    return next((one for one in reversed(shipped_definitions()) if ref in (one.ref, one.name)), None)
