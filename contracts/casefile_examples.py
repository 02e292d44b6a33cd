"""An input of each action of casefiles, as whoever looks an action up is shown it."""

from typing import Any

_MAIL = {
    "message_id": "20260202.1@aldermill.example",
    "sender": "ann@aldermill.example",
    "excerpt": "INV-1042: EUR 1,250.00",
}
_SHEET = {
    "path": "aldermill/invoices.csv",
    "columns": ["Reference", "Currency", "Amount"],
    "rows": [["INV-1042", "EUR", "1250.00"]],
}
_CASEFILE = "01a1fd3a-9aa4-71ae-b8b6-52d734dbf4b4"

EXAMPLES: dict[str, dict[str, Any]] = {
    "create_casefile": {
        "title": "Aldermill v. Brook Haulage",
        "grants": [{"user_id": "theo@lindlaw.example", "permission": "read"}],
    },
    "create_session": {"kind": "chat", "casefile_id": _CASEFILE},
    "link_session": {"session_id": "01a1fd3a-9ad5-71c2-869d-694856eb8630", "casefile_id": _CASEFILE},
    "search_mail": {"query": "from:ann@aldermill.example has:attachment -draft", "limit": 20},
    "list_files": {"pattern": "aldermill/**/*.pdf"},
    "read_sheets": {"patterns": ["aldermill/*.csv", "aldermill/*.xlsx"], "max_rows": 200},
    "store_messages": {"query": "from:client@example.com"},
    "store_evidence": {"mails": [_MAIL], "sheets": [_SHEET]},
    "fetch_evidence": {"casefile_id": _CASEFILE, "limit": 50},
    "process_mails": {"mails": [_MAIL]},
    "process_files": {"files": [], "sheets": [_SHEET]},
    "merge_findings": {
        "mails": {"mails": 0, "first_at": None, "last_at": None, "correspondents": [], "claims": []},
        "files": {"files": 0, "size_bytes": 0, "duplicates": [], "sheets": 0, "bookings": []},
    },
}
