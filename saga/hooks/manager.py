"""Running the hooks of one action: in order, each on its own, those that the execution wants."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from importlib import import_module

import structlog
from prometheus_client import Counter

from contracts.directives import Directives
from contracts.failure import NotFound, SagaError
from events.bus import Bus
from events.clock import Clock
from saga.hooks import Hook, HookEvent, OpenHook, Stage

log = structlog.get_logger(__name__)

FAILED = Counter("saga_hook_failures", "Hooks that failed or took too long", ["hook", "stage"])

_LEVELS = ("off", "basic", "full")
_SHIPPED = {
    "metrics": "saga.hooks.metrics:METRICS",
    "audit": "saga.hooks.audit:open_audit",
    "session": "saga.hooks.session:open_sessions",
    "trace": "saga.hooks.trace:TRACE",
}


class HookFailed(SagaError):
    """A required hook has failed."""

    code = "hook.failed"


class HookManager:
    """The hooks of an action, by stage."""

    def __init__(self, hooks: Iterable[Hook]) -> None:
        ordered = sorted(hooks, key=lambda hook: (hook.order, hook.name))
        self.names = tuple(hook.name for hook in ordered)
        self._by_stage = {stage: tuple(one for one in ordered if stage in one.stages) for stage in Stage}

    def wanted(self, stage: Stage, directives: Directives) -> Sequence[Hook]:
        """The hooks of a stage that this execution wants, or that it cannot do without."""
        level = _LEVELS.index(directives.trace)
        return [
            hook
            for hook in self._by_stage[stage]
            if hook.required or (_LEVELS.index(hook.trace) <= level and not directives.skips(hook.name))
        ]

    async def run(self, stage: Stage, directives: Directives, event: Callable[[bool], HookEvent]) -> None:
        """Run a stage; the event is made only if somebody wants it, and told whether anybody looks at its data.

        Raises HookFailed if a required hook fails.
        """
        wanted = self.wanted(stage, directives)
        if not wanted:
            return
        told = event(any(hook.data for hook in wanted))
        for hook in wanted:
            try:
                async with asyncio.timeout(hook.timeout_s):
                    await hook.run(told)
            except Exception as error:
                FAILED.labels(hook.name, stage).inc()
                log.warning(
                    "hook.failed", hook=hook.name, stage=stage, saga_id=told.saga_id, step=told.step,
                    required=hook.required, error=repr(error),
                )  # fmt: skip
                if hook.required:
                    raise HookFailed(
                        f"hook {hook.name} ({stage}): {type(error).__name__}: {error}"
                    ) from error


def installed(names: str) -> list[Hook | OpenHook]:
    """The hooks of a setting: names of shipped ones or `module:name`, with commas. Raises NotFound."""
    return [_installed(name.strip()) for name in names.split(",") if name.strip()]


def _installed(name: str) -> Hook | OpenHook:
    module, _, attribute = _SHIPPED.get(name, name).partition(":")
    try:
        found: Hook | OpenHook | None = getattr(import_module(module), attribute, None) if attribute else None
    except ModuleNotFoundError as error:
        raise NotFound(f"hook {name!r}: {error}") from error
    if found is None:
        raise NotFound(f"no hook {name!r}: expected {', '.join(sorted(_SHIPPED))} or module:name")
    return found


async def open_hooks(
    stack: AsyncExitStack, hooks: Iterable[Hook | OpenHook], bus: Bus, clock: Clock
) -> list[Hook]:
    """The hooks, ready to run until the stack closes."""
    return [
        one if isinstance(one, Hook) else await stack.enter_async_context(one(bus, clock)) for one in hooks
    ]
