"""The three workflows of casefiles, built in code.

They say their retries, which policies say for other workflows, because whoever runs an export knows no policies.
"""

from contracts.casefiles import PATIENTLY, QUICKLY, AnalyseCasefile, GatherEvidence, SetUpCasefile
from saga.sdk.builder import WorkflowBuilder

_DEADLINE_S = 600
_HERE = {"casefile_id": "${input.casefile_id}", "user_id": "${input.user_id}"}


def workflow(name: str, description: str) -> WorkflowBuilder:
    """A workflow of the domain, still without steps."""
    return (
        WorkflowBuilder(name, domain="casefiles")
        .with_description(description)
        .with_version("1")
        .with_timeout(_DEADLINE_S)
        .with_retry(QUICKLY)
    )


SETUP = (
    workflow("casefile-setup", "Open a casefile and a session on it, and store the mails that belong to it.")
    .with_input(SetUpCasefile)
    .with_execution_mode("sequential")
    .add_step(
        "create_casefile",
        params={
            "title": "${input.title}",
            "user_id": "${input.user_id}",
            "grants": "${input.grants:-[]}",
        },
    )
    .add_step("create_session", params={"casefile_id": "${steps.create_casefile.casefile_id}"})
    .add_step("store_messages", params={"query": "${input.query}"}, retry=PATIENTLY)
    .build()
)

GATHER = (
    workflow(
        "casefile-gather", "Search mails, list files and read tables side by side; store all, or nothing."
    )
    .with_input(GatherEvidence)
    .with_execution_mode("dag")
    .add_step("create_session", params=_HERE)
    .add_step(
        "search_mail", depends_on=["create_session"], params={"query": "${input.query}"}, retry=PATIENTLY
    )
    .add_step(
        "list_files", depends_on=["create_session"], params={"pattern": "${input.files}"}, retry=PATIENTLY
    )
    .add_step(
        "read_sheets", depends_on=["create_session"], params={"patterns": "${input.sheets}"}, retry=PATIENTLY
    )
    .add_step(
        "store_evidence",
        depends_on=["search_mail", "list_files", "read_sheets"],
        params={
            **_HERE,
            "mails": "${steps.search_mail.mails}",
            "files": "${steps.list_files.files}",
            "sheets": "${steps.read_sheets.sheets}",
        },
    )
    .build()
)

ANALYSIS = (
    workflow("casefile-analysis", "Process mails and files side by side, merge what was found into a report.")
    .with_input(AnalyseCasefile)
    .with_execution_mode("dag")
    .add_step("create_session", params=_HERE)
    .add_step("fetch", action="fetch_evidence", depends_on=["create_session"], params=_HERE)
    .add_step(
        "process_mails",
        depends_on=["fetch"],
        params={"mails": "${steps.fetch.mails}", "more": "${steps.fetch.more}"},
    )
    .add_step(
        "process_files",
        depends_on=["fetch"],
        params={
            "files": "${steps.fetch.files}",
            "sheets": "${steps.fetch.sheets}",
            "more": "${steps.fetch.more}",
        },
    )
    .add_step(
        "merge",
        action="merge_findings",
        depends_on=["process_mails", "process_files"],
        params={
            **_HERE,
            "mails": "${steps.process_mails.findings}",
            "files": "${steps.process_files.findings}",
        },
    )
    .build()
)

DEFINITIONS = (SETUP, GATHER, ANALYSIS)
