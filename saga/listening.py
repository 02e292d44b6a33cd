"""Who hears what on the bus, and whether anybody is there to hear it: values, as `saga.discovery` finds them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Heard:
    """That an action hears a kind of fact of a step of a saga."""

    action: str
    saga: str
    step: str
    kind: str


@dataclass(frozen=True, slots=True)
class Presence:
    """Whether a replica of an action asks for work or has some, and how many messages wait for one."""

    alive: bool = False
    pending: int = 0
    in_flight: int = 0

    def with_more(self, other: "Presence") -> "Presence":
        """Of two partitions together."""
        return Presence(
            self.alive or other.alive, self.pending + other.pending, self.in_flight + other.in_flight
        )
