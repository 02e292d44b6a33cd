"""Writes the sample anew: the same file every time, because chance has a seed.

Every known answer follows from the document, the shipped contracts and rosters, and what the reviewers say.
"""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from services.chargebacks.sample.cases import CASES
from services.chargebacks.sample.making import Generator

SEED = 20_260_301


def lines(seed: int = SEED) -> Iterator[dict[str, Any]]:
    """The whole sample: the first wave mixed, the second one after it."""
    generator = Generator(seed)
    entries = [entry for case in CASES for entry in case(generator)]
    random.Random(seed).shuffle(entries)  # noqa: S311 - makes samples, guards nothing
    yield from sorted(entries, key=lambda entry: int(entry["wave"]))


def main() -> None:
    """Write the file beside this module."""
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines())
    (Path(__file__).parent / "documents.jsonl").write_text(text)


if __name__ == "__main__":
    main()
