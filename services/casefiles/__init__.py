"""Casefiles: set one up, gather evidence for it, analyse what was gathered.

A casefile belongs to somebody, and its access control list says who else may read, write or manage it. Evidence
comes from a mailbox and a drive with files and sheets. People and tools work on casefiles in sessions, whose
history shows every execution. If a workflow turns round, whatever it has created is removed; what others have put
into it meanwhile is not.
"""

_STEPS = (
    "create_casefile", "create_session", "link_session", "store_messages", "search_mail", "list_files",
    "read_sheets", "store_evidence", "fetch_evidence", "process_mails", "process_files", "merge_findings",
)  # fmt: skip
STEP_MODULES = tuple(f"services.casefiles.steps.{name}" for name in _STEPS)
