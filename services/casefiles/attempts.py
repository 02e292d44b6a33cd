"""What the demo plays: the sample's cases, and attempts that must be refused."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from contracts.definition import SagaDefinition
from services.casefiles.definitions import ANALYSIS, GATHER, SETUP
from services.casefiles.sample import CLERK, GUEST, PARTNER, Case


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One saga to play. `expect` is how it must end, `refused` with which code."""

    definition: SagaDefinition
    input: dict[str, Any]
    refused: str = ""

    @property
    def expect(self) -> str:
        return "compensated" if self.refused else "completed"


def setups(known: Sequence[Case]) -> list[Attempt]:
    """Every case, and one whose query cannot be read."""
    grants = [{"user_id": CLERK, "permission": "read"}]
    good = [
        {"title": case.title, "user_id": PARTNER, "query": case.query, "grants": grants} for case in known
    ]
    unreadable = good[0] | {"query": "after:someday"}
    return [
        *(Attempt(definition=SETUP, input=told) for told in good),
        Attempt(definition=SETUP, input=unreadable, refused="mailbox.query"),
    ]


def gatherings(known: Sequence[Case], ids: dict[str, str]) -> list[Attempt]:
    """Every case, one with a sheet that is not there, and one by somebody who may only read.

    `ids`: the casefile of each client.
    """
    good = [
        {
            "casefile_id": ids[case.client],
            "user_id": PARTNER,
            "query": case.query,
            "files": f"{case.client}/*",
            "sheets": [f"{case.client}/*.csv", f"{case.client}/*.xlsx"],
        }
        for case in known
    ]
    return [
        *(Attempt(definition=GATHER, input=told) for told in good),
        Attempt(definition=GATHER, input=good[0] | {"sheets": ["missing/*.xlsx"]}, refused="sheets.none"),
        Attempt(definition=GATHER, input=good[0] | {"user_id": CLERK}, refused="casefile.forbidden"),
    ]


def analyses(known: Sequence[Case], ids: dict[str, str]) -> list[Attempt]:
    """Every case, and one by a stranger."""
    stranger = {"casefile_id": ids[known[0].client], "user_id": GUEST}
    return [
        *(
            Attempt(definition=ANALYSIS, input={"casefile_id": ids[case.client], "user_id": PARTNER})
            for case in known
        ),
        Attempt(definition=ANALYSIS, input=stranger, refused="casefile.unknown"),
    ]
