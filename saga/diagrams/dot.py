"""A diagram in DOT, the language of Graphviz."""

from collections.abc import Iterator

from saga.diagrams.model import STYLES, Diagram


def write_dot(diagram: Diagram) -> str:
    """The text of the graph."""
    return "\n".join(_lines(diagram)) + "\n"


def _lines(diagram: Diagram) -> Iterator[str]:
    yield f"digraph {_quoted(diagram.title)} {{"
    yield '    node [shape=box, style="rounded,filled", fontname="monospace", fontsize=10];'
    yield '    edge [color="#546e7a", fontname="monospace", fontsize=9];'
    for box in diagram.boxes:
        style = STYLES[box.look]
        colors = f'fillcolor="{style.fill}", color="{style.stroke}"'
        yield f"    {_quoted(box.id)} [label={_quoted(*box.lines)}, {colors}];"
    for arrow in diagram.arrows:
        options = [f"label={_quoted(arrow.label)}"] if arrow.label else []
        # Undoing leads up, and does not decide where the boxes are.
        options += ["style=dashed", "constraint=false"] if arrow.back else []
        yield f"    {_quoted(arrow.source)} -> {_quoted(arrow.target)}{f' [{", ".join(options)}]' if options else ''};"
    yield "}"


def _quoted(*lines: str) -> str:
    text = r"\n".join(line.replace("\\", "\\\\").replace('"', r"\"") for line in lines)
    return f'"{text}"'
