"""What this process has declared by `@action` and `@register`. The latest declaration of a name counts."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from saga.action import Action

_BY_NAME: "dict[str, Action]" = {}


def declare(action: "Action") -> None:
    """Enter an action; a module that is loaded anew replaces what it declared before."""
    _BY_NAME[action.name] = action


def declared() -> "dict[str, Action]":
    """The declared actions by name, as they are now."""
    return dict(_BY_NAME)
