"""What an export is told beside the definition."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Where the pods find what they need. `secret` is a Secret of further environment, if it is there."""

    image: str = "choreographed-sagas:latest"
    nats_url: str = "nats://nats:4222"
    bus_namespace: str = "argo"
    secret: str = "saga"  # noqa: S105 - the name of one
    wait_s: int = 3_600
