"""The metrics hook: attempts and their durations by action, as Prometheus counts them (`/metrics`)."""

from prometheus_client import Counter, Histogram

from saga.hooks import Hook, HookEvent, Stage

ATTEMPTS = Counter("saga_step_attempts", "Attempts that have ended, by how", ["action", "stage", "code"])
DURATION = Histogram("saga_step_attempt_seconds", "Duration of attempts", ["action", "stage"])


async def _count(event: HookEvent) -> None:
    code = event.failure.code if event.failure else ""
    ATTEMPTS.labels(event.action, event.stage, code).inc()
    DURATION.labels(event.action, event.stage).observe(event.duration_ms / 1000)


METRICS = Hook(
    name="metrics",
    run=_count,
    stages=frozenset({Stage.POST, Stage.ERROR, Stage.COMPENSATION}),
    order=10,
    data=False,
)
