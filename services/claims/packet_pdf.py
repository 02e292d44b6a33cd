"""How a proof packet looks on paper."""

from collections.abc import Sequence
from io import BytesIO
from typing import Any

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from services.claims.packet import Proof, Written

_STYLES = getSampleStyleSheet()
_MARGIN = 18 * mm
_GRID = TableStyle(
    [
        ("GRID", (0, 0), (-1, -1), 0.25, colors.grey),
        ("BACKGROUND", (0, 0), (-1, 0), colors.whitesmoke),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ]
)


def draw(proof: Proof) -> Written:
    """The packet, drawn."""
    out = BytesIO()
    document = SimpleDocTemplate(
        out, pagesize=A4, title=proof.title, author="Claims", invariant=1,
        leftMargin=_MARGIN, rightMargin=_MARGIN, topMargin=_MARGIN, bottomMargin=_MARGIN,
    )  # fmt: skip
    moments = [(at.strftime("%Y-%m-%d %H:%M:%S UTC"), what) for at, what in proof.history]
    listed = [(item.what, item.name, item.says, item.sha256) for item in proof.evidence]
    story = [
        Paragraph(_plain(proof.title), _STYLES["Title"]),
        *_section("Claim", [("field", "value"), *proof.facts], (45, 125)),
        *_section("Money", [("amount", "value"), *proof.money], (45, 125)),
        *_section("History", [("when", "what"), *moments], (45, 125)),
        *_section("Evidence", [("kind", "name", "says", "SHA-256"), *listed], (25, 27, 63, 55)),
        Spacer(1, 4 * mm),
        Paragraph(f"SHA-256 over the evidence: {proof.digest}", _STYLES["BodyText"]),
    ]
    document.build(story, onFirstPage=_numbered, onLaterPages=_numbered)
    return Written(out.getvalue(), document.page)


def _section(title: str, lines: Sequence[Sequence[str]], widths_mm: Sequence[int]) -> list[Any]:
    cells = [[Paragraph(_plain(text), _STYLES["BodyText"]) for text in line] for line in lines]
    table = Table(cells, colWidths=[width * mm for width in widths_mm], repeatRows=1)
    table.setStyle(_GRID)
    return [Paragraph(title, _STYLES["Heading2"]), table]


def _plain(text: str) -> str:
    """The text as the standard fonts can show it, with nothing that reads as markup."""
    shown = text.encode("latin-1", "replace").decode("latin-1")
    return shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _numbered(canvas: Canvas, document: Any) -> None:
    canvas.setFont("Helvetica", 8)
    canvas.drawRightString(A4[0] - _MARGIN, 10 * mm, f"page {document.page}")
