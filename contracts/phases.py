"""The seven phases of seller reimbursement claims, each a saga that a fact (or a request over HTTP) enters.

    1 account connected   -> sync            5 claim submitted  -> track until it is decided
    2 sync completed      -> detection       6 claim rejected   -> learn, submit again once
    3 detection completed -> evidence        7 payout received  -> reconcile, fee, proof packet
    4 evidence matched    -> submit, ask the seller, or park

Phases 1 to 3 are about an account, 4 to 7 about one claim. To enter phase N is to start `claims-phase-N` with the
phase's entry as input. An entry's `key` is entered once; `after` is the key that must have been entered before.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from contracts.failure import NotFound
from contracts.marketplace import RecordId
from contracts.money import Money

AccountId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,39}$")]
Run = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,31}$")]
ClaimId = Annotated[str, StringConstraints(pattern=r"^C-[0-9A-F]{16}$")]
Percent = Annotated[int, Field(ge=0, le=100)]

MAX_SUBMISSIONS = 2
Submission = Annotated[int, Field(ge=1, le=MAX_SUBMISSIONS, description="1, or 2: once more")]


class _Contract(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PhaseEntry(_Contract, ABC):
    """What enters a phase. Who repeats it word for word repeats the same entry."""

    account_id: AccountId

    @property
    @abstractmethod
    def key(self) -> str:
        """What is entered, once: `<phase>:<whom it is about>[:<which time>]`."""

    @property
    @abstractmethod
    def after(self) -> str | None:
        """The key that must be entered before; None for the first."""


class AccountConnected(PhaseEntry):
    """1: the seller has let us in (OAuth; no token is on the bus). `run`: each looks at all records anew."""

    run: Run = "1"

    @property
    def key(self) -> str:
        return f"1:{self.account_id}/{self.run}"

    @property
    def after(self) -> str | None:
        return None


class SyncCompleted(PhaseEntry):
    """2: the marketplace's records of the account are here."""

    run: Run = "1"
    records: int = Field(ge=0)

    @property
    def key(self) -> str:
        return f"2:{self.account_id}/{self.run}"

    @property
    def after(self) -> str | None:
        return f"1:{self.account_id}/{self.run}"


class DetectionCompleted(PhaseEntry):
    """3: discrepancies have been looked for, and so many were found."""

    run: Run = "1"
    findings: int = Field(ge=0)

    @property
    def key(self) -> str:
        return f"3:{self.account_id}/{self.run}"

    @property
    def after(self) -> str | None:
        return f"2:{self.account_id}/{self.run}"


class EvidenceMatched(PhaseEntry):
    """4: a claim has its evidence; `confidence` is how good it is."""

    run: Run = "1"
    claim_id: ClaimId
    confidence: Percent

    @property
    def key(self) -> str:
        return f"4:{self.claim_id}"

    @property
    def after(self) -> str | None:
        return f"3:{self.account_id}/{self.run}"


class ClaimSubmitted(PhaseEntry):
    """5: the marketplace has the claim, as a case of its own."""

    claim_id: ClaimId
    submission: Submission
    case_id: RecordId

    @property
    def key(self) -> str:
        return f"5:{self.claim_id}:{self.submission}"

    @property
    def after(self) -> str | None:
        return f"4:{self.claim_id}" if self.submission == 1 else f"6:{self.claim_id}:{self.submission - 1}"


class ClaimRejected(PhaseEntry):
    """6: the marketplace says no, in its own words."""

    claim_id: ClaimId
    submission: Submission
    case_id: RecordId
    reason: str = Field(max_length=500)

    @property
    def key(self) -> str:
        return f"6:{self.claim_id}:{self.submission}"

    @property
    def after(self) -> str | None:
        return f"5:{self.claim_id}:{self.submission}"


class PayoutReceived(PhaseEntry):
    """7: the marketplace has paid."""

    claim_id: ClaimId
    submission: Submission
    case_id: RecordId
    payout_id: RecordId
    amount: Money
    paid_at: AwareDatetime

    @property
    def key(self) -> str:
        return f"7:{self.claim_id}:{self.payout_id}"

    @property
    def after(self) -> str | None:
        return f"5:{self.claim_id}:{self.submission}"


@dataclass(frozen=True, slots=True)
class Phase:
    """A phase: its number, what its entry says has happened, and the entry's contract."""

    number: int
    name: str
    entry: type[PhaseEntry]

    @property
    def definition(self) -> str:
        """The saga that its entry starts."""
        return definition_name(self.number)


def definition_name(number: int) -> str:
    """The definition by which a phase, or an older step, is entered on the bus."""
    return f"claims-phase-{number}"


PHASES: Mapping[int, Phase] = {
    phase.number: phase
    for phase in (
        Phase(1, "account_connected", AccountConnected),
        Phase(2, "sync_completed", SyncCompleted),
        Phase(3, "detection_completed", DetectionCompleted),
        Phase(4, "evidence_matched", EvidenceMatched),
        Phase(5, "claim_submitted", ClaimSubmitted),
        Phase(6, "claim_rejected", ClaimRejected),
        Phase(7, "payout_received", PayoutReceived),
    )
}
OLDER_STEPS: Mapping[int, int] = {10: 3, 11: 4, 12: 5, 13: 6, 14: 7}
"""The compatibility map: what was step 10 to 14 of the older flow is accepted as the phase it has become."""


class UnknownPhase(NotFound):
    """There is no phase of that number."""

    code = "phase.unknown"


def phase_of(number: int) -> Phase:
    """The phase of that number, or of that older step. Raises NotFound."""
    found = PHASES.get(OLDER_STEPS.get(number, number))
    if found is None:
        raise UnknownPhase(f"no phase {number}: there are 1 to 7, and 10 to 14 for older steps")
    return found


def phase_saga_key(entry: PhaseEntry) -> str:
    """The idempotency key under which an entry starts its saga, whoever states it."""
    return f"claims.phase {entry.key}"
