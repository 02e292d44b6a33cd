"""Names of parties, compared as people mean them: without legal forms, with the usual abbreviations written out."""

import re

from rapidfuzz import fuzz

_LEGAL_FORMS = frozenset({"inc", "llc", "llp", "ltd", "corp", "corporation", "co", "company", "the", "of"})
_WRITTEN_OUT = {
    "st": "saint", "hosp": "hospital", "ctr": "center", "centre": "center", "med": "medical", "univ": "university",
    "reg": "regional", "rgnl": "regional", "mem": "memorial", "meml": "memorial", "surg": "surgical",
    "pharm": "pharmacy", "hlth": "health", "comm": "community", "cty": "county", "clin": "clinic",
}  # fmt: skip


def normal(name: str) -> str:
    """The words that tell one party from another."""
    words = re.sub(r"[^a-z0-9 ]", " ", name.lower().replace("'", "").replace("&", " and ")).split()
    kept = [_WRITTEN_OUT.get(word, word) for word in words if word not in _LEGAL_FORMS]
    return " ".join(kept or words)


def likeness(one: str, other: str) -> int:
    """How alike two names are, in percent, whatever the order of their words."""
    return round(fuzz.token_sort_ratio(normal(one), normal(other)))
