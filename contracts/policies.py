"""Policies: how the steps of an action are run, said once per action or per domain. Durations in seconds.

What a step says itself goes before its action's policy, that before its domain's, that before the default. Permissions
add up instead: what a domain asks for, no action can do without.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from contracts.breakers import valid_breaker_name
from contracts.facts import explain
from contracts.failure import InvalidContract
from contracts.retries import COMPENSATION_RETRY, NoRetry, RetryPolicy

POLICY_FIELDS = frozenset({"timeout_s", "retry", "compensation_retry"})
"""What a step may say itself"""

type Level = Literal["step", "action", "domain", "default"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RateLimit(_Frozen):
    """So many attempts per second, of all replicas together; at once no more than `burst`."""

    per_s: float = Field(gt=0, le=100_000)
    burst: int = Field(default=1, ge=1, le=100_000)


class Policy(_Frozen):
    """What is not said (None) is left to the next level."""

    timeout_s: float | None = Field(default=None, gt=0, le=86_400, description="of one attempt")
    retry: RetryPolicy | None = None
    compensation_retry: RetryPolicy | None = None
    breaker: str | None = Field(default=None, description="around every attempt; empty: none")
    hooks: tuple[str, ...] | None = Field(default=None, description="only these, and those required")
    permissions: tuple[str, ...] | None = Field(default=None, description="what the user must have")
    rate: RateLimit | None = None
    concurrency: int | None = Field(
        default=None, ge=1, le=10_000, description="attempts at once, of all replicas"
    )

    @field_validator("breaker")
    @classmethod
    def _named(cls, breaker: str | None) -> str | None:
        return valid_breaker_name(breaker) if breaker else breaker


NO_POLICY = Policy()
DEFAULT_POLICY = Policy(
    timeout_s=30.0,
    retry=NoRetry(),
    compensation_retry=COMPENSATION_RETRY,
    breaker="",
)


class Policies(_Frozen):
    """An operator's policies, from a file: each goes before the one in code of the same level."""

    domains: dict[str, Policy] = Field(default_factory=dict)
    actions: dict[str, Policy] = Field(default_factory=dict)

    @classmethod
    def parse(cls, document: Any) -> Self:
        """Raises InvalidContract with the place and the reason."""
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            raise InvalidContract(f"policies: {explain(error)}") from error


NO_POLICIES = Policies()


class Setting(_Frozen):
    """One value of the policy that counts, and where it comes from."""

    name: str
    value: Any
    level: Level
    source: str


class Effective(_Frozen):
    """The policy that counts, with where each value comes from."""

    policy: Policy
    settings: tuple[Setting, ...]


type Said = tuple[Level, str, Policy]
"""A level, where it is said, and what"""


def effective(levels: Iterable[Said]) -> Effective:
    """The policy that counts, from the levels in the order of their precedence; the default is the last."""
    given = [*levels, ("default", "default", DEFAULT_POLICY)]
    settings: list[Setting] = []
    values: dict[str, Any] = {}
    for name in Policy.model_fields:
        said = [
            (level, source, value)
            for level, source, one in given
            if (value := getattr(one, name)) is not None
        ]
        if name == "permissions":
            own = [_setting(name, list(value), level, source) for level, source, value in said if value]
            settings += own or [_setting(name, [], "default", "default")]
            values[name] = tuple(dict.fromkeys(wanted for *_, value in said for wanted in value))
            continue
        level, source, value = said[0] if said else ("default", "default", None)
        values[name] = value
        settings.append(_setting(name, value, level, source))
    return Effective(policy=Policy.model_validate(values), settings=tuple(settings))


def _setting(name: str, value: Any, level: Any, source: str) -> Setting:
    data = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    return Setting(
        name=name, value=list(data) if isinstance(data, tuple) else data, level=level, source=source
    )


def lacking(wanted: Iterable[str], granted: Iterable[str]) -> list[str]:
    """The permissions that are not granted. `mail:*` grants `mail:read`; `*` grants all."""
    have = set(granted)
    if "*" in have:
        return []
    return [one for one in wanted if one not in have and f"{one.partition(':')[0]}:*" not in have]


def step_policy(said: Mapping[str, Any]) -> Policy:
    """What a step says itself."""
    return Policy.model_validate({name: said[name] for name in POLICY_FIELDS if name in said})
