"""What the contracts of the generic steps share: names, pointers, expressions."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

MAX_EXPRESSION = 2_048

SecretName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\s@/?#]+([/?#]\S*)?$", max_length=2048)]
Pointer = Annotated[str, StringConstraints(pattern=r"^(/[\s\S]*)?$", max_length=512)]
Expression = Annotated[str, StringConstraints(min_length=1, max_length=MAX_EXPRESSION)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$")]
Version = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$")]
Scalar = str | int | float | bool


class Contract(BaseModel):
    """Takes and states nothing but its fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")
