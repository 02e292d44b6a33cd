"""The subject grammar: `[<namespace>.]evt.<partition>.<saga>.<step>.<fact>.<saga_id>`.

Services' own events: `[<namespace>.]app.<domain>.<event>.<key>`.
Facts about the saga as a whole use the reserved step `_saga`. Tokens are validated, never escaped:
a name that would need escaping is refused where it is defined.
"""

import re
import zlib
from dataclasses import dataclass

from contracts.failure import InvalidContract

SAGA_STEP = "_saga"
TOKEN = r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}"  # noqa: S105 - a token of a subject
_TOKEN = re.compile(TOKEN)
_ROOT = "evt"
_EVENTS_ROOT = "app"


def valid_token(token: str, what: str) -> str:
    """The token itself. Raises InvalidContract if it may not be part of a subject."""
    if token != SAGA_STEP and not _TOKEN.fullmatch(token):
        raise InvalidContract(
            f"{what} {token!r} is no subject token: expected 1-64 letters, digits, '_' or '-', "
            "beginning with a letter or digit"
        )
    return token


def partition_of(saga_id: str, partitions: int) -> int:
    """Which of `partitions` streams holds the saga (CRC-32 of the id, stable across machines)."""
    return zlib.crc32(saga_id.encode()) % partitions if partitions > 1 else 0


def overlap(one: str, other: str) -> bool:
    """Whether there is a subject that both patterns match: `*` stands for a token, `>` at the end for one or more."""
    left, right = one.split("."), other.split(".")
    for a, b in zip(left, right, strict=False):
        if ">" in (a, b):
            return True
        if a != b and "*" not in (a, b):
            return False
    return len(left) == len(right)


@dataclass(frozen=True, slots=True)
class FactSubject:
    """A parsed subject."""

    partition: int
    saga: str
    step: str
    kind: str
    saga_id: str


@dataclass(frozen=True, slots=True)
class Subjects:
    """Builds and parses the subjects of one namespace with a fixed number of partitions."""

    namespace: str = ""
    partitions: int = 1

    def __post_init__(self) -> None:
        if self.namespace:
            valid_token(self.namespace, "namespace")
        if not 1 <= self.partitions <= 64:
            raise InvalidContract(f"partitions must be between 1 and 64, not {self.partitions}")

    @property
    def root(self) -> str:
        return f"{self.namespace}.{_ROOT}" if self.namespace else _ROOT

    def fact(self, saga: str, step: str, kind: str, saga_id: str) -> str:
        """The literal subject of one fact. `saga`, `step` and `kind` were validated with the definition."""
        partition = partition_of(saga_id, self.partitions)
        return f"{self.root}.{partition}.{saga}.{step}.{kind}.{saga_id}"

    def checked_fact(self, saga: str, step: str, kind: str, saga_id: str) -> str:
        """As `fact`, for tokens from outside. Raises InvalidContract."""
        for token, what in ((saga, "saga"), (step, "step"), (kind, "fact"), (saga_id, "saga id")):
            valid_token(token, what)
        return self.fact(saga, step, kind, saga_id)

    def heard(self, partition: int, saga: str, step: str, kind: str) -> str:
        """The filter for one kind of fact of one step, for all sagas in a partition."""
        return f"{self.root}.{partition}.{saga}.{step}.{kind}.*"

    def all_of(self, saga: str, saga_id: str) -> str:
        """The filter for every fact of one saga."""
        return f"{self.root}.{partition_of(saga_id, self.partitions)}.{saga}.*.*.{saga_id}"

    def all_of_id(self, saga_id: str) -> str:
        """The filter for every fact of one saga whose definition is not known."""
        return f"{self.root}.{partition_of(saga_id, self.partitions)}.*.*.*.{saga_id}"

    def own(self, saga: str, step: str, saga_id: str) -> str:
        """The filter for everything one step has said in one saga."""
        return f"{self.root}.{partition_of(saga_id, self.partitions)}.{saga}.{step}.*.{saga_id}"

    def partition(self, partition: int) -> str:
        """The filter for a whole partition."""
        return f"{self.root}.{partition}.*.*.*.*"

    def event(self, name: str, key: str) -> str:
        """The subject of a service's own event `<domain>.<event>`. Raises InvalidContract."""
        domain, _, event = name.partition(".")
        for token, what in ((domain, "domain"), (event, "event"), (key, "key")):
            valid_token(token, what)
        return f"{self.events_root}.{domain}.{event}.{key}"

    @property
    def events_root(self) -> str:
        return f"{self.namespace}.{_EVENTS_ROOT}" if self.namespace else _EVENTS_ROOT

    def parse(self, subject: str) -> FactSubject:
        """The parts of a subject. Raises InvalidContract if it is not one of this namespace."""
        prefix = f"{self.root}."
        tokens = subject[len(prefix) :].split(".") if subject.startswith(prefix) else []
        if len(tokens) != 5 or not tokens[0].isdigit():
            raise InvalidContract(
                f"subject {subject!r} is not {self.root}.<partition>.<saga>.<step>.<fact>.<saga_id>"
            )
        return FactSubject(int(tokens[0]), *tokens[1:])
