"""How patient the claims services are, and what they earn."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contracts.facts import explain
from contracts.failure import InvalidContract

_PREFIX = "SAGA_CLAIMS_"


class ClaimsSettings(BaseModel):
    """Settings from the environment, as `SAGA_CLAIMS_<NAME>`. Durations in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    poll_s: float = Field(default=3_600, gt=0, description="between looks at a case nobody tells about")
    remind_after_s: float = Field(default=2 * 86_400, gt=0, description="of a question without an answer")
    expire_after_s: float = Field(default=14 * 86_400, gt=0, description="then a question counts as declined")
    patience_s: float = Field(default=7 * 86_400, gt=0, description="for the phase that a phase follows")
    fee_rate: Decimal = Field(default=Decimal("0.20"), ge=0, le=1, description="our part of a payout")
    webhook_tolerance_s: float = Field(default=300, gt=0, description="between a webhook's time and now")

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        """The settings of an environment. Raises InvalidContract, naming what is wrong."""
        names = {name: _PREFIX + name.upper() for name in cls.model_fields}
        given = {name: environment[variable] for name, variable in names.items() if variable in environment}
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            raise InvalidContract(f"settings {_PREFIX}*: {explain(error)}") from error
