"""The seven phases as sagas: step - after - what it is told. Older steps are the same under names of their own."""

from typing import Any

from contracts.definition import SagaDefinition, Step
from contracts.phases import OLDER_STEPS, PHASES, definition_name
from contracts.retries import ExponentialRetry

PATIENTLY = ExponentialRetry(max_attempts=60, delay_s=0.5, max_delay_s=900.0)
"""A marketplace that is away for half a day costs nobody a claim."""
_LONG_S = 600.0
"""For what is done for a whole account at once."""


def row(
    name: str, *after: str, action: str = "", when: str | None = None, pivot: bool = False,
    timeout_s: float = 30.0, **given: Any,
) -> Step:  # fmt: skip
    """One line of a table."""
    return Step(
        name=name,
        action=f"claims.{action or name}",
        after=after,
        input=given,
        when=when,
        retry=PATIENTLY,
        pivot=pivot,
        timeout_s=timeout_s,
    )


def opens(name: str, phase: int, *after: str, when: str | None = None, **entry: Any) -> Step:
    """The step by which a phase enters another."""
    return row(name, *after, action="open_phase", when=when, phase=phase, entry=entry)


def phase(number: int, *steps: Step) -> SagaDefinition:
    """A phase: its entry is checked, then its steps follow."""
    contract = PHASES[number]
    entry = {name: f"${{input.{name}}}" for name in contract.entry.model_fields}
    return SagaDefinition(
        name=contract.definition,
        description=f"Claims, phase {number}: {contract.name.replace('_', ' ')}.",
        input_type=f"claims.{contract.entry.__name__}",
        steps=(row("enter", action="enter_phase", phase=number, entry=entry), *steps),
    )


ACCOUNT: dict[str, Any] = {"account_id": "${input.account_id}"}
RUN: dict[str, Any] = {**ACCOUNT, "run": "${input.run}"}
CLAIM: dict[str, Any] = {"claim_id": "${input.claim_id}"}
CASE: dict[str, Any] = {
    **ACCOUNT,
    **CLAIM,
    "submission": "${input.submission}",
    "case_id": "${input.case_id}",
}

_ASKED = "steps.decide.decision == 'ask'"
_TO_SUBMIT = f"steps.decide.decision == 'submit' || ({_ASKED} && steps.ask.answer == 'submit')"
_ONCE_MORE = "steps.learn.next != 'stop'"

DEFINITIONS_BY_PHASE = {
    1: phase(
        1,
        row("sync", "enter", action="sync_records", timeout_s=_LONG_S, **ACCOUNT),
        opens("next", 2, "sync", **RUN, records="${steps.sync.records}"),
    ),
    2: phase(
        2,
        row("detect", "enter", action="detect_discrepancies", timeout_s=_LONG_S, **RUN),
        opens("next", 3, "detect", **RUN, findings="${steps.detect.findings}"),
    ),
    3: phase(
        3,
        row("match", "enter", action="match_evidence", timeout_s=_LONG_S, **RUN),
        row("next", "match", action="open_claims", timeout_s=_LONG_S, **RUN),
    ),
    4: phase(
        4,
        row("decide", "enter", action="decide_submission", **CLAIM, confidence="${input.confidence}"),
        row("ask", "decide", action="ask_seller", when=_ASKED, **CLAIM),
        row("submit", "ask", action="submit_claim", when=_TO_SUBMIT, **CLAIM),
        opens(
            "next", 5, "submit", when=_TO_SUBMIT, **ACCOUNT, **CLAIM,
            submission="${steps.submit.submission}", case_id="${steps.submit.case_id}",
        ),
    ),
    5: phase(
        5,
        row(
            "track", "enter", action="track_claim", **CLAIM, submission="${input.submission}",
            case_id="${input.case_id}",
        ),
        opens("rejected", 6, "track", when="steps.track.outcome == 'rejected'", **CASE, reason="${steps.track.reason}"),
        opens(
            "paid", 7, "track", when="steps.track.outcome == 'paid'", **CASE,
            payout_id="${steps.track.payout.payout_id}", amount="${steps.track.payout.amount}",
            paid_at="${steps.track.payout.paid_at}",
        ),
    ),
    6: phase(
        6,
        row(
            "learn", "enter", action="learn_from_rejection", **CLAIM, submission="${input.submission}",
            reason="${input.reason}",
        ),
        row("strengthen", "learn", action="strengthen_evidence", when="steps.learn.next == 'resubmit'", **CLAIM),
        row("submit", "strengthen", action="submit_claim", when=_ONCE_MORE, **CLAIM, how="${steps.learn.next}"),
        opens(
            "next", 5, "submit", when=_ONCE_MORE, **ACCOUNT, **CLAIM,
            submission="${steps.submit.submission}", case_id="${steps.submit.case_id}",
        ),
    ),
    7: phase(
        7,
        row(
            "reconcile", "enter", action="reconcile_payout", pivot=True, **CLAIM, case_id="${input.case_id}",
            payout_id="${input.payout_id}", amount="${input.amount}",
        ),
        row(
            "fee", "reconcile", action="charge_fee", **CLAIM, payout_id="${input.payout_id}",
            paid="${steps.reconcile.paid}",
        ),
        row("packet", "fee", action="write_packet", **CLAIM, payout_id="${input.payout_id}"),
    ),
}  # fmt: skip

OLDER_DEFINITIONS = tuple(
    DEFINITIONS_BY_PHASE[number].model_copy(
        update={
            "name": definition_name(older),
            "description": f"Step {older} of the older flow: phase {number}.",
        }
    )
    for older, number in OLDER_STEPS.items()
)
DEFINITIONS = (*DEFINITIONS_BY_PHASE.values(), *OLDER_DEFINITIONS)
