"""Sample documents with known answers, one a line. `generate` writes the file anew; PDFs are drawn when read."""

import base64
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from reportlab.pdfgen.canvas import Canvas

from contracts.chargebacks import ChargebackDocument

PAGE = (612, 792)
_LEFT, _TOP, _SIZE = 50, 740, 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A document and its known answer.

    `claim` is what it says (None: nobody can say), `outcome`, `credited` and `reasons` what is to become of it.
    `decisions` are what reviewers say, by step. `wave` 2 must come after wave 1.
    """

    document: ChargebackDocument
    wave: int
    claim: dict[str, Any] | None
    outcome: str
    credited: str
    reasons: tuple[str, ...]
    decisions: dict[str, dict[str, Any]]


def samples() -> Iterator[Sample]:
    """The shipped sample, in its order."""
    text = (files("services.chargebacks") / "sample" / "documents.jsonl").read_text()
    for line in text.splitlines():
        entry = json.loads(line)
        document = entry["document"]
        if document["media_type"] == "application/pdf":
            document["content"] = base64.b64encode(drawn(document["content"])).decode()
        yield Sample(
            document=ChargebackDocument.model_validate(document),
            wave=entry["wave"],
            claim=entry["claim"],
            outcome=entry["outcome"],
            credited=entry["credited"],
            reasons=tuple(entry["reasons"]),
            decisions=entry["decisions"],
        )


def drawn(text: str) -> bytes:
    """A PDF of one page with these lines; the same bytes every time. Without lines, a page without text."""
    content = io.BytesIO()
    canvas = Canvas(content, pagesize=PAGE, invariant=1)
    canvas.rect(_LEFT - 10, 40, PAGE[0] - 2 * _LEFT + 20, PAGE[1] - 80)
    lines = canvas.beginText(_LEFT, _TOP)
    lines.setFont("Courier", _SIZE)
    for line in text.splitlines():
        lines.textLine(line)
    canvas.drawText(lines)
    canvas.showPage()
    canvas.save()
    return content.getvalue()
