"""What a service can do: an action with a typed input and output, perhaps a compensation, and events it emits."""

from dataclasses import dataclass
from importlib import import_module
from typing import cast

from pydantic import BaseModel

from contracts.events import Event
from contracts.failure import NotFound

DOMAINS = ("payments", "integrations", "leads")


@dataclass(frozen=True, kw_only=True, slots=True)
class ActionContract:
    """The promise behind a step's `action`: `name` is `<domain>.<verb_phrase>`."""

    name: str
    input: type[BaseModel]
    output: type[BaseModel]
    compensable: bool = False
    description: str = ""
    emits: tuple[type[Event], ...] = ()


def domain_actions(domain: str) -> tuple[ActionContract, ...]:
    """The actions that `contracts.<domain>` promises.

    Raises NotFound if there is no such domain.
    """
    if domain not in DOMAINS:
        raise NotFound(f"no domain {domain!r}: there are {', '.join(DOMAINS)}")
    return cast(tuple[ActionContract, ...], import_module(f"contracts.{domain}").ACTIONS)
