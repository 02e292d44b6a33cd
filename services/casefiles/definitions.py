"""The three workflows of casefiles, as tables: step - after - input."""

from typing import Any

from contracts.definition import SagaDefinition, Step
from contracts.retries import ExponentialRetry, FixedRetry, RetryPolicy

QUICKLY = FixedRetry(max_attempts=3, delay_s=0.2)
PATIENTLY = ExponentialRetry(max_attempts=6, delay_s=0.5, max_delay_s=30.0)
HERE: dict[str, Any] = {"casefile_id": "${input.casefile_id}", "user_id": "${input.user_id}"}
_DEADLINE_S = 600


def row(
    name: str,
    *after: str,
    retry: RetryPolicy = QUICKLY,
    timeout_s: float = 30.0,
    action: str = "",
    **given: Any,
) -> Step:
    """One line of a table: the step, what it follows, its patience, and what it is told."""
    return Step(
        name=name,
        action=f"casefiles.{action or name}",
        after=after,
        input=given,
        retry=retry,
        timeout_s=timeout_s,
    )


SETUP = SagaDefinition(
    name="casefile-setup",
    description="Open a casefile and a session on it, and store the mails that belong to it: one after the other.",
    input_type="casefiles.SetUpCasefile",
    deadline_s=_DEADLINE_S,
    steps=(
        row(
            "create_casefile",
            title="${input.title}",
            user_id="${input.user_id}",
            grants="${input.grants:-[]}",
        ),
        row("create_session", "create_casefile", casefile_id="${steps.create_casefile.casefile_id}"),
        row("store_messages", "create_session", query="${input.query}", retry=PATIENTLY),
    ),
)

GATHER = SagaDefinition(
    name="casefile-gather",
    description="Search mails, list files and read tables side by side; store all of it, or nothing.",
    input_type="casefiles.GatherEvidence",
    deadline_s=_DEADLINE_S,
    steps=(
        row("create_session", **HERE),
        row("search_mail", "create_session", query="${input.query}", retry=PATIENTLY),
        row("list_files", "create_session", pattern="${input.files}", retry=PATIENTLY),
        row("read_sheets", "create_session", patterns="${input.sheets}", retry=PATIENTLY),
        row(
            "store_evidence",
            "search_mail",
            "list_files",
            "read_sheets",
            **HERE,
            mails="${steps.search_mail.mails}",
            files="${steps.list_files.files}",
            sheets="${steps.read_sheets.sheets}",
        ),
    ),
)

ANALYSIS = SagaDefinition(
    name="casefile-analysis",
    description="Fetch the evidence, process mails and files side by side, merge what was found into a report.",
    input_type="casefiles.AnalyseCasefile",
    deadline_s=_DEADLINE_S,
    steps=(
        row("create_session", **HERE),
        row("fetch", "create_session", action="fetch_evidence", **HERE),
        row("process_mails", "fetch", mails="${steps.fetch.mails}", more="${steps.fetch.more}"),
        row(
            "process_files",
            "fetch",
            files="${steps.fetch.files}",
            sheets="${steps.fetch.sheets}",
            more="${steps.fetch.more}",
        ),
        row(
            "merge",
            "process_mails",
            "process_files",
            action="merge_findings",
            **HERE,
            mails="${steps.process_mails.findings}",
            files="${steps.process_files.findings}",
        ),
    ),
)

DEFINITIONS = (SETUP, GATHER, ANALYSIS)
