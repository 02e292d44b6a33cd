"""Hooks: what is done around every step, by whoever serves it, and not by the step.

    pre            before an attempt
    post           after an attempt that worked, before it is stated
    error          after an attempt that failed
    compensation   after an undo that worked

A hook is an async function of one `HookEvent`. Hooks of a stage run one after the other, by `order`. One that fails or
takes longer than `timeout_s` is logged and counted, and the step goes on; a `required` one fails the attempt
(`step.hook_failed`). Like a handler, a hook may run again for the same attempt after a crash.

What a hook sees of the data has gone through the redaction: no secrets, no personal data.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from contracts.directives import Directives, TraceLevel
from contracts.failure import Failure, InvalidContract
from events.bus import Bus
from events.clock import Clock


class Stage(StrEnum):
    PRE = "pre"
    POST = "post"
    ERROR = "error"
    COMPENSATION = "compensation"


type StageName = Literal["pre", "post", "error", "compensation"]

EVERY_STAGE: frozenset[Stage] = frozenset(Stage)


@dataclass(frozen=True, slots=True, kw_only=True)
class HookEvent:
    """One stage of one attempt. `input` and `output` are JSON data, redacted; `output` is that of the handler."""

    stage: Stage
    saga_id: str
    definition: str
    step: str
    action: str
    attempt: int
    at: datetime
    directives: Directives
    correlation_id: str = ""
    input: Mapping[str, Any]
    output: Mapping[str, Any] | None = None
    failure: Failure | None = None
    duration_ms: float = 0.0


type Run = Callable[[HookEvent], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """A hook as it is installed. `trace`: the level of tracing from which on it runs.

    `data`: whether it looks at input and output; where no hook does they are empty, and nothing is redacted.
    """

    name: str
    run: Run
    stages: frozenset[Stage] = EVERY_STAGE
    order: int = 100
    required: bool = False
    timeout_s: float = 5.0
    trace: TraceLevel = "basic"
    data: bool = True


type OpenHook = Callable[[Bus, Clock], AbstractAsyncContextManager[Hook]]
"""Opens a hook that needs the bus, for the life of a process"""


def hook(
    name: str,
    *,
    stages: Iterable[StageName] = ("pre", "post", "error", "compensation"),
    order: int = 100,
    required: bool = False,
    timeout_s: float = 5.0,
    trace: TraceLevel = "basic",
    data: bool = True,
) -> Callable[[Run], Hook]:
    """Make an async function a hook. Raises InvalidContract for a stage there is not."""
    unknown = set(stages) - set(Stage)
    if unknown:
        raise InvalidContract(
            f"hook {name}: no stage {', '.join(sorted(unknown))}: there are {', '.join(Stage)}"
        )

    def made(run: Run) -> Hook:
        return Hook(
            name=name,
            run=run,
            stages=frozenset(Stage(stage) for stage in stages),
            order=order,
            required=required,
            timeout_s=timeout_s,
            trace=trace,
            data=data,
        )

    return made
