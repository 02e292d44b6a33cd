"""Where the bus is and how it is cut up. Environment: `NATS_URL` (of a cluster: several, with commas), else
`SAGA_BUS_*`."""

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class BusSettings(BaseSettings):
    """Settings of one connection. Durations in seconds.

    `ack_wait_s` is how long a participant may be silent before its delivery goes to another replica;
    a living one sends a sign of life three times in that time, however long a step takes.
    """

    model_config = SettingsConfigDict(env_prefix="SAGA_BUS_", frozen=True, populate_by_name=True)

    url: str = Field(
        default="nats://127.0.0.1:4222", validation_alias=AliasChoices("NATS_URL", "SAGA_BUS_URL", "url")
    )
    credentials: str | None = Field(default=None, description="file with NATS credentials")
    namespace: str = Field(default="", description="prefix that isolates environments and replays")
    partitions: int = Field(default=1, ge=1, le=64)
    replicas: int = Field(default=1, ge=1, le=5)
    ack_wait_s: float = Field(default=10.0, gt=0)
    max_in_flight: int = Field(default=256, ge=1, le=4096, description="deliveries at once per consumer")
    publish_timeout_s: float = Field(default=5.0, gt=0)
    connect_timeout_s: float = Field(default=5.0, gt=0)
    max_age_s: float = Field(default=30 * 86_400.0, ge=0, description="retention of facts; 0: for ever")
