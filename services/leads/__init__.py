"""Submit a lead to several carriers: a workflow as data, over generic steps only.

`lead.qualified` -> fetch the lead and the carriers -> validate -> transform -> ask every carrier -> choose the best
-> tell by webhook. A carrier that is down opens its breaker, and the others go on.
"""

STEP_MODULES: tuple[str, ...] = ()
"""It has no steps of its own: `integrations` does the work."""
