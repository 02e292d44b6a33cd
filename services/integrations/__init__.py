"""Generic steps: what most workflows over HTTP need, without a service of their own.

A request is sent, data are transformed and validated, a branch is chosen, somebody is told by webhook or waited
for, and other sagas are run for every item, for every branch, or as one step.
Whoever writes a definition is trusted with neither the network behind the service nor its secrets nor its
memory: requests go through a guard, secrets by name, and expressions run in a bounded process.
"""

_STEPS = (
    "http_request", "data_transform", "validation", "conditional", "webhook_call", "wait",
    "for_each", "parallel", "child_saga", "child_begin", "child_report",
)  # fmt: skip
STEP_MODULES = tuple(f"services.integrations.steps.{name}" for name in _STEPS)
