"""What a contract makes due, and who was entitled to its prices."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.chargebacks import ResolveChargeback
from services.chargebacks.eligibility import Product, Terms, check_contract, federal_due
from services.chargebacks.findings import few, finding, status_of
from services.chargebacks.membership import Member, check_registration, check_roster
from services.chargebacks.ports import Registration
from services.chargebacks.resolution import resolve
from tests.services.chargebacks.claims import a_claim, a_line, codes

SERTRALINE, LISINOPRIL, MORPHINE = "00049490030", "00093104801", "00641612525"
PRODUCTS = {
    SERTRALINE: Product(wac=Decimal("104.50"), controlled=False),
    LISINOPRIL: Product(wac=Decimal("42.15"), controlled=False),
    MORPHINE: Product(wac=Decimal("87.35"), controlled=True),
}
TERMS = Terms(
    number="PREM-2231", kind="gpo", gpo="premier-alliance", valid_from=date(2026, 1, 1), valid_to=date(2026, 12, 31),
    wholesalers=frozenset({"RM1234563"}), prices={SERTRALINE: Decimal("81.51"), LISINOPRIL: Decimal("32.88")},
)  # fmt: skip
ANNE = Member(
    number="PA-1001", name="St. Anne Regional Hospital", dea="AS4395631", hin="5DEGZD8PC", joined=date(2026, 1, 1),
    left=date(2026, 6, 1),
)  # fmt: skip
OTHER = Member(
    number="PA-1002",
    name="Northgate Surgical Center",
    dea="BN1901227",
    hin=None,
    joined=date(2024, 1, 1),
    left=None,
)


def test_what_is_claimed_rightly_is_due_whole() -> None:
    checked = check_contract(a_claim(), TERMS, PRODUCTS)
    assert (checked.eligible, checked.findings) == (a_claim().total, ())
    assert status_of(checked.findings) == "clear"


@pytest.mark.parametrize(("changes", "code"), [
    ({"sold_on": date(2025, 12, 31)}, "contract.not_in_force"),
    ({"sold_on": date(2027, 1, 1)}, "contract.not_in_force"),
    ({"wholesaler_dea": "RC2987658"}, "contract.wholesaler"),
    ({"currency": "CAD"}, "contract.currency"),
])  # fmt: skip
def test_outside_of_a_contract_nothing_is_due(changes: dict[str, Any], code: str) -> None:
    checked = check_contract(a_claim(**changes), TERMS, PRODUCTS)
    assert (checked.eligible, codes(checked.findings)) == (Decimal(0), [(code, "deny")])
    assert {line.reason for line in checked.lines} == {code}


def test_the_first_and_the_last_day_of_a_contract_count() -> None:
    for day in (TERMS.valid_from, TERMS.valid_to):
        assert check_contract(a_claim(sold_on=day), TERMS, PRODUCTS).findings == ()


def test_a_contract_that_nobody_knows_makes_nothing_due() -> None:
    assert codes(check_contract(a_claim(), None, PRODUCTS).findings) == [("contract.unknown", "deny")]


def test_a_product_beside_the_contract_is_not_due_and_the_others_are() -> None:
    claim = a_claim(lines=[a_line(), a_line("0641-6125-25", 10, "87.35", "62.02")])
    checked = check_contract(claim, TERMS, PRODUCTS)
    assert checked.eligible == claim.lines[0].amount
    assert codes(checked.findings) == [("contract.product", "note")]
    alone = check_contract(a_claim(lines=[a_line("0641-6125-25", 10, "87.35", "62.02")]), TERMS, PRODUCTS)
    assert codes(alone.findings)[-1] == ("contract.nothing_due", "deny")


def test_a_little_too_much_is_adjusted_and_a_lot_is_asked_about() -> None:
    due = Decimal("275.88")
    for amount, severity in (("281.39", "note"), ("281.40", "review")):
        claim = a_claim(lines=[a_line(amount=amount)], total=amount)
        checked = check_contract(claim, TERMS, PRODUCTS)
        assert (checked.eligible, codes(checked.findings)) == (due, [("contract.price", severity)])


@given(
    quantity=st.integers(1, 10_000),
    wac=st.integers(1, 10_000_000).map(lambda cents: Decimal(cents) / 100),
    claimed=st.integers(1, 100_000_000).map(lambda cents: Decimal(cents) / 100),
)
def test_never_is_more_due_than_is_claimed_nor_than_the_contract_says(
    quantity: int, wac: Decimal, claimed: Decimal
) -> None:
    claim = a_claim(lines=[a_line(quantity=quantity, amount=str(claimed))], total=str(claimed))
    products = PRODUCTS | {SERTRALINE: Product(wac=wac, controlled=False)}
    eligible = check_contract(claim, TERMS, products).eligible
    assert 0 <= eligible <= claimed
    assert eligible <= max(Decimal(0), (wac - Decimal("81.51")) * quantity) + Decimal("0.005")


def test_of_many_findings_the_first_are_told_and_the_worst_of_the_rest() -> None:
    notes = [finding("contract.product", "note", str(number)) for number in range(60)]
    told = few([*notes, finding("contract.price", "review", "dear")])
    assert (len(told), codes(told)[-1], told[-1].message) == (
        26, ("contract.price", "review"), "36 more of such findings"
    )  # fmt: skip
    assert few(notes[:25]) == tuple(notes[:25])


def test_controlled_products_and_federal_prices_are_looked_up() -> None:
    assert not federal_due(a_claim(), "gpo", PRODUCTS)
    assert federal_due(a_claim(), "340b", PRODUCTS)
    assert federal_due(a_claim(), "federal", PRODUCTS)
    assert federal_due(a_claim(lines=[a_line("0641-6125-25", 10, "87.35", "62.02")]), "gpo", PRODUCTS)


@pytest.mark.parametrize(("changes", "member", "found"), [
    ({}, "PA-1001", []),
    ({"customer_dea": None}, "PA-1001", []),
    ({"customer": "St Anne Reg. Hosp", "customer_hin": None}, "PA-1001", []),
    ({"customer": "Zenith Trading"}, "PA-1001", [("roster.name", "review")]),
    ({"customer_dea": None, "customer_hin": None}, "PA-1001", [("roster.by_name", "note")]),
    ({"customer": "St. Anna Region Hospitals", "customer_dea": None, "customer_hin": None}, "PA-1001",
     [("roster.by_name", "review")]),
    ({"customer": "Ironwood Veterinary", "customer_dea": None, "customer_hin": None}, None,
     [("roster.no_member", "deny")]),
    ({"sold_on": date(2025, 12, 31)}, "PA-1001", [("roster.not_yet", "deny")]),
    ({"sold_on": date(2026, 5, 31)}, "PA-1001", []),
    ({"sold_on": date(2026, 6, 1)}, "PA-1001", [("roster.left_recently", "review")]),
    ({"sold_on": date(2026, 7, 1)}, "PA-1001", [("roster.left_recently", "review")]),
    ({"sold_on": date(2026, 7, 2)}, "PA-1001", [("roster.left", "deny")]),
])  # fmt: skip
def test_the_roster_tells_who_was_a_member_on_that_day(changes: Any, member: Any, found: Any) -> None:
    membership = check_roster(a_claim(**changes), [OTHER, ANNE])
    assert (membership.member, codes(membership.findings)) == (member, found)


def test_an_empty_roster_has_no_members() -> None:
    assert codes(check_roster(a_claim(), []).findings) == [("roster.no_member", "deny")]


@pytest.mark.parametrize(("changes", "found"), [
    ({}, []),
    ({"until": date(2026, 2, 4)}, []),
    ({"until": date(2026, 2, 3)}, [("federal.not_active", "deny")]),
    ({"since": date(2026, 2, 4)}, [("federal.not_active", "deny")]),
    ({"name": "Zenith Trading"}, [("federal.name", "review")]),
])  # fmt: skip
def test_a_registration_counts_on_the_day_of_the_sale(changes: dict[str, Any], found: list[Any]) -> None:
    said: dict[str, Any] = {
        "number": "AS4395631",
        "name": "St Anne Regional Hosp",
        "state": "x",
        "since": date(2020, 1, 1),
    }
    registration = Registration(**({"until": None} | said | changes))
    assert codes(tuple(check_registration(a_claim(), registration))) == found


def test_who_is_not_registered_is_denied() -> None:
    assert codes(tuple(check_registration(a_claim(), None))) == [("federal.unknown", "deny")]


def to_resolve(**changes: Any) -> ResolveChargeback:
    checked = check_contract(a_claim(), TERMS, PRODUCTS)
    said = {
        "reference": "DOC-1", "claim": a_claim(), "payable": True, "eligible": checked.eligible, "lines": checked.lines,
        "customer_number": "100001", "findings": (),
    }  # fmt: skip
    return ResolveChargeback(**(said | changes))


def test_what_is_due_is_credited_and_the_lines_make_the_amount() -> None:
    resolved = resolve(to_resolve())
    assert (resolved.outcome, resolved.credited.amount, resolved.reasons) == ("credited", a_claim().total, ())
    assert sum(line.amount.amount for line in resolved.lines) == resolved.credited.amount


def test_nothing_is_credited_that_is_not_payable() -> None:
    denied = [{"code": "roster.left", "severity": "deny", "message": "left"}] * 2
    noted = [{"code": "contract.price", "severity": "note", "message": "adjusted"}]
    for changes in ({"payable": False}, {"claim": None}, {"eligible": None}, {"eligible": "0"}):
        resolved = resolve(to_resolve(findings=[*denied, *noted], **changes))
        assert (resolved.outcome, resolved.lines) == ("denied", ())
        assert resolved.credited.amount == 0
        assert resolved.reasons == ("roster.left",)
