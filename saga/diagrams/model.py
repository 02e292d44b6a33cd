"""What a diagram is made of: boxes with lines of text, and arrows between them."""

from dataclasses import dataclass
from enum import StrEnum


class Look(StrEnum):
    """What a box stands for; each way of writing diagrams has a style for every one."""

    START = "start"
    PLAIN = "plain"
    UNDOABLE = "undoable"
    PIVOT = "pivot"
    DONE = "done"
    ACTIVE = "active"
    WAITING = "waiting"
    FAILED = "failed"
    UNDONE = "undone"
    IDLE = "idle"


@dataclass(frozen=True, slots=True)
class Box:
    """A box; its first line is its name. `id` is unique in the diagram."""

    id: str
    lines: tuple[str, ...]
    look: Look = Look.PLAIN


@dataclass(frozen=True, slots=True)
class Arrow:
    """From one box to another; `back`: part of undoing, drawn dashed and never used for the order of boxes."""

    source: str
    target: str
    label: str = ""
    back: bool = False


@dataclass(frozen=True, slots=True)
class Diagram:
    """Boxes in an order that is kept, and arrows between them."""

    title: str
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]


@dataclass(frozen=True, slots=True)
class Style:
    """Colours of a look: of the inside and of the border."""

    fill: str
    stroke: str


STYLES = {
    Look.START: Style("#eceff1", "#546e7a"),
    Look.PLAIN: Style("#ffffff", "#455a64"),
    Look.UNDOABLE: Style("#e3f2fd", "#1565c0"),
    Look.PIVOT: Style("#ede7f6", "#4527a0"),
    Look.DONE: Style("#e8f5e9", "#2e7d32"),
    Look.ACTIVE: Style("#e1f5fe", "#0277bd"),
    Look.WAITING: Style("#fff8e1", "#f9a825"),
    Look.FAILED: Style("#ffebee", "#c62828"),
    Look.UNDONE: Style("#fbe9e7", "#d84315"),
    Look.IDLE: Style("#fafafa", "#9e9e9e"),
}
