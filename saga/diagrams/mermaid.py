"""A diagram as a Mermaid flowchart, for pages that draw them (Markdown on code hosts, wikis)."""

from collections.abc import Iterator

from saga.diagrams.model import STYLES, Diagram

# The names of characters that Mermaid would take for its own.
_NAMED = {"&": "#amp;", '"': "#quot;", "<": "#lt;", ">": "#gt;", "#": "#35;", "`": "#96;"}


def write_mermaid(diagram: Diagram) -> str:
    """The text of the flowchart."""
    return "\n".join(_lines(diagram)) + "\n"


def _lines(diagram: Diagram) -> Iterator[str]:
    # What a box is called is free text; what Mermaid calls it is not.
    names = {box.id: f"n{number}" for number, box in enumerate(diagram.boxes)}
    yield "flowchart TD"
    for box in diagram.boxes:
        text = "<br/>".join(_quoted(line) for line in box.lines)
        yield f'    {names[box.id]}["{text}"]:::{box.look}'
    for arrow in diagram.arrows:
        line = "-.->" if arrow.back else "-->"
        label = f'|"{_quoted(arrow.label)}"|' if arrow.label else ""
        yield f"    {names[arrow.source]} {line}{label} {names[arrow.target]}"
    for look in sorted({box.look for box in diagram.boxes}):
        yield f"    classDef {look} fill:{STYLES[look].fill},stroke:{STYLES[look].stroke},color:#212121"


def _quoted(text: str) -> str:
    return "".join(_NAMED.get(character, character) for character in text)
