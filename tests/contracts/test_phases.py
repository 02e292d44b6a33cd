"""The phases of a claim: their numbers, the older steps, and the order of their entries."""

from datetime import UTC, datetime

import pytest

from contracts.money import Money
from contracts.phases import (
    OLDER_STEPS,
    PHASES,
    AccountConnected,
    ClaimRejected,
    ClaimSubmitted,
    DetectionCompleted,
    EvidenceMatched,
    PayoutReceived,
    SyncCompleted,
    UnknownPhase,
    phase_of,
    phase_saga_key,
)

CLAIM = {"account_id": "S-1", "claim_id": "C-0123456789ABCDEF"}


def test_there_are_seven_and_the_older_steps_lead_to_them() -> None:
    assert [phase_of(number).number for number in range(1, 8)] == [1, 2, 3, 4, 5, 6, 7]
    assert [phase_of(number).number for number in range(10, 15)] == [3, 4, 5, 6, 7]
    assert set(OLDER_STEPS.values()) <= set(PHASES)


@pytest.mark.parametrize("number", [-1, 0, 8, 9, 15])
def test_another_number_is_no_phase(number: int) -> None:
    with pytest.raises(UnknownPhase, match=f"no phase {number}: there are 1 to 7, and 10 to 14"):
        phase_of(number)


def test_every_entry_follows_the_one_before_it() -> None:
    paid = {
        "payout_id": "P-1",
        "amount": Money.of("1.00", "USD"),
        "paid_at": datetime(2026, 1, 1, tzinfo=UTC),
    }
    chain = [
        AccountConnected(account_id="S-1"),
        SyncCompleted(account_id="S-1", records=1),
        DetectionCompleted(account_id="S-1", findings=1),
        EvidenceMatched(**CLAIM, confidence=90),
        ClaimSubmitted(**CLAIM, submission=1, case_id="K-1"),
        ClaimRejected(**CLAIM, submission=1, case_id="K-1", reason="no"),
        ClaimSubmitted(**CLAIM, submission=2, case_id="K-2"),
        PayoutReceived.model_validate({**CLAIM, "submission": 2, "case_id": "K-2", **paid}),
    ]
    assert chain[0].after is None
    assert [entry.after for entry in chain[1:]] == [entry.key for entry in chain[:-2]] + [chain[-2].key]
    assert len({phase_saga_key(entry) for entry in chain}) == len(chain)


def test_another_run_of_an_account_is_entered_anew() -> None:
    assert AccountConnected(account_id="S-1").key != AccountConnected(account_id="S-1", run="2").key
