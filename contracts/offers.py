"""What processes on the bus say they offer: which actions, in which version. A word that is not repeated ends."""

import hashlib
from functools import lru_cache
from typing import Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import to_json

from contracts.actions import ActionContract
from contracts.facts import explain
from contracts.failure import InvalidContract

OFFER_TTL_S = 15.0
"""A process that was not heard for so long offers nothing any more."""
_MAX_DESCRIPTION = 200


class OfferedAction(BaseModel):
    """An action as a process has it. `schema_hash` tells its input and output from others of the same version."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    version: str = "1"
    category: str = ""
    description: str = ""
    permissions: tuple[str, ...] = ()
    schema_hash: str = ""

    @classmethod
    def of(cls, contract: ActionContract) -> Self:
        return cls(
            name=contract.name,
            version=contract.version,
            category=contract.category,
            description=contract.description.partition("\n")[0][:_MAX_DESCRIPTION],
            permissions=contract.permissions,
            schema_hash=_schema_hash(contract.input, contract.output),
        )


@lru_cache(maxsize=1_024)
def _schema_hash(input: type[BaseModel], output: type[BaseModel]) -> str:
    schemas = (input.model_json_schema(), output.model_json_schema(mode="serialization"))
    return hashlib.sha256(to_json(schemas)).hexdigest()[:12]


class Offer(BaseModel):
    """All that one process offers. `instance` is its own for its life."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    instance: str = Field(min_length=1, max_length=64)
    host: str
    pid: int
    since: AwareDatetime
    actions: tuple[OfferedAction, ...]

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Raises InvalidContract with the place and the reason."""
        try:
            return cls.model_validate_json(payload)
        except ValidationError as error:
            raise InvalidContract(f"not an offer: {explain(error)}") from error
