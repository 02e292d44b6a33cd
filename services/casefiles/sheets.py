"""Tables in CSV and XLSX files. Files come from strangers: how much of one is unpacked and looked at is bounded."""

import asyncio
import csv
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from io import BytesIO, StringIO
from itertools import islice
from pathlib import Path
from typing import Any

from contracts.evidence import MAX_SHEETS, Sheet
from saga.action import Refused, Unavailable
from services.casefiles.bounds import fitting, plain
from services.casefiles.drives import FolderDrive

_MAX_BYTES = 16_777_216
_MAX_UNPACKED_BYTES = 67_108_864
_MAX_LOOKED_AT = 50_000
_MAX_COLUMNS = 50
_MAX_CELL = 500
_SNIFFED = 8_192

type _Rows = Iterator[Iterable[Any]]


class FolderSheets:
    """The tables of a folder's files."""

    def __init__(self, drive: FolderDrive) -> None:
        self._drive = drive

    async def read(self, patterns: Sequence[str], max_rows: int) -> tuple[Sheet, ...]:
        return await asyncio.to_thread(self._read, patterns, max_rows)

    def _read(self, patterns: Sequence[str], max_rows: int) -> tuple[Sheet, ...]:
        paths = dict.fromkeys(path for pattern in patterns for path in self._located(pattern))
        sheets, more = fitting(
            (sheet for path in paths for sheet in self._sheets(path, max_rows)), MAX_SHEETS
        )
        if more:
            raise Refused(
                "sheets.too_large", f"more than {MAX_SHEETS} tables or 50,000 bytes: read fewer rows"
            )
        return sheets

    def _located(self, pattern: str) -> list[Path]:
        found = list(islice(self._drive.located(pattern), MAX_SHEETS + 1))
        if not found:
            raise Refused("sheets.none", f"no file fits {pattern!r}")
        return found

    def _sheets(self, path: Path, max_rows: int) -> list[Sheet]:
        name = self._drive.name(path)
        content = _content(path, name)
        try:
            return [_sheet(name, title, rows, max_rows) for title, rows in _tables(path.suffix, content)]
        except Refused:
            raise
        except Exception as error:
            # Whatever a library stumbles over in a stranger's file is the file's fault.
            reason = f"{type(error).__name__}: {error}"[:300]
            raise Refused("sheets.unreadable", f"{name} cannot be read: {reason}") from error


def _content(path: Path, name: str) -> bytes:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise Refused("sheets.too_large", f"{name} is larger than {_MAX_BYTES} bytes")
        return path.read_bytes()
    except OSError as error:
        raise Unavailable("drive.unreachable", f"{name}: {error.strerror}") from error


def _tables(suffix: str, content: bytes) -> Iterator[tuple[str, _Rows]]:
    match suffix.lower():
        case ".csv" | ".tsv":
            yield "", _csv(content.decode("utf-8-sig"))
        case ".xlsx" | ".xlsm":
            yield from _xlsx(BytesIO(content))
        case other:
            raise ValueError(f"expected .csv, .tsv, .xlsx or .xlsm, not {other or 'no'} suffix")


def _csv(text: str) -> _Rows:
    try:
        dialect: Any = csv.Sniffer().sniff(text[:_SNIFFED], ",;\t|")
    except csv.Error:
        # One column has no delimiter to be found.
        dialect = csv.excel
    return csv.reader(StringIO(text, newline=""), dialect)


def _xlsx(content: BytesIO) -> Iterator[tuple[str, _Rows]]:
    # Slow to import, and seldom needed.
    from openpyxl import load_workbook

    with zipfile.ZipFile(content) as packed:
        unpacked = sum(one.file_size for one in packed.infolist())
    if unpacked > _MAX_UNPACKED_BYTES:
        raise Refused("sheets.too_large", f"a workbook unpacks to more than {_MAX_UNPACKED_BYTES} bytes")
    book = load_workbook(content, read_only=True, data_only=True, keep_links=False)
    try:
        for sheet in book.worksheets:
            yield sheet.title, sheet.iter_rows(max_col=_MAX_COLUMNS, values_only=True)
    finally:
        book.close()


def _sheet(path: str, title: str, rows: _Rows, max_rows: int) -> Sheet:
    """The table: its first row that is not empty names the columns."""
    filled = (cells for row in islice(rows, _MAX_LOOKED_AT) if any(cells := _cells(row)))
    names = _trimmed(next(filled, []))
    columns = tuple(name or f"column {number}" for number, name in enumerate(names, 1))
    read = list(islice(filled, max_rows + 1))
    width = len(columns)
    return Sheet(
        path=path,
        name=plain(title, 128),
        columns=columns,
        rows=tuple(tuple(cells[:width]) + ("",) * (width - len(cells)) for cells in read[:max_rows]),
        more=len(read) > max_rows or next(rows, None) is not None,
    )


def _cells(row: Iterable[Any]) -> list[str]:
    return [plain(_text(cell), _MAX_CELL) for cell in islice(row, _MAX_COLUMNS)]


def _trimmed(cells: list[str]) -> list[str]:
    while cells and not cells[-1]:
        cells = cells[:-1]
    return cells


def _text(cell: Any) -> str:
    match cell:
        case None:
            return ""
        case bool():
            return "true" if cell else "false"
        case float():
            # What the file shows as 1250 is no 1250.0, and 0.1 no 0.1000000000000000055.
            return f"{Decimal(repr(cell)).normalize():f}"
        case datetime() | date() | time():
            return cell.isoformat()
        case _:
            return str(cell)
