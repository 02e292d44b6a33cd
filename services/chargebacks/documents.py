"""Documents as they come: text, sheets of comma-separated values, PDFs. Here they become text, whatever they were.

`python -m services.chargebacks.documents memo.pdf` writes the saga's input for a file.
"""

import base64
import binascii
import hashlib
import io
import logging
import sys
from pathlib import Path

from contracts.chargebacks import ChargebackDocument, MediaType
from contracts.failure import InvalidContract

MAX_PAGES = 20
_MEDIA_TYPES: dict[str, MediaType] = {".txt": "text/plain", ".csv": "text/csv", ".pdf": "application/pdf"}

# What it has to say of damaged files becomes a finding, or does not matter.
logging.getLogger("pypdf").setLevel(logging.CRITICAL)


class UnreadableError(Exception):
    """There is no text in the document; the words say why."""


def raw(document: ChargebackDocument) -> bytes:
    """The document's bytes. Raises UnreadableError."""
    if document.media_type != "application/pdf":
        return document.content.encode()
    try:
        return base64.b64decode(document.content, validate=True)
    except binascii.Error as error:
        raise UnreadableError("the content of a PDF must be base64") from error


def text_of(document: ChargebackDocument) -> str:
    """The document's text, lines as they stand. Takes processor time for a PDF. Raises UnreadableError."""
    if document.media_type == "application/pdf":
        return _text_of_pdf(raw(document))
    if not document.content.strip():
        raise UnreadableError("the document is empty")
    return document.content


def _text_of_pdf(content: bytes) -> str:
    # Slow to import, and seldom needed.
    from pypdf import PdfReader

    try:
        reader = PdfReader(io.BytesIO(content))
        if len(reader.pages) > MAX_PAGES:
            raise UnreadableError(f"{len(reader.pages)} pages, expected at most {MAX_PAGES}")
        text = "\n".join(page.extract_text() for page in reader.pages)
    except UnreadableError:
        raise
    except Exception as error:
        # A damaged file makes the reader stumble in whatever way; it is damaged all the same.
        raise UnreadableError(f"no PDF that can be read: {type(error).__name__}: {error}"[:300]) from error
    if not text.strip():
        raise UnreadableError("a PDF without text: a scan, or a form that was not filled in")
    return text


def document_hash(document: ChargebackDocument) -> str:
    """SHA-256 of what came, so that the same file is known again."""
    return hashlib.sha256(f"{document.media_type}\0{document.content}".encode()).hexdigest()


def document_of(path: Path, reference: str = "") -> ChargebackDocument:
    """The saga's input for a file. Raises InvalidContract if it is of no known kind."""
    media_type = _MEDIA_TYPES.get(path.suffix.lower())
    if media_type is None:
        raise InvalidContract(f"{path}: expected a file that ends in {', '.join(_MEDIA_TYPES)}")
    content = path.read_bytes()
    text = (
        base64.b64encode(content).decode()
        if media_type == "application/pdf"
        else content.decode("utf-8-sig", errors="replace")
    )
    return ChargebackDocument(
        reference=reference or path.stem[:64], name=path.name, media_type=media_type, content=text
    )


if __name__ == "__main__":
    print(document_of(Path(sys.argv[1])).model_dump_json())
