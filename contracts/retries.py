"""Retry policies as data: what a failed attempt waits before the next one."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat

from contracts.failure import Failure


class _Policy(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    retryable_errors: tuple[str, ...] = Field(
        default=(), description="error codes to retry; empty: every failure that is marked retryable"
    )

    def retries(self, failure: Failure) -> bool:
        """Whether this failure is one to try again."""
        return failure.code in self.retryable_errors if self.retryable_errors else failure.retryable


class NoRetry(_Policy):
    kind: Literal["none"] = "none"
    max_attempts: Literal[1] = 1

    def delay_after(self, attempt: int) -> float:
        return 0.0


class FixedRetry(_Policy):
    """The same delay before every attempt."""

    kind: Literal["fixed"] = "fixed"
    max_attempts: int = Field(default=3, ge=2, le=1000)
    delay_s: PositiveFloat = 1.0

    def delay_after(self, attempt: int) -> float:
        return self.delay_s


class LinearRetry(_Policy):
    """`delay_s + (attempt - 1) * increment_s`, at most `max_delay_s`."""

    kind: Literal["linear"] = "linear"
    max_attempts: int = Field(default=3, ge=2, le=1000)
    delay_s: PositiveFloat = 1.0
    increment_s: PositiveFloat = 1.0
    max_delay_s: PositiveFloat = 60.0

    def delay_after(self, attempt: int) -> float:
        return min(self.max_delay_s, self.delay_s + (attempt - 1) * self.increment_s)


class ExponentialRetry(_Policy):
    """`delay_s * factor ** (attempt - 1)`, at most `max_delay_s`, spread by `jitter` (0..1) of itself."""

    kind: Literal["exponential"] = "exponential"
    max_attempts: int = Field(default=5, ge=2, le=1000)
    delay_s: PositiveFloat = 0.5
    factor: float = Field(default=2.0, ge=1.0, le=10.0)
    max_delay_s: PositiveFloat = 60.0
    jitter: float = Field(default=0.2, ge=0.0, le=1.0)

    def delay_after(self, attempt: int) -> float:
        # A large exponent overflows a float long before the cap would be reached.
        exponent = min(attempt - 1, 64)
        return min(self.max_delay_s, self.delay_s * self.factor**exponent)


RetryPolicy = Annotated[NoRetry | FixedRetry | LinearRetry | ExponentialRetry, Field(discriminator="kind")]


COMPENSATION_RETRY = ExponentialRetry(max_attempts=12, delay_s=0.5, max_delay_s=60.0)
"""Of an undo, unless somebody says otherwise"""


def next_delay_s(policy: RetryPolicy, failure: Failure, attempt: int, chance: float) -> float | None:
    """Seconds to wait after failed attempt number `attempt` (from 1), or None if it was the last.

    `chance` is a random number in [0, 1) that spreads the delay by the policy's jitter, so that
    many sagas that failed together do not come back together. If the failure asks for a longer wait, it gets it.
    """
    if attempt >= policy.max_attempts or not policy.retries(failure):
        return None
    jitter = policy.jitter if isinstance(policy, ExponentialRetry) else 0.0
    delay_s = policy.delay_after(attempt) * (1 + jitter * (2 * chance - 1))
    return max(delay_s, failure.retry_after_s or 0.0)
