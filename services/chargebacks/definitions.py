"""The chargeback saga as a table: eight steps, and two reviews that only ask somebody if a finding wants it.

A step that was skipped has no output, so conditions first ask whether the claim is `open`.
"""

from typing import Any

from contracts.definition import SagaDefinition, Step
from contracts.retries import ExponentialRetry, FixedRetry, RetryPolicy

QUICKLY = FixedRetry(max_attempts=3, delay_s=0.2)
PATIENTLY = ExponentialRetry(max_attempts=8, delay_s=0.5, max_delay_s=60.0)
SHORTLY = ExponentialRetry(max_attempts=4, delay_s=0.2, max_delay_s=5.0)
"""The federal database may be away for hours: rather ask a person than wait for it."""

OPEN = "steps.duplicate_check.open"
CLAIM = "${steps.duplicate_check.claim}"


def row(
    name: str,
    *after: str,
    action: str = "",
    retry: RetryPolicy = QUICKLY,
    timeout_s: float = 20.0,
    **more: Any,
) -> Step:
    """One line of the table: the step, what it follows, its patience, its condition and what it is told."""
    return Step(
        name=name,
        action=f"chargebacks.{action or name}",
        after=after,
        retry=retry,
        timeout_s=timeout_s,
        **more,
    )


def check(step: str, *, due: str | bool = True) -> dict[str, Any]:
    """What a review hears of a step that was due if that is true."""
    return {"step": step, "due": due, "findings": f"${{steps.{step}.findings}}"}


def metadata(*steps: str) -> list[str]:
    return [f"${{steps.{step}.metadata}}" for step in steps]


DOCUMENT = {"reference": "${input.reference}", "name": "${input.name}"}
SAID = (
    "extract_identifiers",
    "review_extraction",
    "duplicate_check",
    "contract_eligibility",
    "gpo_roster_validation",
    "federal_db_validation",
    "review_checks",
)

CHARGEBACK = SagaDefinition(
    name="chargeback",
    description="From a wholesaler's document to a credit memo, and a trail of how it came to that.",
    input_type="chargebacks.ChargebackDocument",
    steps=(
        row(
            "extract_identifiers",
            timeout_s=60,
            input=DOCUMENT
            | {name: f"${{input.{name}}}" for name in ("media_type", "content", "metadata")},
        ),
        row(
            "review_extraction", "extract_identifiers",
            action="review",
            input=DOCUMENT
            | {
                "claim": "${steps.extract_identifiers.claim}",
                "draft": "${steps.extract_identifiers.draft}",
                "checks": [check("extract_identifiers")],
                "metadata": metadata("extract_identifiers"),
            },
        ),
        row(
            "duplicate_check", "review_extraction",
            input={
                "claim": "${steps.review_extraction.claim}",
                "reference": "${input.reference}",
                "document_hash": "${steps.extract_identifiers.document_hash}",
                "metadata": metadata("review_extraction"),
            },
        ),
        row(
            "contract_eligibility", "duplicate_check",
            when=OPEN,
            input={"claim": CLAIM, "metadata": metadata("duplicate_check")},
        ),
        row(
            "gpo_roster_validation", "contract_eligibility",
            when=f"{OPEN} && steps.contract_eligibility.roster_due",
            input={
                "claim": CLAIM,
                "gpo": "${steps.contract_eligibility.gpo}",
                "metadata": metadata("contract_eligibility"),
            },
        ),
        row(
            "federal_db_validation", "contract_eligibility",
            when=f"{OPEN} && steps.contract_eligibility.federal_due",
            retry=SHORTLY, on_error="continue",
            input={
                "claim": CLAIM,
                "kind": "${steps.contract_eligibility.kind}",
                "metadata": metadata("contract_eligibility"),
            },
        ),
        row(
            "review_checks", "gpo_roster_validation", "federal_db_validation",
            action="review",
            input=DOCUMENT
            | {
                "claim": CLAIM,
                "checks": [
                    check("review_extraction"),
                    check("duplicate_check"),
                    check("contract_eligibility", due="${steps.duplicate_check.open}"),
                    check("gpo_roster_validation", due="${steps.contract_eligibility.roster_due:-false}"),
                    check("federal_db_validation", due="${steps.contract_eligibility.federal_due:-false}"),
                ],
                "metadata": metadata(
                    "duplicate_check", "contract_eligibility", "gpo_roster_validation", "federal_db_validation"
                ),
            },
        ),
        row(
            "sap_customer_creation", "review_checks",
            when="steps.review_checks.payable",
            retry=PATIENTLY, timeout_s=30,
            input={"claim": CLAIM, "metadata": metadata("review_checks")},
        ),
        row(
            "chargeback_resolution", "sap_customer_creation",
            retry=PATIENTLY, timeout_s=30,
            input={
                "reference": "${input.reference}",
                "claim": CLAIM,
                "payable": "${steps.review_checks.payable}",
                "eligible": "${steps.contract_eligibility.eligible}",
                "lines": "${steps.contract_eligibility.lines}",
                "customer_number": "${steps.sap_customer_creation.customer_number}",
                "findings": "${steps.review_checks.findings}",
                "metadata": metadata("review_checks", "sap_customer_creation"),
            },
        ),
        row(
            "compliance_trail", "chargeback_resolution",
            input={
                "reference": "${input.reference}",
                "document_hash": "${steps.extract_identifiers.document_hash}",
                "claim": CLAIM,
                "outcome": "${steps.chargeback_resolution.status}",
                "credited": "${steps.chargeback_resolution.credited}",
                "credit_memo": "${steps.chargeback_resolution.credit_memo}",
                "reviewers": ["${steps.review_extraction.reviewer}", "${steps.review_checks.reviewer}"],
                "entries": [
                    {"step": step, "status": f"${{steps.{step}.status}}", "findings": f"${{steps.{step}.findings}}"}
                    for step in SAID
                ]
                + [{"step": "sap_customer_creation", "status": "${steps.sap_customer_creation.status}"}]
                + [{"step": "chargeback_resolution", "status": "${steps.chargeback_resolution.status}"}],
                "metadata": metadata("chargeback_resolution"),
            },
        ),
    ),
)  # fmt: skip

DEFINITIONS = (CHARGEBACK,)
