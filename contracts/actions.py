"""What a service can do: an action with a typed input and output, perhaps a compensation, and events it emits."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, cast

from pydantic import BaseModel

from contracts.events import Event
from contracts.failure import NotFound
from contracts.policies import NO_POLICY, Policy

DOMAINS = ("payments", "integrations", "leads", "casefiles", "chargebacks", "claims")


@dataclass(frozen=True, kw_only=True, slots=True)
class ActionContract:
    """The promise behind a step's `action`: `name` is `<domain>.<verb_phrase>`.

    `permissions` are those that whoever starts a saga of it must have; `examples` are inputs it takes. One that
    `reads_only` has no effect: there is nothing to undo.
    """

    name: str
    input: type[BaseModel]
    output: type[BaseModel]
    compensable: bool = False
    description: str = ""
    emits: tuple[type[Event], ...] = ()
    version: str = "1"
    category: str = ""
    permissions: tuple[str, ...] = ()
    examples: tuple[Mapping[str, Any], ...] = ()
    policy: Policy = NO_POLICY
    reads_only: bool = False

    @property
    def domain(self) -> str:
        return self.name.partition(".")[0]


def domain_actions(domain: str) -> tuple[ActionContract, ...]:
    """The actions that `contracts.<domain>` promises.

    Raises NotFound if there is no such domain.
    """
    if domain not in DOMAINS:
        raise NotFound(f"no domain {domain!r}: there are {', '.join(DOMAINS)}")
    return cast(tuple[ActionContract, ...], import_module(f"contracts.{domain}").ACTIONS)
