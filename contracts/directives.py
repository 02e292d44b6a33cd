"""What goes with an execution besides its input: for whom it runs, and how. Carried in every fact of the saga."""

from functools import lru_cache
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from contracts.failure import InvalidContract
from contracts.subjects import TOKEN

MAX_DIRECTIVES = 4096
EVERY_HOOK = "*"

TraceLevel = Literal["off", "basic", "full"]
_Name = Annotated[str, StringConstraints(min_length=1, max_length=128)]


class Redrives(BaseModel):
    """Which saga this one is a redrive of. These steps and those after them run; the others are taken over from it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    saga_id: str = Field(pattern=rf"^{TOKEN}$")
    from_steps: tuple[_Name, ...] = Field(min_length=1, max_length=100)


class Directives(BaseModel):
    """Stated by whoever starts a saga, and true for all of its steps.

    `permissions` are what the starter says the user has. `skip_hooks` names hooks that are not run; `*` all of them;
    required ones are run all the same. `dry_run`: rehearsals are run instead of handlers, so nothing is done.
    `trace`: `off` runs required hooks only, `full` also those that are there for tracing. `redrives` is there in a
    redrive of another saga, and said by nobody else. A process that does not know a directive does not run the step:
    it may be one that it must not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    user: str = Field(default="", max_length=128)
    session: str = Field(default="", pattern=rf"^({TOKEN})?$")
    permissions: tuple[_Name, ...] = Field(default=(), max_length=64)
    skip_hooks: tuple[_Name, ...] = Field(default=(), max_length=64)
    dry_run: bool = False
    trace: TraceLevel = "basic"
    redrives: Redrives | None = None

    def encode(self) -> str:
        """The text in the envelope; empty if nothing is said. Raises InvalidContract if it is too long."""
        if self == NO_DIRECTIVES:
            return ""
        text = self.model_dump_json(exclude_defaults=True)
        if len(text) > MAX_DIRECTIVES:
            raise InvalidContract(f"directives of {len(text)} characters: expected at most {MAX_DIRECTIVES}")
        return text

    @property
    def of_the_starter(self) -> "Directives":
        """Without what only concerns this saga: as they go on to what its steps start."""
        return self if self.redrives is None else self.model_copy(update={"redrives": None})

    def skips(self, hook: str) -> bool:
        return hook in self.skip_hooks or EVERY_HOOK in self.skip_hooks


NO_DIRECTIVES = Directives()


def directives_of(text: str) -> Directives:
    """The directives in an envelope. Raises InvalidContract."""
    return _decoded(text) if text else NO_DIRECTIVES


@lru_cache(maxsize=4096)
def _decoded(text: str) -> Directives:
    try:
        return Directives.model_validate_json(text)
    except ValidationError as error:
        raise InvalidContract(
            f"directives of a fact: {error.errors(include_input=False)[0]['msg']}"
        ) from error
