"""`saga replay --step`: the frames one at a time, forward and back by keys."""

import os
import re
import sys
import termios
import tty
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from contracts.failure import InvalidContract
from saga.cli.frames import picture

_FORWARD = {"n", " ", "j", "\r", "\n", "\x1b[C", "\x1b[B"}
_BACK = {"p", "k", "b", "\x7f", "\x1b[D", "\x1b[A"}
_FIRST = {"g", "\x1b[H"}
_LAST = {"G", "\x1b[F"}
_QUIT = {"q", "\x1b", "\x04"}
_KEY = re.compile(r"\x1b\[[A-Z]|.", re.DOTALL)
_HELP = "n next, p back, g first, G last, q quit"


@dataclass(slots=True)
class Walk:
    """Where somebody is among so many frames."""

    frames: int
    at: int = 0

    def press(self, key: str) -> bool:
        """Go where the key leads, never beyond the ends; False if it ends the walk."""
        if key in _FORWARD:
            self.at = min(self.at + 1, self.frames - 1)
        elif key in _BACK:
            self.at = max(self.at - 1, 0)
        elif key in _FIRST:
            self.at = 0
        elif key in _LAST:
            self.at = self.frames - 1
        return key not in _QUIT


def step_through(frames: Sequence[Mapping[str, Any]]) -> None:
    """Show the frames as keys are pressed. Raises InvalidContract without a terminal, or without a frame."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InvalidContract("--step needs a terminal: leave it out, and all facts are written")
    if not frames:
        raise InvalidContract("there is no fact up to there")
    console = Console(highlight=False)
    walk = Walk(len(frames))
    for key in _keys(sys.stdin.fileno()):
        if key is not None and not walk.press(key):
            return
        console.clear()
        console.print(picture(frames[walk.at]))
        console.print()
        console.print(_steps(frames[walk.at]))
        console.print(f"[dim]fact {walk.at + 1} of {walk.frames}: {_HELP}[/dim]")


def _keys(terminal: int) -> Iterator[str | None]:
    """None once keys are taken, then each as it is pressed, until there are no more."""
    before = termios.tcgetattr(terminal)
    # Once for all keys: a change of the mode between two of them would lose what was typed meanwhile.
    tty.setcbreak(terminal)
    try:
        yield None
        while pressed := os.read(terminal, 64):
            yield from _KEY.findall(pressed.decode(errors="replace"))
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _steps(frame: Mapping[str, Any]) -> Table:
    changed = {change["of"] for change in frame["changes"]}
    table = Table.grid(padding=(0, 2))
    for name, status in {"the saga": frame["status"], **frame["steps"]}.items():
        table.add_row(f"[bold]{name}[/bold]" if name in changed else name, status)
    return table
