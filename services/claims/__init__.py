"""Seller reimbursement claims in seven phases: what a marketplace owes is found, proven, claimed and reconciled.

An account lets us in, its records are fetched, discrepancies are found in them and matched with invoices. What is
well proven is submitted, what is less so is asked about, the rest is parked. A case is followed until it is decided:
a rejection teaches and goes once more, a payout is reconciled to the cent and gets its proof packet. Every phase is a
saga of its own, entered by the fact that starts it, whoever states it.
"""

_STEPS = (
    "enter_phase", "open_phase", "sync_records", "detect_discrepancies", "match_evidence", "open_claims",
    "decide_submission", "ask_seller", "submit_claim", "track_claim", "learn_from_rejection", "strengthen_evidence",
    "reconcile_payout", "charge_fee", "write_packet",
)  # fmt: skip
STEP_MODULES = tuple(f"services.claims.steps.{name}" for name in _STEPS)
