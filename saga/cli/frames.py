"""How a frame of a replay looks in a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

_COLORS = {
    "run": "green",
    "skip": "cyan",
    "wake": "green",
    "hold": "yellow",
    "sleep": "yellow",
    "wait": "yellow",
    "invalid": "red",
}
_IGNORE = "ignore"


def show(frames: Sequence[Mapping[str, Any]]) -> None:
    """All frames, one below the other."""
    console = Console(soft_wrap=False, highlight=False)
    for frame in frames:
        console.print(picture(frame))


def picture(frame: Mapping[str, Any]) -> Group:
    """One frame: the fact in words, what it changed, and what those who heard it decided."""
    because = f" [dim]because of #{frame['cause']}[/dim]" if frame["cause"] else ""
    head = (
        f"[bold]#{frame['sequence']}[/bold] [dim]+{frame['offset_ms']:.1f} ms[/dim] {escape(frame['text'])}"
    )
    parts: list[RenderableType] = [Text.from_markup(head + because)]
    if frame["changes"]:
        parts.append(Padding(Text("; ".join(map(_change, frame["changes"]))), (0, 0, 0, 4)))
    if frame["decided"]:
        parts.append(Padding(_decisions(frame["decided"]), (0, 0, 0, 4)))
    return Group(*parts)


def _change(change: Mapping[str, str]) -> str:
    what = "the saga" if change["of"] == "_saga" else change["of"]
    return f"{what}: {change['before']} -> {change['after']}"


def _decisions(decided: Sequence[Mapping[str, Any]]) -> Group:
    table = Table.grid(padding=(0, 2))
    ignored: dict[str, list[str]] = {}
    for one in decided:
        if one["verdict"] == _IGNORE:
            ignored.setdefault(one["because"], []).append(one["step"])
            continue
        saw = " ".join(f"#{seen['sequence']}" for seen in one["saw"])
        color = _COLORS.get(one["verdict"], "magenta")
        table.add_row(
            escape(one["step"]),
            f"[{color}]{one['verdict']}[/{color}]",
            f"{escape(one['because'])} [dim](saw {saw})[/dim]",
        )
    lines = [Text(f"ignored by {', '.join(steps)}: {reason}", "dim") for reason, steps in ignored.items()]
    return Group(*([table] if table.row_count else []), *lines)
