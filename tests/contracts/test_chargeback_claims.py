"""The identifiers of claims: one form each, and check digits that notice a slip."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from contracts.chargeback_claims import Dea, dea_check_digit, normal_ndc
from contracts.chargebacks import CheckDuplicate
from tests.services.chargebacks.claims import a_claim

DEA: TypeAdapter[str] = TypeAdapter(Dea)


def digits(count: int) -> st.SearchStrategy[str]:
    return st.text("0123456789", min_size=count, max_size=count)


def test_the_check_digit_is_that_of_the_authority() -> None:
    # The example that the authority's own handbooks give: 1 + 3 + 5, and twice 2 + 4 + 6.
    assert dea_check_digit("123456") == 3


@given(
    six=digits(6), letters=st.sampled_from(["RM", "AB", "F9"]), place=st.integers(0, 6), by=st.integers(1, 9)
)
def test_one_wrong_digit_is_always_noticed_but_for_fives(six: str, letters: str, place: int, by: int) -> None:
    number = f"{letters}{six}{dea_check_digit(six)}"
    assert DEA.validate_python(number) == number
    figures = [int(digit) for digit in number[2:]]
    figures[place] = (figures[place] + by) % 10
    slip = letters + "".join(map(str, figures))
    # Doubled digits that differ by five have the same last figure: the authority's number cannot tell them apart.
    if place in (1, 3, 5) and by == 5:
        assert DEA.validate_python(slip) == slip
    else:
        with pytest.raises(ValidationError, match="no DEA number"):
            DEA.validate_python(slip)


@given(labeler=digits(5), product=digits(4), package=digits(2))
def test_every_form_of_a_drug_code_becomes_the_same_eleven_digits(
    labeler: str, product: str, package: str
) -> None:
    whole = labeler + product + package
    assert normal_ndc(whole) == normal_ndc(f"{labeler}-{product}-{package}") == whole
    assert normal_ndc(f"{labeler}-{product}-{package[1]}") == labeler + product + "0" + package[1]
    assert normal_ndc(f"{labeler}-{product[1:]}-{package}") == labeler + "0" + product[1:] + package
    assert normal_ndc(f"{labeler[1:]}-{product}-{package}") == "0" + labeler[1:] + product + package


@pytest.mark.parametrize(
    "written", ["", "0049490030", "49-4900-30", "0049-4900-3", "0049-4900-AA", "١٢٣٤٥٦٧٨٩٠١"]
)
def test_what_is_no_drug_code_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="no NDC"):
        normal_ndc(written)


def test_amounts_that_no_ledger_can_hold_are_refused() -> None:
    for amount in ("NaN", "-1", "1e40", "0.001"):
        with pytest.raises(ValidationError):
            a_claim(total=amount)


def test_metadata_of_several_steps_becomes_one_and_of_skipped_ones_nothing() -> None:
    given = {"claim": None, "document_hash": "0" * 64, "reference": "r"}
    merged = CheckDuplicate.model_validate(given | {"metadata": [{"a": "1"}, None, {"a": "2", "b": "3"}]})
    assert merged.metadata == {"a": "2", "b": "3"}
    assert CheckDuplicate.model_validate(given | {"metadata": None}).metadata == {}
    with pytest.raises(ValidationError, match="a list of them"):
        CheckDuplicate.model_validate(given | {"metadata": ["text"]})
