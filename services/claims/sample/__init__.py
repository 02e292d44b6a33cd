"""A synthetic seller: twelve months of records in files, and what the marketplace truly owes. `generate` writes them.

`owed.csv` is the truth that nobody but the marketplace (and the demo's last look) reads.
"""

import csv
from importlib.resources import files
from pathlib import Path
from typing import Any

FOLDER = Path(str(files("services.claims") / "sample"))
OWED = "owed"


def rows(name: str) -> list[dict[str, Any]]:
    """The rows of a file, empty fields as None."""
    with (FOLDER / f"{name}.csv").open(newline="") as file:
        return [{key: value or None for key, value in row.items()} for row in csv.DictReader(file)]
