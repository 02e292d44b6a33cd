"""Why something did not work, as a value on the bus and as an exception in the process.

    SagaError                     every error this project raises on purpose
    ├── InvalidContract           a definition, reference, subject or fact breaks its contract
    │   └── MixedCurrencies       money of two currencies in one sum
    ├── NotFound                  no such saga, definition, version or dead letter
    ├── Conflict                  it exists already, or with another content
    │   └── Stale                 it was changed since it was read
    ├── Forbidden                 whoever asks for it may not do that
    └── Unusable                  a server or database cannot be used; the process should exit with 6

Expected outcomes of a step are facts that carry a `Failure`, not exceptions.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

EXIT_USAGE = 2
EXIT_NOT_FOUND = 3
EXIT_CONFLICT = 4
EXIT_UNREACHABLE = 6

MAX_RETRY_AFTER_S = 86_400.0

CODE_UNEXPECTED = "step.unexpected"
CODE_TIMEOUT = "step.timeout"
CODE_INPUT_INVALID = "step.input_invalid"
CODE_OUTPUT_INVALID = "step.output_invalid"
CODE_CONDITION_INVALID = "step.condition_invalid"
CODE_SKIPPED = "step.skipped"
CODE_FORBIDDEN = "step.forbidden"
CODE_HOOK_FAILED = "step.hook_failed"
CODE_NO_REHEARSAL = "step.no_rehearsal"


class SagaError(Exception):
    """Base of all errors raised on purpose; `code` is stable, the text is for people."""

    code = "saga.error"
    exit_code = 1


class InvalidContract(SagaError, ValueError):
    """A value breaks the contract; the text names the input, the place and what was expected."""

    code = "contract.invalid"
    exit_code = EXIT_USAGE


class MixedCurrencies(InvalidContract):
    """Money of different currencies cannot be added or compared."""

    code = "money.mixed_currencies"


class NotFound(SagaError):
    """What was asked for does not exist."""

    code = "not_found"
    exit_code = EXIT_NOT_FOUND


class Conflict(SagaError):
    """What was asked for contradicts what is already there."""

    code = "conflict"
    exit_code = EXIT_CONFLICT


class Stale(Conflict):
    """What was to be changed was changed by somebody else since it was read."""

    code = "precondition.failed"


class Forbidden(SagaError):
    """Whoever asks for it may not do that."""

    code = "forbidden"


class Unusable(SagaError):
    """A server or database is missing, too old or lacks a feature that is needed."""

    code = "unusable"
    exit_code = EXIT_UNREACHABLE


class Failure(BaseModel):
    """One failed attempt, as it is stated on the bus.

    `effect` says what is known of the outside world: `none` (a refusal: nothing to undo) or
    `unknown` (a timeout or crash: it may have happened, so it must be undone).
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    code: str = Field(min_length=1, max_length=128, description="stable, dotted: domain.reason")
    message: str = Field(max_length=4096)
    retryable: bool = False
    effect: Literal["none", "unknown"] = "unknown"
    details: dict[str, Any] = Field(default_factory=dict)
    retry_after_s: float | None = Field(
        default=None,
        ge=0,
        le=MAX_RETRY_AFTER_S,
        description="asked for by the other side before the next attempt",
    )
