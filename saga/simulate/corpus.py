"""Small definitions of every shape that the rules tell apart. Each is explored completely in seconds."""

from collections.abc import Mapping
from typing import Any

from contracts.definition import SagaDefinition, Step


def steps(after: Mapping[str, str], **special: Mapping[str, Any]) -> tuple[Step, ...]:
    """Steps from `{"a": "", "b": "a", "c": "a b"}`: each name with those it follows."""
    return tuple(
        Step(name=name, action=f"simulated.{name}", after=tuple(before.split()), **special.get(name, {}))
        for name, before in after.items()
    )


def definition(name: str, after: Mapping[str, str], **special: Mapping[str, Any]) -> SagaDefinition:
    """A definition of such steps; `special` gives fields of single steps."""
    return SagaDefinition(name=name, steps=steps(after, **special))


def chain(length: int) -> SagaDefinition:
    """One step after the other."""
    names = [f"s{number}" for number in range(1, length + 1)]
    return definition(f"chain-of-{length}", dict(zip(names, ["", *names], strict=False)))


_ONE = {"a": ""}
_TWO = {"a": "", "b": "a"}
_THREE = {"a": "", "b": "a", "c": "b"}
_FORK = {"a": "", "b": "a", "c": "a"}
_JOIN = {"a": "", "b": "", "c": "a b"}
_DIAMOND = {"a": "", "b": "a", "c": "a", "d": "b c"}
_STAYS = {"compensate": False}
_PIVOT = {"pivot": True}
_CONTINUES = {"on_error": "continue"}
_WHEN = {"when": "true"}

CORPUS: tuple[SagaDefinition, ...] = (
    definition("chain-1", _ONE),
    definition("chain-2", _TWO),
    definition("chain-3", _THREE),
    definition("chain-stays-in-the-middle", _THREE, b=_STAYS),
    definition("chain-stays-at-the-end", _TWO, b=_STAYS),
    definition("chain-skip", _THREE, b=_WHEN),
    definition("chain-continue", _THREE, b=_CONTINUES),
    definition("chain-pivot", _THREE, b=_PIVOT | _STAYS),
    definition("chain-pivot-compensable", _TWO, a=_PIVOT),
    definition("roots-2", {"a": "", "b": ""}),
    definition("roots-pivot", {"a": "", "b": ""}, b=_PIVOT),
    definition("fork", _FORK),
    definition("fork-pivot", _FORK, b=_PIVOT | _STAYS),
    definition("join", _JOIN),
    definition("join-stays", _JOIN, c=_STAYS),
    definition("join-skip", _JOIN, a=_WHEN),
    definition("join-continue", _JOIN, a=_CONTINUES),
    definition("diamond", _DIAMOND, b=_STAYS, c=_STAYS),
    definition("diamond-compensable", _DIAMOND),
    definition("nested-join", {"a": "", "b": "", "c": "a b", "d": "b c"}, a=_STAYS, b=_STAYS),
)
