"""Choreography: who answers what. The pure core, the participant that drives it, the log that tells of it.

For programs: `from saga import WorkflowBuilder, action, register, connect, local`. Each name is imported when it is
first asked for, so that `import saga` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contracts.checks import InvalidDefinition
    from contracts.definition import SagaDefinition, Step
    from contracts.directives import Directives
    from contracts.policies import Policy, RateLimit
    from contracts.retries import ExponentialRetry, FixedRetry, LinearRetry, NoRetry
    from saga.action import (
        Action,
        ActionContext,
        EffectUnknown,
        Refused,
        StepDatabase,
        Unavailable,
        action,
    )
    from saga.client import InvalidInput
    from saga.from_steps import create_workflow_from_steps
    from saga.hooks import Hook, HookEvent, hook
    from saga.policies import domain_policy
    from saga.sdk.builder import WorkflowBuilder
    from saga.sdk.client import Client, Forbidden, connect
    from saga.sdk.handle import NotEnded, WorkflowHandle
    from saga.sdk.local import local
    from saga.sdk.results import StepOutcome, StepResult, WorkflowFailed, WorkflowOutcome, WorkflowResult
    from saga.tools import register

_HOMES = {
    "contracts.checks": ("InvalidDefinition",),
    "contracts.definition": ("SagaDefinition", "Step"),
    "contracts.directives": ("Directives",),
    "contracts.policies": ("Policy", "RateLimit"),
    "contracts.retries": ("ExponentialRetry", "FixedRetry", "LinearRetry", "NoRetry"),
    "saga.action": (
        "Action", "ActionContext", "EffectUnknown", "Refused", "StepDatabase", "Unavailable", "action",
    ),
    "saga.client": ("InvalidInput",),
    "saga.from_steps": ("create_workflow_from_steps",),
    "saga.hooks": ("Hook", "HookEvent", "hook"),
    "saga.policies": ("domain_policy",),
    "saga.sdk.builder": ("WorkflowBuilder",),
    "saga.sdk.client": ("Client", "Forbidden", "connect"),
    "saga.sdk.handle": ("NotEnded", "WorkflowHandle"),
    "saga.sdk.local": ("local",),
    "saga.sdk.results": (
        "StepOutcome", "StepResult", "WorkflowFailed", "WorkflowOutcome", "WorkflowResult",
    ),
    "saga.tools": ("register",),
}  # fmt: skip
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'saga' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})


__all__ = [
    "Action", "ActionContext", "Client", "Directives", "EffectUnknown", "ExponentialRetry", "FixedRetry",
    "Forbidden", "Hook", "HookEvent", "InvalidDefinition", "InvalidInput", "LinearRetry", "NoRetry",
    "NotEnded", "Policy", "RateLimit", "Refused", "SagaDefinition", "Step", "StepDatabase", "StepOutcome",
    "StepResult", "Unavailable", "WorkflowBuilder", "WorkflowFailed", "WorkflowHandle", "WorkflowOutcome",
    "WorkflowResult", "action", "connect", "create_workflow_from_steps", "domain_policy", "hook", "local",
    "register",
]  # fmt: skip
