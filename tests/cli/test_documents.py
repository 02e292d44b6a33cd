"""Documents on the command line are read as the API reads them: as JSON, or as YAML 1.2."""

from pathlib import Path

import pytest

from contracts.failure import InvalidContract
from saga.cli.remote import read_document


def written(folder: Path, text: str) -> str:
    (folder / "document").write_text(text)
    return str(folder / "document")


@pytest.mark.parametrize(
    ("text", "document"),
    [
        ("on: yes\nat: 1:30\nzip: 08\n", {"on": "yes", "at": "1:30", "zip": "08"}),
        ("from: 2026-01-31\ncount: 8\nsure: true\n", {"from": "2026-01-31", "count": 8, "sure": True}),
        (' {"steps":\t[], "half": 0.5}', {"steps": [], "half": 0.5}),
        ("{steps: [no], half: .5}", {"steps": ["no"], "half": 0.5}),
    ],
)
def test_what_only_looks_like_something_else_stays_a_text(
    tmp_path: Path, text: str, document: dict[str, object]
) -> None:
    assert read_document(written(tmp_path, text)) == document


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: &one [1]\nb: *one\n", "aliases are not read"),
        ("a: 1\na: 2\n", "come once"),
        ("- a\n- b\n", "must hold one object"),
        ("a: 1\n---\nb: 2\n", "expected one document, not 2"),
        ('{"a": 1', "is no JSON, and this is no YAML we read"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_file(tmp_path: Path, text: str, told: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(InvalidContract, match=told) as refused:
        read_document(file)
    assert str(refused.value).startswith(file)
