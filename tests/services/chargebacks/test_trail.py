"""The compliance trail: whatever is changed, dropped, moved or inserted is found."""

import copy
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.chargebacks import RecordTrail
from services.chargebacks.trail import GENESIS, main, problems, recorded, withdrawn

AT = datetime(2026, 4, 1, 12, tzinfo=UTC)


def to_record(number: int = 1) -> RecordTrail:
    entries = [
        {"step": "extract_identifiers", "status": "complete"},
        {"step": "gpo_roster_validation", "status": None},
        {"step": "review_checks", "status": "approved",
         "findings": [{"code": "roster.by_name", "severity": "note", "message": "96 % like"}]},
    ]  # fmt: skip
    return RecordTrail.model_validate({
        "reference": f"DOC-{number}", "document_hash": "0" * 64, "claim": None, "outcome": "denied",
        "credited": {"amount": "0", "currency": "USD"}, "credit_memo": None, "reviewers": ["", "ada"],
        "entries": entries, "metadata": {"batch": "b"},
    })  # fmt: skip


def a_trail(length: int = 4) -> list[dict[str, Any]]:
    trail: list[dict[str, Any]] = []
    previous = GENESIS
    for number in range(length):
        trail.append(recorded(to_record(number), saga_id=f"s{number}", at=AT, previous=previous))
        previous = trail[-1]["hash"]
    trail.append(withdrawn(saga_id="s0", at=AT, previous=previous, hash=trail[0]["hash"]))
    return trail


def test_a_trail_that_nobody_touched_has_no_problems_after_a_journey_as_json() -> None:
    trail = json.loads(json.dumps(a_trail(), sort_keys=True))
    assert problems(trail) == []
    assert problems(trail, last=trail[-1]["hash"]) == []
    assert problems(trail[2:], previous=trail[1]["hash"]) == []


def test_only_who_spoke_is_in_a_document() -> None:
    decision, *said = [entry["said"] for entry in a_trail()[0]["entries"]]
    assert [entry["step"] for entry in said] == ["extract_identifiers", "review_checks"]
    assert (decision["outcome"], decision["reviewers"]) == ("denied", ["ada"])


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [leaf for key, part in pairs for leaf in leaves(part, (*path, key))]
    return found or [path]


@given(leaf=st.sampled_from(leaves(a_trail())), new=st.none() | st.integers() | st.text(max_size=5))
def test_whatever_is_changed_anywhere_is_found(leaf: tuple[Any, ...], new: Any) -> None:
    trail = copy.deepcopy(a_trail())
    place: Any = trail
    for key in leaf[:-1]:
        place = place[key]
    if place[leaf[-1]] == new:
        return
    place[leaf[-1]] = new
    assert problems(trail)


@pytest.mark.parametrize("spoil", [
    lambda trail: trail[1:], lambda trail: trail[:1] + trail[2:], lambda trail: [trail[1], trail[0], *trail[2:]],
    lambda trail: [trail[0], trail[0], *trail[1:]],
])  # fmt: skip
def test_documents_cannot_be_dropped_moved_or_repeated(spoil: Any) -> None:
    assert problems(spoil(a_trail()))


def test_every_break_is_told_once_and_by_its_kind() -> None:
    trail = a_trail()
    assert problems([trail[0], *trail[2:]]) == ["document 2 does not follow the one before it"]
    trail[1]["entries"][0]["said"]["outcome"] = "credited"
    assert problems(trail) == ["document 2 of saga s1 was changed"]


def test_an_end_that_was_cut_off_is_found_by_the_last_hash() -> None:
    trail = a_trail()
    assert problems(trail[:-1]) == []
    assert problems(trail[:-1], last=trail[-1]["hash"])


def test_an_export_is_checked_by_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trail = a_trail()
    file = tmp_path / "trail.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in trail))
    assert main([str(file), trail[-1]["hash"]]) == 0
    assert "5 documents, unchanged" in capsys.readouterr().out
    file.write_text(file.read_text().replace('"denied"', '"credited"', 1))
    assert main([str(file)]) == 10
    assert "document 1 of saga s0 was changed" in capsys.readouterr().out
    assert main([]) == 2
