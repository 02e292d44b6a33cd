"""Sample payments: one request a line, with the outcome to expect. `generate` writes the file anew."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files

from contracts.payments import PaymentRequest


@dataclass(frozen=True, slots=True)
class Sample:
    """A request and what becomes of it: `completed`, or `compensated` because `refused_at` says `reason`."""

    request: PaymentRequest
    expect: str
    refused_at: str = ""
    reason: str = ""


def samples() -> Iterator[Sample]:
    """The shipped sample, in its order."""
    text = (files("services.payments") / "sample" / "payments.jsonl").read_text()
    for line in text.splitlines():
        entry = json.loads(line)
        yield Sample(
            request=PaymentRequest.model_validate(entry["request"]),
            expect=entry["expect"],
            refused_at=entry.get("refused_at", ""),
            reason=entry.get("reason", ""),
        )
