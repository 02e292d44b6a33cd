"""Which claims were made before: names as people write them, slips of the pen, and what only looks alike."""

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chargebacks.duplicates import judge, known_of, likeness
from services.chargebacks.names import likeness as likeness_of_names
from services.chargebacks.names import normal
from tests.services.chargebacks.claims import a_claim, a_line, codes

FIRST = known_of(a_claim(), "a" * 64)


def judged(document: str = "b", **changes: Any) -> tuple[str, int]:
    verdict = judge(known_of(a_claim(**changes), document * 64), [FIRST])
    return verdict.status, verdict.score


def test_the_same_document_is_a_duplicate_whatever_was_read_from_it() -> None:
    assert judged("a", claim_number="DM-999999", invoice="INV-9", customer="Somebody Else") == (
        "duplicate",
        100,
    )


def test_the_same_claim_written_otherwise_is_a_duplicate() -> None:
    assert judged() == ("duplicate", 100)
    assert judged(customer="Saint Anne Rgnl Hosp, Inc.", invoice="INV51211") == ("duplicate", 100)


def test_one_slip_of_the_pen_makes_a_suspect() -> None:
    assert judged(invoice="INV-51212") == ("suspect", 90)
    assert judged(claim_number="DM-204173", invoice="INV-51212")[0] == "suspect"


def test_a_standing_order_under_the_next_numbers_is_a_suspect() -> None:
    next_one: dict[str, Any] = {
        "claim_number": "DM-204138",
        "invoice": "INV-51212",
        "sold_on": date(2026, 2, 4),
    }
    assert judged(**next_one)[0] == "suspect"


def test_other_numbers_and_products_make_a_new_claim() -> None:
    other: dict[str, Any] = {
        "claim_number": "DM-208800",
        "invoice": "INV-58730",
        "lines": [a_line(quantity=6)],
    }
    assert judged(**other)[0] == "new"
    assert judge(FIRST, []).status == "new"


def test_a_verdict_says_what_is_to_become_of_the_claim() -> None:
    assert codes(judge(FIRST, [FIRST]).findings) == [("duplicate.certain", "deny")]
    suspect = judge(known_of(a_claim(invoice="INV-51212"), "b" * 64), [FIRST])
    assert codes(suspect.findings) == [("duplicate.suspect", "review")]
    assert suspect.of == "DM-204137"


@given(days=st.integers(0, 40), number=st.from_regex(r"DM-[0-9]{6}", fullmatch=True))
def test_likeness_is_a_percentage_and_the_same_both_ways(days: int, number: str) -> None:
    claim = a_claim(claim_number=number, sold_on=date(2026, 2, 3) + timedelta(days=days))
    other = known_of(claim, "b" * 64)
    assert 0 <= likeness(FIRST, other) == likeness(other, FIRST) <= 100
    assert likeness(other, other) == 100


@pytest.mark.parametrize(("one", "other"), [
    ("St. Anne Regional Hospital", "Saint Anne Rgnl Hosp."), ("Riverbend Medical Center", "Medical Ctr Riverbend, LLC"),
    ("Mercy Children's Hospital", "MERCY CHILDRENS HOSPITAL"), ("The Holy Cross Hospital Co.", "Holy Cross Hosp"),
])  # fmt: skip
def test_the_same_party_under_two_names(one: str, other: str) -> None:
    assert likeness_of_names(one, other) == 100


def test_a_name_of_nothing_but_legal_forms_is_still_a_name() -> None:
    assert normal("The Company Inc.") == "the company inc"
    assert likeness_of_names("Holy Cross Hospital", "Harper Valley Hospital") < 75
