"""Documents become text, or a clear word why not; nothing in a file stops the step."""

import base64
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.failure import InvalidContract
from services.chargebacks.documents import UnreadableError, document_hash, document_of, text_of
from services.chargebacks.sample import drawn
from tests.services.chargebacks.claims import a_claim, a_document, written


def a_pdf(content: bytes) -> str:
    return base64.b64encode(content).decode()


def test_a_drawn_pdf_gives_its_text_back_and_is_the_same_every_time() -> None:
    text = written(a_claim())
    assert drawn(text) == drawn(text)
    read = text_of(a_document(a_pdf(drawn(text)), "application/pdf"))
    assert [line.split() for line in read.splitlines() if line.strip()] == [
        line.split() for line in text.splitlines() if line.strip()
    ]


@pytest.mark.parametrize(("content", "media_type", "why"), [
    ("", "text/plain", "empty"), ("  \n", "text/csv", "empty"), ("no base64!", "application/pdf", "base64"),
    (a_pdf(b"GIF89a"), "application/pdf", "no PDF"), (a_pdf(b"%PDF-1.4\n%%EOF"), "application/pdf", "no PDF"),
    (a_pdf(drawn("")), "application/pdf", "without text"), (a_pdf(b""), "application/pdf", "no PDF"),
])  # fmt: skip
def test_what_has_no_text_says_why(content: str, media_type: str, why: str) -> None:
    with pytest.raises(UnreadableError, match=why):
        text_of(a_document(content, media_type))


WHOLE = drawn(written(a_claim()))


@given(cut=st.integers(0, len(WHOLE)), at=st.integers(0, len(WHOLE) - 1), byte=st.integers(0, 255))
def test_no_damage_of_a_pdf_raises_anything_else(cut: int, at: int, byte: int) -> None:
    damaged = bytearray(WHOLE)
    damaged[at] = byte
    for content in (bytes(damaged), WHOLE[:cut]):
        with suppress(UnreadableError):
            text_of(a_document(a_pdf(content), "application/pdf"))


def test_the_same_content_as_another_kind_is_another_document() -> None:
    text, sheet = a_document("a"), a_document("a", "text/csv")
    assert document_hash(text) == document_hash(a_document("a", reference="DOC-2"))
    assert document_hash(text) != document_hash(sheet)


def test_a_file_becomes_the_input_of_a_saga(tmp_path: Path) -> None:
    pdf, sheet = tmp_path / "memo.PDF", tmp_path / "claims.csv"
    pdf.write_bytes(WHOLE)
    sheet.write_bytes("\ufeffcontract\nA-1\n".encode())
    assert text_of(document_of(pdf)).startswith("Meridian")
    document = document_of(sheet, "R-1")
    assert (document.reference, document.name, document.content) == ("R-1", "claims.csv", "contract\nA-1\n")
    with pytest.raises(InvalidContract, match=r"\.txt, \.csv, \.pdf"):
        document_of(tmp_path / "memo.docx")
