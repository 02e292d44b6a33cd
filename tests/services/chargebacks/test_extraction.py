"""Reading by rules: every layout gives the claim back, and what is spoilt is found, never guessed."""

import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from contracts.chargeback_claims import ClaimDraft, dea_check_digit
from contracts.chargebacks import Claim
from services.chargebacks.extraction import values
from services.chargebacks.extraction.check import check_draft, not_in_document
from services.chargebacks.extraction.sheet import read_sheet
from services.chargebacks.extraction.text import read_text
from tests.services.chargebacks.claims import a_claim, a_line, codes, written

SHEETS = ("sheet", "other_sheet")
LAYOUTS = ("form", "letter", *SHEETS)
_DIGITS = st.text("0123456789", min_size=6, max_size=6)
_CENTS = st.integers(1, 999_999).map(lambda cents: Decimal(cents) / 100)
_NAMES = (
    "St. Anne Regional Hospital",
    "Mercy Children's Hospital",
    "A & B Clinic (East)",
    "Ünïon-Street Pharmacy",
)


def read(text: str, layout: str) -> ClaimDraft:
    return read_sheet(text) if layout in SHEETS else read_text(text)


def dea(letters: str, six: str) -> str:
    return f"{letters}{six}{dea_check_digit(six)}"


@st.composite
def a_sold_line(draw: st.DrawFn) -> dict[str, Any]:
    price, difference, quantity = draw(_CENTS), draw(_CENTS), draw(st.integers(1, 5_000))
    code = draw(st.text("0123456789", min_size=11, max_size=11))
    return a_line(
        f"{code[:5]}-{code[5:9]}-{code[9:]}",
        quantity,
        str(price + difference),
        str(price),
        str(difference * quantity),
    )


@st.composite
def any_claim(draw: st.DrawFn) -> Claim:
    number = draw(st.integers(1_000, 999_999))
    return a_claim(
        claim_number=f"DM-{number}",
        invoice=f"INV-{number + 7}",
        contract=draw(st.sampled_from(["PREM-2231", "NOVA-871", "NO-1", "340B-77"])),
        wholesaler_dea=dea(draw(st.sampled_from(["RM", "PH"])), draw(_DIGITS)),
        customer=draw(st.sampled_from(_NAMES[:2])),
        customer_dea=draw(st.none() | _DIGITS.map(lambda six: dea("BX", six))),
        covered_entity=draw(st.sampled_from([None, "CHC08231"])),
        sold_on=draw(st.dates(date(2020, 1, 1), date(2030, 12, 31))),
        lines=draw(st.lists(a_sold_line(), min_size=1, max_size=6)),
    )


@given(claim=any_claim(), layout=st.sampled_from(LAYOUTS))
def test_whatever_a_wholesaler_writes_is_read_as_it_was_meant(claim: Claim, layout: str) -> None:
    found, findings = check_draft(read(written(claim, layout), layout))
    assert (found, findings) == (claim, ())


@given(text=st.text(max_size=400))
def test_no_text_makes_the_rules_stumble(text: str) -> None:
    for layout in ("form", "sheet"):
        claim, findings = check_draft(read(text, layout))
        assert claim is None
        assert findings


@dataclass(frozen=True)
class Spoilt:
    """What is put in place of what, and what is found."""

    old: str
    new: str
    code: str
    place: str


SPOILT = (
    Spoilt("Contract no.      PREM-2231\n", "", "extraction.missing", "/contract"),
    Spoilt("RM1234563", "RM1234564", "extraction.malformed", "/wholesaler_dea"),
    Spoilt("275.88", "275.98", "extraction.inconsistent", "/lines/0/amount"),
    Spoilt("USD 1,202.88", "USD 1,302.88", "extraction.inconsistent", "/total"),
    Spoilt("02/03/2026", "13/32/2026", "extraction.missing", "/sold_on"),
    Spoilt("00049490030", "0049490030-", "extraction.inconsistent", "/total"),
)


@pytest.mark.parametrize("spoilt", SPOILT, ids=lambda spoilt: spoilt.place)
def test_what_is_spoilt_is_told_with_its_place(spoilt: Spoilt) -> None:
    text = written(a_claim())
    assert spoilt.old in text
    claim, findings = check_draft(read_text(text.replace(spoilt.old, spoilt.new)))
    assert claim is None
    assert (spoilt.code, spoilt.place) in [(finding.code, finding.place) for finding in findings]
    assert {severity for _, severity in codes(findings)} == {"review"}


def test_a_sheet_that_contradicts_itself_says_nothing_of_that() -> None:
    text = written(a_claim(), "sheet").replace("PREM-2231", "PREM-2240", 1)
    assert read_sheet(text).contract is None


def test_two_customers_in_one_letter_are_not_chosen_between() -> None:
    text = written(a_claim(), "letter") + "\ncc: another customer, DEA BN1901227\n"
    assert read_text(text).customer_dea is None


def test_a_contract_that_begins_with_no_keeps_its_name() -> None:
    assert read_text("under contract NOVA-871").contract == "NOVA-871"
    assert read_text("Contract No. NOVA-871").contract == "NOVA-871"


def test_another_currency_is_not_taken_for_dollars() -> None:
    draft = read_text(written(a_claim()).replace("USD", "CAD"))
    assert (draft.currency, draft.total) == ("CAD", a_claim().total)
    claim, findings = check_draft(read_text(written(a_claim()).replace("USD ", "€")))
    assert (claim, [finding.place for finding in findings]) == (None, ["/total"])


def test_the_head_of_a_column_is_no_label_of_what_is_below_it() -> None:
    text = written(a_claim()).replace("Debit memo no.", "Ours:")
    assert read_text(text).claim_number is None


@pytest.mark.parametrize(("text", "amount"), [
    ("1,118.40", "1118.40"), ("$81.20", "81.20"), ("USD 5", "5"), ("81.20 USD", "81.20"), ("1,11.40", None),
    ("1.118,40", None), ("-3", None), ("", None), ("NaN", None),
])  # fmt: skip
def test_amounts_are_read_without_doubt_or_not_at_all(text: str, amount: str | None) -> None:
    assert values.amount(text) == (Decimal(amount) if amount else None)


@pytest.mark.parametrize(
    "text", ["2026-03-14", "03/14/2026", "3/14/26", "March 14, 2026", "14 Mar 2026", "20260314"]
)
def test_days_are_read_in_every_usual_form(text: str) -> None:
    assert values.day(text) == date(2026, 3, 14)


def test_what_a_model_invents_is_found() -> None:
    claim = a_claim()
    honest = ClaimDraft.model_validate(claim.model_dump(mode="json"))
    text = written(claim)
    assert not_in_document(honest, text) == ()
    invented = honest.model_copy(update={"customer_hin": "5AAAAAAAA", "contract": "PREM-2232"})
    assert [finding.place for finding in not_in_document(invented, text)] == ["/customer_hin", "/contract"]
    assert not_in_document(honest, text.replace("USD", "$")) == ()
    assert [one.place for one in not_in_document(honest, text.replace("USD", "CAD"))] == ["/currency"]
    line = honest.lines[0].model_copy(update={"quantity": 13, "ndc": "00049490031"})
    found = not_in_document(honest.model_copy(update={"lines": (line,)}), text)
    assert [finding.place for finding in found] == ["/lines/0/ndc", "/lines/0/quantity"]


@pytest.mark.parametrize("text", [
    "customer: " + " " * 110_000 + "x", "9" * 119_000, "1," * 59_000, "on " * 39_000, "total: " + "1," * 55_000 + "x",
    "shipped to " + "a, " * 39_000, "(" * 110_000, "0049-4900-30 1 " * 7_000, "address " * 14_000,
    "RM1234563 " * 11_000, "\n" * 119_000, "shipped to a, " * 8_000, "chargeback " + "\t" * 110_000, "A" * 119_000,
    "1 units of NDC " * 7_900, "/-" * 55_000,
])  # fmt: skip
def test_no_document_keeps_the_rules_busy(text: str) -> None:
    begun = time.process_time()
    for layout in ("form", "sheet"):
        with suppress(ValidationError):
            not_in_document(read(text, layout), text)
    assert time.process_time() - begun < 3
