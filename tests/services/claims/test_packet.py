"""The proof packet is a PDF that says everything, the same for the same proof."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO

from pypdf import PdfReader

from services.claims.packet import Item, Proof, content_hash, write

PROOF = Proof(
    title="Proof of claim C-1",
    facts=[("SKU", "TEA-100"), ("quantity", "3")],
    money=[("claimed", "51.00 USD"), ("paid by P-1", "51.00 USD (exact)")],
    history=[(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "phase 4 entered")],
    evidence=[
        Item("invoice", "I-1", "3 units, 100%", "a" * 64),
        Item("adjustments", "A-1", "lost", "b" * 64),
    ],
)


def text(pdf: bytes) -> str:
    """Without its spaces: lines are broken where they are full."""
    return squeezed("".join(page.extract_text() for page in PdfReader(BytesIO(pdf)).pages))


def squeezed(said: str) -> str:
    return "".join(said.split())


def test_it_says_what_was_claimed_paid_and_proven_with_hashes() -> None:
    written = write(PROOF)
    assert written.pdf.startswith(b"%PDF-")
    said = text(written.pdf)
    for told in (
        "Proof of claim C-1",
        "TEA-100",
        "51.00 USD (exact)",
        "2026-01-02 03:04:05 UTC",
        "a" * 64,
        "b" * 64,
    ):
        assert squeezed(told) in said
    assert PROOF.digest in said
    assert written.sha256 == hashlib.sha256(written.pdf).hexdigest()


def test_the_same_proof_gives_the_same_bytes_and_another_one_others() -> None:
    assert write(PROOF).pdf == write(PROOF).pdf
    other = replace(PROOF, evidence=PROOF.evidence[:1])
    assert (other.digest != PROOF.digest, write(other).sha256 != write(PROOF).sha256) == (True, True)


def test_what_looks_like_markup_or_is_in_another_script_does_no_harm() -> None:
    odd = replace(PROOF, facts=[("SKU", "<b>&amp; <img src='/etc/passwd'/>"), ("supplier", "茶 & Söhne")])
    said = text(write(odd).pdf)
    assert squeezed("<b>&amp; <img src='/etc/passwd'/>") in said
    assert "?&Söhne" in said


def test_much_evidence_goes_on_on_further_pages() -> None:
    many = replace(PROOF, evidence=[Item("fees", f"F-{n}", "charged 3.22", f"{n:064x}") for n in range(200)])
    written = write(many)
    assert written.pages == len(PdfReader(BytesIO(written.pdf)).pages) > 1
    assert "F-199" in text(written.pdf)


def test_a_contents_hash_does_not_depend_on_the_order_of_its_fields() -> None:
    assert content_hash({"a": 1, "b": 2}) == content_hash({"b": 2, "a": 1}) != content_hash({"a": 1, "b": 3})
