"""What was found as SARIF 2.1.0, for tools that show findings beside the code."""

from collections.abc import Iterable
from pathlib import PurePath
from typing import Any

from saga.check.findings import RULES, Finding

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def write_sarif(findings: Iterable[Finding], version: str) -> dict[str, Any]:
    """The log of one run."""
    names = list(RULES)
    rules = [
        {
            "id": rule.name,
            "shortDescription": {"text": rule.says},
            "defaultConfiguration": {"level": rule.level.value},
        }
        for rule in RULES.values()
    ]
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "saga check", "version": version, "rules": rules}},
                "results": [_result(finding, names.index(finding.rule)) for finding in findings],
            }
        ],
    }


def _result(finding: Finding, index: int) -> dict[str, Any]:
    place: dict[str, Any] = {
        "logicalLocations": [{"fullyQualifiedName": f"{finding.place}#{finding.pointer}", "kind": "member"}]
    }
    if finding.line:
        place["physicalLocation"] = {
            "artifactLocation": {"uri": PurePath(finding.place).as_posix()},
            "region": {"startLine": finding.line},
        }
    return {
        "ruleId": finding.rule,
        "ruleIndex": index,
        "level": finding.level.value,
        "message": {"text": finding.detail},
        "locations": [place],
    }
