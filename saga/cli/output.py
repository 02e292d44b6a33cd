"""How answers are written: as a table for people, as JSON, JSON lines or YAML for programs."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Any


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    YAML = "yaml"


def say(text: str) -> None:
    """A line for people, on stderr."""
    print(text, file=sys.stderr, flush=True)


def write(rows: Sequence[dict[str, Any]] | dict[str, Any], form: Format, columns: Sequence[str] = ()) -> None:
    """Write an answer on stdout. `columns` are those of the table."""
    match form:
        case Format.JSON:
            print(json.dumps(rows, default=str))
        case Format.JSONL:
            for row in [rows] if isinstance(rows, dict) else rows:
                print(json.dumps(row, default=str))
        case Format.YAML:
            import yaml

            print(yaml.safe_dump(json.loads(json.dumps(rows, default=str)), sort_keys=False), end="")
        case Format.TABLE:
            _table(rows, columns)


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr, if somebody looks at it: call it with how much is done, and of how much."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _table(rows: Sequence[dict[str, Any]] | dict[str, Any], columns: Sequence[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(soft_wrap=False)
    if isinstance(rows, dict):
        table = Table(show_header=False, box=None, pad_edge=False)
        for name, value in rows.items():
            table.add_row(f"[bold]{name}[/bold]", _cell(value))
        console.print(table)
        return
    shown = columns or (tuple(rows[0]) if rows else ())
    table = Table(*shown, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(_cell(row.get(name)) for name in shown))
    console.print(table)


def _cell(value: Any) -> str:
    from rich.markup import escape

    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.1f}"
    return escape(json.dumps(value, default=str) if isinstance(value, dict | list) else str(value))
