"""The sample: six clients of a law office, their mails and files as text. Workbooks are made of it when needed."""

import csv
import json
import re
import shutil
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from openpyxl import Workbook

FOLDER = Path(__file__).parent
MAILBOX = FOLDER / "mail.mbox"
PARTNER = "marta@lindlaw.example"
CLERK = "theo@lindlaw.example"
GUEST = "guest@lindlaw.example"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A client's case. `mails` of the client are found by `query`; `report` has the references by how they compare."""

    client: str
    title: str
    query: str
    mails: int
    report: dict[str, list[str]]


def cases() -> list[Case]:
    """The cases, and what their analysis must find."""
    return [Case(**json.loads(line)) for line in (FOLDER / "cases.jsonl").read_text().splitlines()]


def lay_out(folder: Path) -> Path:
    """Copy the drive's files into a folder and make the workbooks; the drive."""
    drive = folder / "drive"
    shutil.copytree(FOLDER / "drive", drive)
    for table in sorted((FOLDER / "workbooks").glob("*.csv")):
        make_workbook(table, drive / table.stem / "ledger.xlsx")
    return drive


def make_workbook(table: Path, path: Path) -> None:
    """An XLSX file of a CSV file's rows, with numbers and days as such."""
    book = Workbook()
    sheet: Any = book.active
    sheet.title = "ledger"
    with table.open(newline="") as text:
        for row in csv.reader(text):
            sheet.append([_value(cell) for cell in row])
    book.save(path)


def _value(cell: str) -> str | Decimal | date:
    if re.fullmatch(r"\d{4}-\d\d-\d\d", cell):
        return date.fromisoformat(cell)
    return Decimal(cell) if re.fullmatch(r"\d+\.\d+", cell) else cell
