"""Files and tables of a folder: all that fit, nothing from outside, and no more than is asked for."""

import csv
import hashlib
import os
import zipfile
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from openpyxl import Workbook

from contracts.evidence import Sheet
from saga.action import Refused, Unavailable
from services.casefiles import sheets
from services.casefiles.drives import FolderDrive
from services.casefiles.sheets import FolderSheets


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "drive"
    (root / "acme" / "deep").mkdir(parents=True)
    (root / "acme" / "b.csv").write_text("a,b\n1,2\n")
    (root / "acme" / "deep" / "a.csv").write_text("a,b\n3,4\n")
    (root / "acme" / ".hidden.csv").write_text("a,b\n")
    (tmp_path / "secret.csv").write_text("pin\n1234\n")
    (root / "acme" / "link.csv").symlink_to(tmp_path / "secret.csv")
    (root / "outside").symlink_to(tmp_path)
    return root


async def names(folder: Path, pattern: str, limit: int = 100) -> list[str]:
    files, _ = await FolderDrive(folder).files(pattern, limit)
    return [file.path for file in files]


async def test_files_that_fit_are_listed_by_path(folder: Path) -> None:
    assert await names(folder, "acme/*.csv") == ["acme/b.csv"]
    assert await names(folder, "**/*.csv") == ["acme/b.csv", "acme/deep/a.csv"]
    assert await names(folder, "nothing/*") == []


async def test_a_file_is_told_with_its_size_and_content(folder: Path) -> None:
    ((file,), more) = await FolderDrive(folder).files("acme/b.csv", 10)
    digest = hashlib.sha256(b"a,b\n1,2\n").hexdigest()
    assert (file.size_bytes, file.sha256, more) == (8, digest, False)
    assert file.modified_at.tzinfo is not None


async def test_more_files_than_asked_for_are_told_of(folder: Path) -> None:
    files, more = await FolderDrive(folder).files("**/*.csv", 1)
    assert ([file.path for file in files], more) == (["acme/b.csv"], True)


async def test_a_name_that_is_no_unicode_hides_no_other(folder: Path) -> None:
    (Path(os.fsdecode(os.fsencode(folder) + b"/acme/caf\xe9.csv"))).write_text("a\n1\n")
    assert await names(folder, "acme/*.csv") == ["acme/b.csv", "acme/caf?.csv"]
    assert [sheet.path for sheet in await read(folder, "acme/caf*")] == ["acme/caf?.csv"]


@pytest.mark.parametrize("pattern", ["acme/link.csv", "outside/*", "outside/secret.csv", "**/secret.csv"])
async def test_links_lead_nowhere_outside(folder: Path, pattern: str) -> None:
    assert await names(folder, pattern) == []


@pytest.mark.parametrize("pattern", ["../*", "acme/../../secret.csv", "/etc/*"])
async def test_what_leads_out_or_is_no_pattern_is_refused(folder: Path, pattern: str) -> None:
    with pytest.raises(Refused) as refused:
        await FolderDrive(folder).files(pattern, 10)
    assert refused.value.failure.code == "drive.pattern"


async def test_a_drive_that_is_not_there_may_come_back(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="not there"):
        await FolderDrive(tmp_path / "unmounted").files("*", 10)


async def read(folder: Path, *patterns: str, max_rows: int = 100) -> list[Sheet]:
    return list(await FolderSheets(FolderDrive(folder)).read(patterns, max_rows))


async def refusal(folder: Path, *patterns: str) -> str:
    with pytest.raises(Refused) as refused:
        await read(folder, *patterns)
    return refused.value.failure.code


def workbook(path: Path, **tables: list[list[Any]]) -> None:
    book = Workbook()
    assert book.active is not None
    book.remove(book.active)
    for name, rows in tables.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)


@pytest.mark.parametrize(
    "text",
    [
        "Ref,Amount\nA-1,10.50\n",
        "Ref;Amount\r\nA-1;10.50\r\n",
        "\ufeffRef\tAmount\nA-1\t10.50\n",
        '\n\n"Ref","Amount"\n"A-1","10.50"\n',
    ],
)
async def test_a_csv_file_is_read_however_it_is_written(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.csv").write_text(text, newline="")
    (sheet,) = await read(tmp_path, "t.csv")
    assert (sheet.columns, sheet.rows, sheet.name) == (("Ref", "Amount"), (("A-1", "10.50"),), "")


async def test_a_workbook_is_read_sheet_by_sheet_as_plain_text(tmp_path: Path) -> None:
    rows: list[list[Any]] = [
        [None, None],
        ["Ref", None, "Paid"],
        ["A-1", 1250, True],
        ["A-2", 0.1, None],
        ["A-3", Decimal("99.90"), datetime.fromisoformat("2026-01-02T03:04:00")],
        ["A-4", date(2026, 1, 2), "x" * 600],
    ]
    workbook(tmp_path / "w.xlsx", first=rows, empty=[])
    first, empty = await read(tmp_path, "w.xlsx")
    assert first.columns == ("Ref", "column 2", "Paid")
    assert first.rows[:3] == (
        ("A-1", "1250", "true"),
        ("A-2", "0.1", ""),
        ("A-3", "99.9", "2026-01-02T03:04:00"),
    )
    assert first.rows[3][1].startswith("2026-01-02")
    assert first.rows[3][2] == "x" * 499 + "…"
    assert (empty.name, empty.columns, empty.rows) == ("empty", (), ())


async def test_rows_beyond_what_is_asked_for_are_told_of(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a\n" + "1\n" * 5)
    (cut,) = await read(tmp_path, "t.csv", max_rows=4)
    assert (len(cut.rows), cut.more) == (4, True)
    (whole,) = await read(tmp_path, "t.csv", max_rows=5)
    assert (len(whole.rows), whole.more) == (5, False)


async def test_many_are_read_at_once_each_once(folder: Path) -> None:
    found = await read(folder, "acme/b.csv", "**/*.csv")
    assert [sheet.path for sheet in found] == ["acme/b.csv", "acme/deep/a.csv"]


async def test_a_pattern_that_no_file_fits_is_refused(folder: Path) -> None:
    assert await refusal(folder, "acme/b.csv", "acme/missing.xlsx") == "sheets.none"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.xlsx", b"this is no workbook"),
        ("t.csv", b"a,b\n\xff\xfe\x00"),
        ("t.csv", b"a\n" + b"x" * 200_000),
        ("t.pdf", b"%PDF"),
        ("t.xlsx", b"PK\x05\x06" + bytes(18)),
    ],
)
async def test_what_cannot_be_read_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert await refusal(tmp_path, name) == "sheets.unreadable"


async def test_a_damaged_workbook_is_read_or_refused(tmp_path: Path) -> None:
    workbook(tmp_path / "w.xlsx", t=[["Ref", "Amount"], *([["A-1", 1.5]] * 20)])
    whole, chance = (tmp_path / "w.xlsx").read_bytes(), Random(1)
    codes: list[str] = []
    for _ in range(80):
        damaged = bytearray(whole)
        for _ in range(6):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        (tmp_path / "w.xlsx").write_bytes(damaged)
        try:
            await read(tmp_path, "w.xlsx")
        except Refused as error:
            codes.append(error.failure.code)
    assert len(codes) > 20
    # What it unpacks to is one of the numbers that may be damaged.
    assert set(codes) <= {"sheets.unreadable", "sheets.too_large"}


async def test_a_workbook_that_unpacks_to_too_much_is_not_unpacked(tmp_path: Path) -> None:
    workbook(tmp_path / "w.xlsx", t=[["a"]])
    with zipfile.ZipFile(tmp_path / "w.xlsx", "a", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("xl/media/zeros.bin", bytes(sheets._MAX_UNPACKED_BYTES + 1))
    assert (tmp_path / "w.xlsx").stat().st_size < 200_000
    assert await refusal(tmp_path, "w.xlsx") == "sheets.too_large"


async def test_a_cell_at_the_end_of_the_world_costs_nothing(tmp_path: Path) -> None:
    book = Workbook()
    assert book.active is not None
    book.active["A1"] = "Ref"
    book.active["XFD1048576"] = "far away"
    book.save(tmp_path / "w.xlsx")
    (sheet,) = await read(tmp_path, "w.xlsx")
    assert (sheet.columns, sheet.rows, sheet.more) == (("Ref",), (), True)


async def test_more_than_a_fact_can_hold_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "t.csv").open("w", newline="") as text:
        csv.writer(text).writerows([["a", "b"], *([["x" * 400, "y" * 400]] * 200)])
    assert await refusal(tmp_path, "t.csv") == "sheets.too_large"
