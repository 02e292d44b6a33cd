"""How a handler (or an undo) says why it has not done it: no, not now, no telling, not yet.

Every other exception counts as `step.unexpected` with an unknown effect.
"""

from typing import Any

from contracts.failure import Failure, SagaError


class Refused(SagaError):
    """A business refusal: there was no effect, and trying again would not help.

    It is tried again all the same if its code is among the step's `retryable_errors`.
    """

    code = "action.refused"

    def __init__(self, code: str, message: str, *, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.failure = Failure(
            code=code, message=message, retryable=False, effect="none", details=details or {}
        )


class Unavailable(SagaError):
    """Something the action needs does not work now; there was certainly no effect. Tried again by policy."""

    code = "action.unavailable"

    def __init__(
        self, code: str, message: str, *, details: dict[str, Any] | None = None,
        retry_after_s: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.failure = Failure(
            code=code, message=message, retryable=True, effect="none", details=details or {},
            retry_after_s=retry_after_s,
        )  # fmt: skip


class EffectUnknown(Unavailable):
    """There is no telling whether there was an effect: it is undone if the saga turns round.

    Tried again by policy, unless `retryable` says that this would not help.
    """

    code = "action.effect_unknown"

    def __init__(
        self, code: str, message: str, *, details: dict[str, Any] | None = None,
        retry_after_s: float | None = None, retryable: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(code, message, details=details, retry_after_s=retry_after_s)
        self.failure = self.failure.model_copy(update={"effect": "unknown", "retryable": retryable})


class NotYet(SagaError):
    """What the handler (or undo) has begun is not at its end: call it again in `delay_s` seconds.

    No attempt is spent. The delivery is kept, so this is for seconds; a handler waits longer by `ctx.signal`.
    """

    code = "action.not_yet"

    def __init__(self, delay_s: float) -> None:
        super().__init__(f"not at its end: again in {delay_s} s")
        self.delay_s = delay_s
