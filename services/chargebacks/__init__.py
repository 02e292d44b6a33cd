"""A wholesaler's chargeback, told by eight small services and the people who review.

A document comes in, the claim in it is read and compared with earlier ones. Contract, roster and federal database
say what of it is due. What nobody can decide by rule waits for a person. Then SAP gets the customer and credits
what is due, and the trail keeps, chained by hash, what everybody said. If a late step fails, the credit is
reversed, the customer withdrawn and the claim forgotten, and the trail says so.
"""

STEP_MODULES = tuple(
    f"services.chargebacks.steps.{name}"
    for name in (
        "extract_identifiers",
        "review",
        "duplicate_check",
        "contract_eligibility",
        "gpo_roster_validation",
        "federal_db_validation",
        "sap_customer_creation",
        "chargeback_resolution",
        "compliance_trail",
    )
)
